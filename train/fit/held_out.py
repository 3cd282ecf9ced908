"""Which clips a run holds out of its training fold: for validation, and for test by folds.

Methods, each seeded:

    location   whole locations, about a tenth of each scene's clips (of all clips, where labels
               change within some)
    random     about a tenth of the clips (section 3.1 of the paper); clips of one location are cut
               from one recording, so this leaks locations
    file       the clips that a list names
    none       nothing is held out

What is drawn depends on the seed, the clips' ids and their locations, not on the order of rows.

For cross-validation all locations are dealt into groups (`location_groups`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avsc.manifests.clips import Clip, found_labels
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.tau2021 import clip_id
from avsc.manifests.text import composed, read_text, table_rows
from avsc.train.settings.validation import Validation

HEADERS = ("id", "filename_audio", "filename_video", "filename")  # of a list's first column
ANOTHER = "Choose --validation random, file or none."
DRAWS = 100
"""How often locations are drawn until both parts have every label."""


def validation_rows(
    clips: Sequence[Clip],
    rows: Sequence[int],
    method: Validation,
    fraction: float = 0.1,
    seed: int = 0,
    file: Path | None = None,
) -> tuple[list[int], list[int]]:
    """Divide the training fold's rows.

    Args:
        rows: rows of the training fold.
        fraction: share of the clips for validation: of all (``random``), of each scene, as nearly
            as whole locations allow (``location``).
        file: the list, for ``file``: one clip id or media path a line (the first column of a
            table; a header line is passed over).

    Returns:
        Rows for training and rows for validation, each ascending.

    Raises:
        SettingError: the method cannot be used with this set or these settings.
        ManifestError: the list names a clip that is not in the training fold.
    """
    if method == "none":
        return sorted(rows), []
    if method == "file":
        held = _from_file(clips, rows, file)
    else:
        if not 0 < fraction < 1:
            raise SettingError(f"validation fraction {fraction}: wanted between 0 and 1.")
        ordered = sorted(rows, key=lambda row: clips[row].id)
        held = DRAWN[method](clips, ordered, fraction, np.random.default_rng(seed))
    if not held or len(held) == len(rows):
        raise SettingError(
            f"validation split {method!r}: {len(held)} of {len(rows)} clips are for validation; "
            "both parts need some. Take another split or fraction."
        )
    return sorted(set(rows) - held), sorted(held)


def _by_clip(
    clips: Sequence[Clip], rows: Sequence[int], fraction: float, draw: np.random.Generator
) -> set[int]:
    return {rows[k] for k in draw.permutation(len(rows))[: round(fraction * len(rows))]}


def _by_location(
    clips: Sequence[Clip], rows: Sequence[int], fraction: float, draw: np.random.Generator
) -> set[int]:
    """Take whole locations of each scene, about the fraction of its clips.

    Where labels change within clips, scenes do not divide the locations: then some of all are
    taken, and drawn again, up to `DRAWS` times, until both parts have every label.
    """
    if any(clips[row].segments for row in rows):
        every = found_labels(clips[row] for row in rows)
        for _ in range(DRAWS):
            held = _of_locations(_by_scene(clips, rows, one=True), fraction, draw)
            parts = (held, set(rows) - held)
            if all(found_labels(clips[row] for row in part) == every for part in parts):
                break
        return held
    return _of_locations(_by_scene(clips, rows), fraction, draw)


def _of_locations(
    by_scene: dict[str, dict[str, list[int]]], fraction: float, draw: np.random.Generator
) -> set[int]:
    held: set[int] = set()
    for scene, places in sorted(by_scene.items()):
        if len(places) < 2:
            which, lost = (f"scene {scene!r} has", "it") if scene else ("all clips have", "all")
            raise SettingError(
                f"validation split 'location': {which} the one location {min(places)!r}, so "
                f"{lost} would be missing from one part. {ANOTHER}"
            )
        held |= _about(fraction, [places[location] for location in sorted(places)], draw)
    return held


def _by_scene(
    clips: Sequence[Clip], rows: Sequence[int], one: bool = False
) -> dict[str, dict[str, list[int]]]:
    """Return rows by scene and location; refuse locations that do not split cleanly.

    Args:
        one: take all clips together, by the name "", whatever their labels.
    """
    by_scene: dict[str, dict[str, list[int]]] = {}
    scene_of: dict[str, str] = {}
    for row in rows:
        clip = clips[row]
        if clip.location is None:
            raise SettingError(
                f"validation split 'location': clip {clip.id!r} has no location. {ANOTHER}"
            )
        scene = "" if one else clip.label_text
        if scene_of.setdefault(clip.location, scene) != scene:
            raise SettingError(
                f"validation split 'location': location {clip.location!r} has the scenes "
                f"{scene_of[clip.location]!r} and {scene!r}, so it cannot be kept whole scene "
                f"by scene. {ANOTHER}"
            )
        by_scene.setdefault(scene, {}).setdefault(clip.location, []).append(row)
    return by_scene


def _about(fraction: float, places: list[list[int]], draw: np.random.Generator) -> set[int]:
    """Take places in random order, each that still fits; then one more, if that comes closer."""
    room = fraction * sum(len(place) for place in places)
    held: list[int] = []
    left: list[list[int]] = []
    for k in draw.permutation(len(places)):
        if len(held) + len(places[k]) <= room:
            held += places[k]
        else:
            left.append(places[k])
    least = sorted(left, key=len)[0]
    closer = len(left) > 1 and len(held) + len(least) / 2 < room
    return set(held + least if closer or not held else held)


DRAWN = {"random": _by_clip, "location": _by_location}
"""The methods that draw a fraction of the clips."""


def _from_file(clips: Sequence[Clip], rows: Sequence[int], file: Path | None) -> set[int]:
    if file is None:
        raise SettingError("validation split 'file': name the list with --validation-file FILE.")
    text = read_text(file)
    training = set(rows)
    row_of = {composed(clip.id): row for row, clip in enumerate(clips)}
    row_of |= {clip.id: row for row, clip in enumerate(clips)}
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    held = set()
    for count, (where, values) in enumerate(table_rows(file, text, delimiter), 1):
        name = values[0].strip()
        if not name or (count == 1 and name in HEADERS):
            continue
        known = (values[0], name, clip_id(name), composed(name), composed(clip_id(name)))
        row = next((row_of[each] for each in known if each in row_of), None)
        if row not in training:
            found = "no clip of this set" if row is None else "not of the training fold"
            raise ManifestError(f"{where}: {name!r} is {found}; remove it.")
        held.add(row)
    return held


def location_groups(
    clips: Sequence[Clip], rows: Sequence[int], number: int, seed: int
) -> list[list[int]]:
    """Deal the clips into groups of whole locations, of about equal size and mixture of labels.

    The largest location first (of equal ones in random order), each goes where the sum of squares
    of the groups' shares of the clips and of each label stays least; so no group stays empty.

    Args:
        rows: rows of the clips.
        number: of groups.

    Returns:
        Rows of each group, ascending.

    Raises:
        SettingError: a clip has no location, or there are fewer locations than groups.
    """
    places: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: clips[row].id):
        location = clips[row].location
        if location is None:
            raise SettingError(
                f"--folds: clip {clips[row].id!r} has no location, and folds are groups of whole "
                "locations. Give the manifest a column location; if each clip is of a place of its "
                "own, its id."
            )
        places.setdefault(location, []).append(row)
    if len(places) < number:
        raise SettingError(
            f"--folds is {number}, and the clips are of {len(places)} locations; wanted at least "
            "one for each fold."
        )
    labels = sorted(found_labels(clips[row] for row in rows))
    share = np.array([_mixture(clips, places[name], labels) for name in sorted(places)])
    share /= share.sum(0)
    draw = np.random.default_rng(seed).permutation(len(share))
    held = np.zeros((number, 1 + len(labels)))
    groups: list[list[int]] = [[] for _ in range(number)]
    for place in draw[np.argsort(-share[draw, 0], kind="stable")]:
        cost = ((held + share[place]) ** 2 - held**2).sum(1)
        group = int(cost.argmin())
        held[group] += share[place]
        groups[group] += places[sorted(places)[place]]
    return [sorted(group) for group in groups]


def _mixture(clips: Sequence[Clip], rows: Sequence[int], labels: Sequence[str]) -> list[float]:
    """Return how many clips a location has, and how many of each label.

    A clip whose labels change counts in parts.
    """
    count = dict.fromkeys(labels, 0.0)
    for row in rows:
        clip = clips[row]
        if clip.scene is not None:
            count[clip.scene] += 1
        for span in clip.segments:
            count[span.label] += (span.end - span.start) / clip.segments[-1].end
    return [len(rows), *count.values()]
