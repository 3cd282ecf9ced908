"""Validation splits of the training fold, each by name and seeded.

``random`` takes about a tenth of the clips (the paper's words; clips of one location are cut from
one recording, so it leaks places), ``location`` whole locations, stratified by scene, ``file`` the
clips that a list names, ``none`` nothing. The test fold is never looked at.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.tau2021 import clip_id

Method = Literal["location", "random", "file", "none"]


def validation_rows(
    clips: Sequence[Clip],
    rows: Sequence[int],
    method: Method,
    fraction: float = 0.1,
    seed: int = 0,
    file: Path | None = None,
) -> tuple[list[int], list[int]]:
    """Divide the training fold's rows.

    Args:
        clips: the clip table.
        rows: rows of the training fold.
        method: how.
        fraction: about how much of each scene is for validation (``random``, ``location``).
        seed: of the draw.
        file: the list, for ``file``: one clip id or media path a line (the first column of a
            table; a header line is passed over).

    Returns:
        Rows for training and rows for validation, each ascending.

    Raises:
        SettingError: the method cannot be used with this set or these settings.
        ManifestError: the list names a clip that is not in the training fold.
    """
    if not 0 < fraction < 1:
        raise SettingError(f"validation fraction {fraction}: more than 0 and less than 1 wanted.")
    if method == "none":
        return sorted(rows), []
    if method == "file":
        held = _from_file(clips, rows, file)
    else:
        draw = _by_clip if method == "random" else _by_location
        held = draw(clips, rows, fraction, np.random.default_rng(seed))
    if not held or len(held) == len(rows):
        raise SettingError(
            f"validation split {method!r}: {len(held)} of {len(rows)} clips are for validation; "
            "both parts need some. Take another split or fraction."
        )
    return sorted(set(rows) - held), sorted(held)


def _by_clip(
    clips: Sequence[Clip], rows: Sequence[int], fraction: float, draw: np.random.Generator
) -> set[int]:
    ordered = sorted(rows)
    return {ordered[k] for k in draw.permutation(len(rows))[: round(fraction * len(rows))]}


def _by_location(
    clips: Sequence[Clip], rows: Sequence[int], fraction: float, draw: np.random.Generator
) -> set[int]:
    """Take locations of each scene in random order while that brings its share closer."""
    places: dict[str, dict[str, list[int]]] = {}
    for row in sorted(rows):
        location = clips[row].location
        if location is None:
            raise SettingError(
                f"validation split 'location': clip {clips[row].id!r} has no location. Choose "
                "--validation random, file or none."
            )
        places.setdefault(clips[row].scene, {}).setdefault(location, []).append(row)
    held: set[int] = set()
    for scene in sorted(places):
        if len(places[scene]) < 2:
            raise SettingError(
                f"validation split 'location': scene {scene!r} has one location only, so it would "
                "be missing from one part. Choose --validation random, file or none."
            )
        held |= _of_scene(list(places[scene].values()), fraction, draw)
    return held


def _of_scene(places: list[list[int]], fraction: float, draw: np.random.Generator) -> set[int]:
    wanted = fraction * sum(len(place) for place in places)
    held: set[int] = set()
    order = [places[k] for k in draw.permutation(len(places))]
    for place in order[:-1]:
        if abs(len(held) + len(place) - wanted) < abs(len(held) - wanted):
            held |= set(place)
    return held or set(sorted(order, key=len)[0])


def _from_file(clips: Sequence[Clip], rows: Sequence[int], file: Path | None) -> set[int]:
    if file is None:
        raise SettingError("validation split 'file': name the list with --validation-file FILE.")
    number = {clips[row].id: row for row in rows}
    try:
        text = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ManifestError(f"{file}: cannot be read ({fault}).") from fault
    held = set()
    for count, line in enumerate(text, 1):
        name = line.replace("\t", ",").split(",")[0].strip()
        if not name or (count == 1 and name in ("id", "filename_audio", "filename")):
            continue
        known = name if name in number else clip_id(name)
        if known not in number:
            raise ManifestError(f"{file}, line {count}: {name!r} is no clip of the training fold.")
        held.add(number[known])
    return held
