"""Predictions files in the form of DCASE 2021 task 1B: one row per segment, or per whole clip.

Columns are separated by TABs; the first line names them: ``filename``, ``scene_label`` (the most
probable class), then the probability of each class under its own name. The task's evaluation files
are numbered and already cut to one second (``0.wav``); the development set's are not, so segment k
of a clip, counted from 0, is named ``<clip>_<k>.wav``, which is a convention of this project. A
whole clip is named ``<clip>.wav``. Probabilities are written with the digits needed to read back
the same float64.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from avsc.features.store.labels import Labels
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.manifests.files import csv_bytes
from avsc.manifests.text import composed, read_text, table_rows
from avsc.train.protocol import Segments, check_whole_clips

SUM_TOLERANCE = 1e-3  # other systems write four digits or so
ROUNDING = 1e-6  # of a single probability, in float32
EXACT = 1e-12  # of a sum of float64
SECOND = re.compile("[0-9]{1,9}")

SegmentKey: TypeAlias = tuple[int, int | None]
"""Row of a clip, and the second of a segment; None for the whole clip."""


def segment_name(clip: str, second: int | None) -> str:
    """Return the name of a segment, or of a whole clip.

    >>> segment_name("tram-paris-1-2", 0), segment_name("tram-paris-1-2", None)
    ('tram-paris-1-2_0.wav', 'tram-paris-1-2.wav')
    """
    return f"{clip}.wav" if second is None else f"{clip}_{second}.wav"


def segment_names(segments: Segments, clips: Sequence[Clip]) -> list[str]:
    """Return the names of segments, or of whole clips.

    Args:
        segments: which; probabilities are not looked at.
        clips: the clip table that they refer to.
    """
    rows = segments.clip.tolist()
    seconds = [None] * len(rows) if segments.second is None else segments.second.tolist()
    return [segment_name(clips[row].id, k) for row, k in zip(rows, seconds, strict=True)]


def encode_predictions(segments: Segments, clips: Sequence[Clip], classes: Sequence[str]) -> bytes:
    """Return the bytes of a predictions file.

    Args:
        segments: what was predicted.
        clips: the clip table that the segments refer to.
        classes: scene labels in the order of their indices.
    """
    names = segment_names(segments, clips)
    rows = (
        [name, classes[values.argmax()], *map(repr, values.tolist())]
        for values, name in zip(segments.probability, names, strict=True)
    )
    return csv_bytes([["filename", "scene_label", *classes], *rows], "\t")


def read_predictions(
    path: Path, clips: Sequence[Clip], classes: Sequence[str], whole: bool | None = None
) -> Segments:
    """Read a predictions file, of this or of any other system.

    Rounded probabilities, whose sum is not quite 1, are divided by their sum.

    Args:
        path: the file, of segments or of whole clips; class columns and rows may be in any order.
        clips: the clip table; the scenes are taken from it.
        classes: scene labels in the order of their indices.
        whole: whether it is of whole clips; inferred from its names when None.

    Raises:
        AvscError: the file is not of this form, names a segment twice or one of an unknown clip, or
            has values that are not probabilities.
    """
    rows = list(_rows(path, classes))
    keys = _keys(path, [(where, cells["filename"]) for where, cells in rows], clips, whole)
    by_key: dict[SegmentKey, list[float]] = {}
    for (where, cells), key in zip(rows, keys, strict=True):
        if key in by_key:
            raise AvscError(f"{where}: {cells['filename']!r} appears twice; remove one.")
        by_key[key] = _probabilities(where, cells, classes)
    order = sorted(by_key, key=lambda key: (key[0], key[1] or 0))
    clip = np.array([row for row, _ in order], np.int64)
    seconds = [second for _, second in order if second is not None]
    if not seconds:
        check_whole_clips(clips, clip.tolist())
    scene = Labels.of(clips, classes).at(clip, np.array(seconds or [0] * len(clip), np.int64))
    probability = np.array([by_key[key] for key in order], np.float64)
    return Segments(
        probability.reshape(-1, len(classes)),
        clip,
        np.array(seconds, np.int64) if seconds or not order else None,
        scene,
    )


def _keys(
    path: Path, names: Sequence[tuple[str, str]], clips: Sequence[Clip], whole: bool | None
) -> list[SegmentKey]:
    """Return the clip's row and the second that each name means; the second is None in all or none.

    Where ``rec`` and ``rec_1`` are both clips, ``rec_1.wav`` may be a second of the one or all of
    the other: the other names decide, which are all of segments or all of whole clips.
    """
    row_of = {composed(clip.id): row for row, clip in enumerate(clips)}
    row_of |= {clip.id: row for row, clip in enumerate(clips)}
    readings = [
        [read(name, row_of) for _, name in names]
        for kind, read in ((False, _segment), (True, _whole_clip))
        if whole in (None, kind)
    ]
    complete = [keys for keys in readings if None not in keys]
    if names and len(complete) > 1:
        row, second = complete[0][0] or (0, None)
        raise AvscError(
            f"{path}: its names can be read in two ways: {names[0][1]!r} is second {second} of "
            f"clip {clips[row].id!r}, or a whole clip. Rename the clips, so that no id is "
            "another's with _NUMBER appended."
        )
    if not complete:
        where, name = names[max(keys.index(None) for keys in readings)]
        raise AvscError(
            f"{where}: {name!r} is not a segment of this store; wanted a name such as "
            f"{segment_name(clips[0].id, 0)!r}, or {segment_name(clips[0].id, None)!r} in a file "
            "of whole clips."
        )
    return [key for key in complete[0] if key is not None]


def _segment(name: str, row_of: Mapping[str, int]) -> SegmentKey | None:
    stem, _, second = name.removesuffix(".wav").rpartition("_")
    row = _row(stem, row_of)
    return (row, int(second)) if row is not None and SECOND.fullmatch(second) else None


def _whole_clip(name: str, row_of: Mapping[str, int]) -> SegmentKey | None:
    row = _row(name.removesuffix(".wav"), row_of)
    return None if row is None else (row, None)


def _row(clip: str, row_of: Mapping[str, int]) -> int | None:
    return row_of.get(clip, row_of.get(composed(clip)))


def _rows(path: Path, classes: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (``"file, line n"``, values by column) for each row of a file that has the columns."""
    wanted = ["filename", "scene_label", *classes]
    rows = table_rows(path, read_text(path, AvscError), "\t")
    _, columns = next(rows, ("", []))
    known = {composed(name): name for name in wanted} | {name: name for name in wanted}
    columns = [known.get(name, known.get(composed(name), name)) for name in columns]
    if sorted(columns) != sorted(wanted):
        raise AvscError(
            f"{path}: its columns are {', '.join(columns) or 'none'}; wanted, with TABs "
            f"between them, {', '.join(wanted)}."
        )
    for where, cells in rows:
        if len(cells) != len(wanted):
            raise AvscError(f"{where}: wanted {len(wanted)} columns, as in the first line.")
        yield where, dict(zip(columns, cells, strict=True))


def _probabilities(where: str, cells: Mapping[str, str], classes: Sequence[str]) -> list[float]:
    try:
        values = [float(cells[name]) for name in classes]
    except ValueError as fault:
        raise AvscError(f"{where}: {fault}; wanted a probability.") from fault
    total = sum(values)
    # Written so that a NaN, which compares as false, is refused too.
    if not (min(values) >= 0 and max(values) <= 1 + ROUNDING and abs(total - 1) <= SUM_TOLERANCE):
        raise AvscError(
            f"{where}: the probabilities are {', '.join(map(str, values))}; wanted numbers from 0 "
            f"to 1 whose sum is 1 (to {SUM_TOLERANCE:g})."
        )
    label = cells["scene_label"]
    best = {composed(name): value for name, value in zip(classes, values, strict=True)}
    best |= dict(zip(classes, values, strict=True))
    if best.get(label, best.get(composed(label))) != max(values):
        raise AvscError(
            f"{where}: scene_label is {label!r}, which is not the most probable class; labels that "
            "are derived in another way cannot be compared here."
        )
    # Probabilities that were not rounded stay the same to the last bit.
    return values if abs(total - 1) <= EXACT else [value / total for value in values]
