"""Which segments are drawn: the same ones for both runs, as many of each scene.

A point is one second of a clip, seen by each run through the strict frame in the middle of that
second (the window that lies wholly inside it) and the picture of the second. At most so many
points are taken, the same number of each scene where there are enough, drawn without replacement
by keys (seed, scene).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.data.samples import Samples

Place = tuple[str, int]
"""Clip id and second."""


@dataclass(frozen=True)
class Points:
    """What is drawn, ordered by clip, then by second.

    Attributes:
        places: clip id and second of each point.
        scene: class index of each, int64 [points].
        group: number of its location (of its clip where locations are not known), int64 [points].
        of: segments that there were to choose from.
    """

    places: tuple[Place, ...]
    scene: NDArray[np.int64]
    group: NDArray[np.int64]
    of: int

    def __len__(self) -> int:
        return len(self.places)


def middle_samples(samples: Samples, clips: Sequence[Clip]) -> dict[Place, int]:
    """Return, for each segment that has one, the number of the strict sample in its middle."""
    found: dict[Place, list[int]] = {}
    for number in np.flatnonzero(samples.strict).tolist():
        place = clips[samples.clip[number]].id, int(samples.second[number])
        found.setdefault(place, []).append(number)
    return {place: numbers[len(numbers) // 2] for place, numbers in found.items()}


def choose_points(
    common: Sequence[Place],
    clips: Sequence[Clip],
    classes: Sequence[str],
    most: int,
    seed: int,
) -> Points:
    """Choose the points.

    Args:
        common: the segments that both runs have.
        clips: the clip table.
        classes: scene labels in the order of their indices.
        most: points, at most.
        seed: of the draw.

    Raises:
        AvscError: there are no common segments.
    """
    if not common:
        raise AvscError("the two runs have no segment of these clips in common; nothing to draw.")
    known = {clip.id: clip for clip in clips}
    ordered = sorted(common)
    scene = np.array([classes.index(known[clip].scene) for clip, _ in ordered])
    kept: list[int] = []
    for index in range(len(classes)):
        members = np.flatnonzero(scene == index)
        quota = min(len(members), max(1, most // len(classes)))
        draw = np.random.default_rng((seed, index))
        kept += draw.choice(members, quota, replace=False).tolist()
    kept.sort()
    places = tuple(ordered[number] for number in kept)
    names = [known[clip].location or clip for clip, _ in places]
    _, group = np.unique(names, return_inverse=True)
    return Points(places, scene[kept].astype(np.int64), group.reshape(-1), len(ordered))
