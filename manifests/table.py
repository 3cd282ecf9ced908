"""The generic manifest: a table of clips as CSV, for any data set; also a store's clips.csv.

Columns, in any order: `id`, `scene`, `audio`, `video`, and optionally `fold` (train or test),
`city`, `location`. In the place of a scene a clip may have `segments`, labels that change within
it (`avsc.manifests.label_spans`). Separated by comma or TAB, as the header is; any text that
`read_text` reads. `audio` may equal `video` (the video's own sound track); one of the two may be
empty or its column absent. Other columns are ignored, unless the name is nearly one of these.
Blanks around the name of a column are ignored; at the ends of a value they are an error, because
another row without them would have another scene, city or location. `name_warnings` finds what is
doubtful and yet allowed.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from avsc.manifests.clips import FOLDS, Clip, Dataset, by_id, found_labels, inside
from avsc.manifests.errors import ManifestError
from avsc.manifests.files import csv_bytes
from avsc.manifests.label_spans import encode_spans, parse_spans
from avsc.manifests.text import CONTROL, alike, composed, read_text, table_rows, trimmed

COLUMNS = tuple(field.name for field in fields(Clip) if field.name != "segments")
SEGMENTS = "segments"
"""Column of the labels that change within a clip; only tables with such a clip have it."""
DELIMITERS = {"\t": "TAB", ",": "comma", ";": "semicolon"}
MEDIA = ("audio", "video")
_KINDS = {"scene": "scenes", "city": "cities", "location": "locations", "id": "ids"}
_SHOWN = 3
UNREADABLE = re.compile(r"[\x00-\x1f\x7f]")


def lines(
    path: Path,
    wanted: Sequence[str],
    delimiter: str | None = None,
    instead: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (``"file, line n"``, values by column) for each row of a table.

    Args:
        path: the table; its first line names the columns.
        wanted: columns that must be there.
        delimiter: if None, TAB if the header has one, else comma.
        instead: columns that may be there in the place of one that is wanted.

    Raises:
        ManifestError: the file cannot be read, a column that is wanted is missing, or a row has
            another number of columns than the header.
    """
    text = read_text(path)
    if delimiter is None:
        delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    rows = table_rows(path, text, delimiter)
    header = [name.strip() for name in next(rows, ("", []))[1]]
    replaced = {name for name, other in (instead or {}).items() if other in header}
    _check_header(path, header, [name for name in wanted if name not in replaced], delimiter)
    for where, row in rows:
        if len(row) != len(header):
            raise ManifestError(f"{where}: {len(row)} columns; the header has {len(header)}.")
        yield where, dict(zip(header, row, strict=True))


def check_ends(where: str, column: str, value: str) -> None:
    """Raise a `ManifestError` if a name has blanks at its ends."""
    if value != (plain := trimmed(value)):
        raise ManifestError(
            f"{where}: {column} {value!r} has blanks at its ends; write it as {plain!r}."
        )


def _check_header(path: Path, header: list[str], wanted: Sequence[str], delimiter: str) -> None:
    missing = [name for name in wanted if name not in header]
    if missing:
        present = ", ".join(header) or "nothing"
        message = f"{path}: no column {missing[0]!r}; found {present}; wanted {', '.join(wanted)}."
        other = [mark for mark in DELIMITERS if mark != delimiter and mark in present]
        if len(header) == 1 and other:
            message += f" Its columns are separated by a {DELIMITERS[other[0]]}; a "
            message += f"{DELIMITERS[delimiter]} is wanted."
        raise ManifestError(message)
    for name in header:
        if header.count(name) > 1:
            raise ManifestError(f"{path}: column {name!r} is there twice; remove one.")


def read_rows(path: Path, *, strict: bool = False) -> list[Clip]:
    """Return the clips of a table, in its order.

    Args:
        strict: refuse blanks at the ends of names and all of `CONTROL`, as in a user's table; a
            store's own table may be of a version that allowed them.

    Raises:
        ManifestError: a column or value is missing or wrong; names the line.
    """
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for where, row in lines(path, ("id", "scene"), instead={"scene": SEGMENTS}):
        if not clips:
            _refuse_misspelt_columns(path, row)
        clip = _clip(where, row, strict)
        if clip.id in seen:
            raise ManifestError(f"{where}: clip {clip.id!r} was listed before, in {seen[clip.id]}.")
        seen[clip.id] = where
        clips.append(clip)
    return clips


def _refuse_misspelt_columns(path: Path, header: Iterable[str]) -> None:
    absent = [name for name in COLUMNS if name not in header]
    for name in header:
        near = difflib.get_close_matches(name.strip().lower(), absent, 1, 0.8)
        if near and name not in COLUMNS:
            raise ManifestError(
                f"{path}: unknown column {name!r}; is {near[0]!r} meant? Rename it (columns are "
                f"{', '.join((*COLUMNS, SEGMENTS))})."
            )


def _clip(where: str, row: dict[str, str], strict: bool) -> Clip:
    values = {name: row.get(name) or None for name in COLUMNS}
    listed = row.get(SEGMENTS) or None
    for column, value in {**values, SEGMENTS: listed}.items():
        if value and (CONTROL if strict else UNREADABLE).search(value):
            raise ManifestError(f"{where}: {column} {value!r} holds a control character.")
        if value and strict and column not in (*MEDIA, SEGMENTS):
            check_ends(where, column, value)
    name, scene = values.pop("id"), values.pop("scene")
    if name is None or (scene is None and listed is None):
        raise ManifestError(f"{where}: no id or no scene; each clip needs both.")
    if scene is not None and listed is not None:
        raise ManifestError(
            f"{where}: clip {name!r} has a scene and segments, {listed!r}; leave one of them empty."
        )
    if values["audio"] is None and values["video"] is None:
        raise ManifestError(f"{where}: clip {name!r} has neither audio nor video.")
    if values["fold"] not in (None, *FOLDS):
        raise ManifestError(
            f"{where}: clip {name!r} is of fold {values['fold']!r}; known are {', '.join(FOLDS)}."
        )
    for kind in MEDIA:
        path = values[kind]
        values[kind] = None if path is None else inside(path, f"{where}, clip {name!r}")
    segments = () if listed is None else parse_spans(listed, f"{where}, clip {name!r}")
    return Clip(name, scene, **values, segments=segments)


def read_table(
    path: Path, root: Path, name: str | None = None, classes: Sequence[str] | None = None
) -> Dataset:
    """Read a generic manifest.

    Args:
        root: folder that its paths are relative to.
        name: name of the data set; the file's stem when None.
        classes: scene labels in the order of their indices; those found, sorted, when None.

    Raises:
        ManifestError: the table or the folder is not what it should be.
    """
    clips = by_id(read_rows(path, strict=True))
    if not clips:
        raise ManifestError(
            f"{path}: the manifest lists no clips; wanted a line for each, below the header."
        )
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder; {path} has its recordings there.")
    labels = tuple(sorted(found_labels(clips)))
    return Dataset(name or path.stem, root, tuple(classes) if classes else labels, clips)


def encode_table(clips: Iterable[Clip]) -> bytes:
    """Return a table of clips as CSV, which `read_rows` reads back exactly."""
    clips = tuple(clips)
    timed = any(clip.segments for clip in clips)
    rows: list[Sequence[str]] = [(*COLUMNS, SEGMENTS) if timed else COLUMNS]
    for clip in clips:
        row = [getattr(clip, name) or "" for name in COLUMNS]
        rows.append([*row, encode_spans(clip.segments)] if timed else row)
    return csv_bytes(rows)


def name_warnings(clips: Sequence[Clip]) -> list[str]:
    """Return a sentence for each doubtful name, in a fixed order; none as a rule.

    A scene, city or location written in two ways becomes two, and a location in both folds is in
    training and in test. Neither is certainly an error, so nothing is refused.

    >>> name_warnings([Clip("a", "park", "a.wav", None), Clip("b", "Park", "b.wav", None)])
    ["scenes that differ by blanks, capitals or Unicode form alone: 'Park' and 'park'; they count \
as different."]
    """
    warnings: list[str] = []
    for kind, several in _KINDS.items():
        names = (
            found_labels(clips)
            if kind == "scene"
            else {name for clip in clips if (name := getattr(clip, kind)) is not None}
        )
        if groups := list(_alike(names)):
            warnings.append(
                f"{several} that differ by blanks, capitals or Unicode form alone: "
                f"{_some(groups)}; they count as different."
            )
        if blank := sorted(name for name in names if trimmed(name) != name):
            warnings.append(f"{several} with blanks at their ends: {_some(map(repr, blank))}.")
    if both := shared_locations(clips):
        warnings.append(
            f"{len(both)} location{'s' if len(both) > 1 else ''} in both the training fold and the "
            f"test fold: {_some(map(repr, both))}; figures on the test fold will be too good."
        )
    return warnings


def shared_locations(clips: Iterable[Clip]) -> list[str]:
    """Return the locations that have clips in both folds, sorted."""
    folds: dict[str, set[str]] = {fold: set() for fold in FOLDS}
    for clip in clips:
        if clip.fold is not None and clip.location is not None:
            folds[clip.fold].add(clip.location)
    return sorted(set.intersection(*folds.values()))


def _alike(names: Iterable[str]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(alike(name), []).append(name)
    for group in groups.values():
        if len(group) > 1:
            same = len({composed(name) for name in group}) < len(group)
            yield " and ".join(map(ascii if same else repr, group))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f"; and {len(listed) - _SHOWN} more" if listed[_SHOWN:] else ""
    return "; ".join(listed[:_SHOWN]) + more
