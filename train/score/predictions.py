"""Predictions as a file, in the form of DCASE 2021 task 1B: one row a segment, or a whole clip.

TAB between columns, one line of column names: ``filename``, ``scene_label`` (the most probable
class), then the probability of each class under its own name. The task's evaluation files are
numbered and already cut to one second (``0.wav``); the development set's are not, so segment k of a
clip is named ``<clip>_<k>.wav`` here, k counted from 0: this naming is ours. A whole clip is named
``<clip>.wav``. Probabilities are written with as many digits as it takes to read the same float64
back.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.score.protocol import Segments

SUM_TOLERANCE = 1e-3  # other systems write four digits or so


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
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["filename", "scene_label", *classes])
    names = segment_names(segments, clips)
    for values, name in zip(segments.probability, names, strict=True):
        writer.writerow([name, classes[values.argmax()], *map(repr, values.tolist())])
    return text.getvalue().encode()


def read_predictions(path: Path, clips: Sequence[Clip], classes: Sequence[str]) -> Segments:
    """Read a predictions file, of this or of any other system.

    Args:
        path: the file, of segments or of whole clips; class columns and rows may be in any order.
        clips: the clip table; the scenes are taken from it.
        classes: scene labels in the order of their indices.

    Raises:
        AvscError: the file is not of this form, names a segment twice or one of an unknown clip, or
            holds what are not probabilities.
    """
    row_of = {clip.id: row for row, clip in enumerate(clips)}
    scene_of = {scene: index for index, scene in enumerate(classes)}
    found: dict[tuple[int, int | None], list[float]] = {}
    for line, cells in _rows(path, classes):
        place = _place(cells["filename"], row_of)
        whole = place is not None and place[1] is None
        if place is None or (found and whole != (next(iter(found))[1] is None)):
            raise AvscError(
                f"{path}: line {line}: {cells['filename']!r} is not a segment of this store; "
                f"wanted a name such as {segment_name(clips[0].id, 0)!r}, or "
                f"{segment_name(clips[0].id, None)!r} in a file of whole clips."
            )
        if place in found:
            raise AvscError(
                f"{path}: line {line}: {cells['filename']!r} is there twice; remove one."
            )
        found[place] = _probabilities(path, line, cells, classes)
    order = sorted(found, key=lambda place: (place[0], place[1] or 0))
    clip = np.array([row for row, _ in order], np.int64)
    seconds = [second for _, second in order if second is not None]
    scene = np.array([scene_of[clips[row].scene] for row in clip], np.int64)
    probability = np.array([found[each] for each in order], np.float64)
    return Segments(
        probability.reshape(-1, len(classes)),
        clip,
        np.array(seconds, np.int64) if seconds or not order else None,
        scene,
    )


def _place(name: str, row_of: Mapping[str, int]) -> tuple[int, int | None] | None:
    """Return the clip's row and the second that a name means; None if it means nothing here."""
    stem = name.removesuffix(".wav")
    clip, _, second = stem.rpartition("_")
    if clip in row_of and second.isdecimal():
        return row_of[clip], int(second)
    return (row_of[stem], None) if stem in row_of else None


def _rows(path: Path, classes: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line numbers and rows of a file that has the wanted columns."""
    wanted = ["filename", "scene_label", *classes]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        columns = list(reader.fieldnames or [])
        if sorted(columns) != sorted(wanted):
            raise AvscError(
                f"{path}: its columns are {', '.join(columns) or 'none'}; wanted, with TABs "
                f"between them, {', '.join(wanted)}."
            )
        for cells in reader:
            if None in cells or None in cells.values():
                raise AvscError(
                    f"{path}: line {reader.line_num}: wanted {len(wanted)} columns, as in the "
                    "first line."
                )
            yield reader.line_num, cells


def _probabilities(
    path: Path, line: int, cells: dict[str, str], classes: Sequence[str]
) -> list[float]:
    try:
        values = [float(cells[name]) for name in classes]
    except ValueError as fault:
        raise AvscError(f"{path}: line {line}: {fault}; wanted a probability.") from fault
    # Written so that a NaN, which compares as false, is refused too.
    if not (min(values) >= 0 and abs(sum(values) - 1) <= SUM_TOLERANCE):
        raise AvscError(
            f"{path}: line {line}: the probabilities are {', '.join(map(str, values))}; wanted "
            "numbers from 0 to 1 whose sum is 1."
        )
    best = dict(zip(classes, values, strict=True)).get(cells["scene_label"])
    if best != max(values):
        raise AvscError(
            f"{path}: line {line}: scene_label is {cells['scene_label']!r}, which is not the most "
            "probable class; labels that follow from something else cannot be compared here."
        )
    return values
