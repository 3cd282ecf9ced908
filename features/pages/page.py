"""A page of clips: one HTML file and, beside it, a script of images and scalograms for each clip.

A page needs no server and no network: it opens from its folder, wherever that was copied to. Its
style, its script and the table (DataTables, MIT, from the package ``itables``) are written into it.
Names of clips, scenes and cities go through Jinja's escaping or through JSON; they are never
markup.

======================  ===========================================================
``NAME.html``           the page
``NAME-clips/N.js``     what is shown of clip N, loaded when it is looked at
``NAME-clips/N.opus``   its sound, where that was asked for
======================  ===========================================================
"""

import base64
import contextlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.files import publish, reason_of, remove, remove_stale_files

ASSETS = Path(__file__).parent / "assets"
EMBEDDED = 100
"""Most clips of a page that is one file."""
OPENED_BY = re.compile(r"</(?=script)|<!--", re.IGNORECASE)
"""What ends a script in HTML, or begins a comment in it; only ever inside of texts."""

NUMBERED = re.compile(r' id="[a-zA-Z0-9]+_[0-9]+"')
"""Ids that differ in every drawing, and that nothing refers to."""
BLACK = re.compile(r"#000000\b|\bblack\b")
OF_CLIP = re.compile(r"[0-9]+\.(js|opus)")
"""Names of the files in a page's folder of clips."""


Value: TypeAlias = str | float | Sequence[str] | None


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        clips: clips that it leads to: values by column of the page's table of clips.
        share: 0 to 1; shades the cell.
        head: it names its row.
        number: it is aligned right, like the head of its column.
    """

    text: str
    clips: Mapping[str, str] = field(default_factory=dict)
    share: float | None = None
    head: bool = False
    number: bool = False

    @property
    def link(self) -> str:
        """Where the cell leads; empty when nowhere."""
        return f"#{urlencode(self.clips)}" if self.clips else ""


@dataclass(frozen=True)
class Section:
    """A part of a page: text, then a table or figures.

    Attributes:
        columns: heads of the table; none without one.
        figures: drawings as SVG, by what they show.
    """

    title: str
    text: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    figures: Mapping[str, str] = field(default_factory=dict)

    def numbers(self, column: int) -> bool:
        """Return whether a column holds numbers."""
        return any(row[column].number or row[column].share is not None for row in self.rows)

    @property
    def name(self) -> str:
        """Its anchor."""
        return re.sub(r"\W+", "-", self.title.lower())

    def drawings(self) -> dict[str, Markup]:
        """Return the figures as markup; matplotlib escapes their texts."""
        return {title: Markup(_inline(svg)) for title, svg in self.figures.items()}


@dataclass(frozen=True)
class ClipColumn:
    """A column of the table of clips.

    Attributes:
        name: in links.
        title: its head.
        filtered: its values may be chosen from a list.
        number: its values are numbers, with so many digits after the point; None for text.
        several: a clip may have several values; those of a row are then a list.
    """

    name: str
    title: str
    filtered: bool = False
    number: int | None = None
    several: bool = False


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        text: paragraphs at its head.
        sections: before the table of clips.
        columns: of the table of clips; the first names the clip.
        rows: of the table of clips, in the order in which it opens.
        clip: returns what is shown of the clip in a row, in JSON's types; `ClipMedia.shown` and,
            optionally, ``facts`` and ``strips``.
        sound: returns a row's sound as Ogg Opus, or None where there is none.
        after: sections after the table of clips.
    """

    title: str
    text: Sequence[str]
    sections: Sequence[Section]
    columns: Sequence[ClipColumn]
    rows: Sequence[Sequence[Value]]
    clip: Callable[[int], dict[str, Any]]
    sound: Callable[[int], bytes | None] | None = None
    after: Sequence[Section] = ()


def write_page(
    path: Path,
    page: Page,
    single: bool = False,
    work: Callable[[Sequence[int]], Iterable[int]] = lambda rows: rows,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Write a page and what it shows of its clips; the page comes last, and no file of an earlier
    page with its name stays, so that what a killed process leaves is no page.

    Args:
        path: of the page, ``NAME.html``.
        single: write everything into the page.
        work: passes the rows on while they are written, to show the progress.
        before: as of `avsc.manifests.files.publish`.

    Raises:
        AvscError: too many clips for a single file, or a file cannot be written.
    """
    if single:
        check_single_file(path, len(page.rows))
    remove_page(path)
    beside = _clips_folder(path)
    scripts: list[str] = []
    for row in work(range(len(page.rows))):
        sound, address = page.sound(row) if page.sound else None, None
        if sound is not None and single:
            address = f"data:audio/ogg;base64,{base64.b64encode(sound).decode()}"
        elif sound is not None:
            address = f"{beside.name}/{row}.opus"
            publish(beside / f"{row}.opus", sound, before=before)
        script = f"showClip({row},{_json({**page.clip(row), 'sound': address})});\n"
        if single:
            scripts.append(script)
        else:
            publish(beside / f"{row}.js", _encoded(script), before=before)
    publish(path, _encoded(render(page, beside.name, scripts)), before=before)


def check_page_options(page: bool, media: bool, single_file: bool) -> None:
    """Raise a `SettingError` if options of a page are given, and there is to be none."""
    for option, given in (("--media", media), ("--single-file", single_file)):
        if given and not page:
            raise SettingError(
                f"{option} is an option of the page, which --no-page omits. Omit one."
            )


def check_single_file(path: Path, clips: int) -> None:
    """Raise an `AvscError` if a page of one file cannot hold so many clips."""
    if clips > EMBEDDED:
        raise AvscError(
            f"{path}: a page of one file holds at most {EMBEDDED} clips, and there are "
            f"{clips}. Choose fewer, or omit --single-file."
        )


def remove_page(path: Path) -> None:
    """Remove a page and the files of its clips, also what a killed process left of them.

    Raises:
        AvscError: it is a folder, or cannot be removed.
    """
    beside = _clips_folder(path)
    if path.is_dir():
        raise AvscError(f"{path}: a folder. Name a file for the page, such as {path}/index.html.")
    try:
        remove(path)
        remove_stale_files(beside)
        for file in beside.iterdir() if beside.is_dir() else ():
            if OF_CLIP.fullmatch(file.name):
                file.unlink(missing_ok=True)
    except OSError as fault:
        raise AvscError(
            f"{fault.filename or path}: the earlier page cannot be removed ({reason_of(fault)}). "
            "Remove it, or name another folder by --out."
        ) from fault
    with contextlib.suppress(OSError):  # not there, or it holds files of others
        beside.rmdir()


def _encoded(text: str) -> bytes:
    """Return text in UTF-8; a byte of a path that is not becomes its number (``udcff``)."""
    return text.encode("utf-8", "backslashreplace")


def _clips_folder(path: Path) -> Path:
    return path.with_name(f"{path.stem}-clips")


def render(page: Page, beside: str, scripts: Sequence[str] = ()) -> str:
    """Return a page's HTML.

    Args:
        beside: name of the folder of its clips' scripts.
        scripts: those scripts, where they are written into the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, table = _data_tables()
    data = {
        "columns": [asdict(column) for column in page.columns],
        "rows": page.rows,
        "folder": beside,
    }
    return environment.get_template("page.html.jinja").render(
        page=page,
        style=_asset("page.css"),
        table_style=_in_style(style),
        data=_in_script(_json(data)),
        table_script=_in_script(table),
        script=_in_script((ASSETS / "page.js").read_text("utf-8")),
        clips=[_in_script(script) for script in scripts],
    )


def _inline(svg: str) -> str:
    """Return a drawing by matplotlib to stand in HTML, where black is the page's own colour."""
    drawing = svg[svg.index("<svg") :]
    drawing = NUMBERED.sub("", drawing)
    return BLACK.sub("currentColor", drawing)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _asset(name: str) -> Markup:
    return _in_style((ASSETS / name).read_text("utf-8"))


def _in_style(css: str) -> Markup:
    assert "</style" not in css.lower(), "a style sheet that would end its own element"
    return Markup(css)


def _in_script(text: str) -> Markup:
    """Return a script or JSON for a script element; in both, ``\\x3c`` and ``\\u003c`` are "<"."""
    return Markup(OPENED_BY.sub(lambda found: "\\u003c" + found[0][1:], text))


def _data_tables() -> tuple[str, str]:
    """Return the style sheet and the module of DataTables."""
    package = importlib.util.find_spec("itables")
    if package is None or not package.submodule_search_locations:
        raise AvscError("itables is not installed; a page's table is made with it.")
    folder = Path(next(iter(package.submodule_search_locations))) / "html"
    css, js = (folder / name for name in ("dt_bundle.css", "dt_bundle.js"))
    return css.read_text("utf-8"), js.read_text("utf-8")
