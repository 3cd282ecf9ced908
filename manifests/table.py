"""The generic manifest: a table of clips as CSV, for any data set. Also a store's clips.csv.

Columns, in any order: `id`, `scene`, `audio`, `video`, and optionally `fold` (train or test),
`city`, `location`. Comma or TAB, told from the header; UTF-8. `audio` may equal `video` (the video's own
sound track); one of the two may be empty or its column absent.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from avsc.manifests.clips import FOLDS, Clip, Dataset, by_id
from avsc.manifests.errors import ManifestError
from avsc.manifests.roots import inside

COLUMNS = tuple(field.name for field in fields(Clip))


def lines(
    path: Path, wanted: Sequence[str], delimiter: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (``"file, line n"``, values by column) for each row of a table.

    Raises:
        ManifestError: the file cannot be read, a column that is wanted is missing, or a row has
            another number of columns than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "not UTF-8 text"
        raise ManifestError(f"{path}: cannot be read ({reason}).") from fault
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = next(reader, [])
    for name in wanted:
        if name not in header:
            other = {"\t": ",", ",": "\t"}[delimiter]
            between = {"\t": "TAB", ",": "comma"}
            hint = ""
            if len(header) == 1 and other in header[0]:
                hint = f" Its columns are parted by a {between[other]}, not by a "
                hint += f"{between[delimiter]}."
            raise ManifestError(
                f"{path}: no column {name!r}; found {', '.join(header) or 'nothing'}; wanted "
                f"{', '.join(wanted)}.{hint}"
            )
    for row in reader:
        if not row:
            continue
        where = f"{path}, line {reader.line_num}"
        if len(row) != len(header):
            raise ManifestError(f"{where}: {len(row)} columns; the header has {len(header)}.")
        yield where, dict(zip(header, row, strict=True))


def read_rows(path: Path) -> list[Clip]:
    """Return the clips of a table, in its order.

    Raises:
        ManifestError: a column or value is missing or wrong; names the line.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "not UTF-8 text"
        raise ManifestError(f"{path}: cannot be read ({reason}).") from fault
    delimiter = "\t" if "\t" in header else ","
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for where, row in lines(path, ("id", "scene"), delimiter):
        clip = _clip(where, {name: row.get(name) or None for name in COLUMNS})
        if clip.id in seen:
            raise ManifestError(f"{where}: clip {clip.id!r} was listed before, in {seen[clip.id]}.")
        seen[clip.id] = where
        clips.append(clip)
    return clips


def _clip(where: str, values: dict[str, str | None]) -> Clip:
    name, scene = values.pop("id"), values.pop("scene")
    if name is None or scene is None:
        raise ManifestError(f"{where}: no id or no scene; each clip needs both.")
    if values["audio"] is None and values["video"] is None:
        raise ManifestError(f"{where}: clip {name!r} has neither audio nor video.")
    if values["fold"] not in (None, *FOLDS):
        raise ManifestError(f"{where}: fold {values['fold']!r}; known are {', '.join(FOLDS)}.")
    for kind in ("audio", "video"):
        path = values[kind]
        values[kind] = None if path is None else inside(path, f"{where}, clip {name!r}")
    return Clip(name, scene, **values)


def read_table(
    path: Path, root: Path, name: str | None = None, classes: Sequence[str] | None = None
) -> Dataset:
    """Read a generic manifest.

    Args:
        path: the table.
        root: folder that its paths are relative to.
        name: name of the data set; the file's stem when None.
        classes: scene labels in the order of their indices; those found, sorted, when None.
    """
    clips = by_id(read_rows(path))
    found = tuple(sorted({clip.scene for clip in clips}))
    return Dataset(name or path.stem, root, tuple(classes) if classes else found, clips)


def encode_table(clips: Iterable[Clip]) -> bytes:
    """Return a table of clips as CSV, which `read_rows` reads back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([value or "" for value in astuple(clip)] for clip in clips)
    return text.getvalue().encode()
