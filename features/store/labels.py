"""Which class each second of a store's clips is of.

A clip of one scene is that in every second; one with segments has, in second k, the label that
holds at k + 0.5 s (`avsc.manifests.label_spans`). What comes after its last segment, less than a
whole second of audio, goes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError
from avsc.manifests.label_spans import seconds_text

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Spans of seconds with one label, by clip, then in time; int64 [spans].

    Attributes:
        clip: row of the clip in the clip table, rising; every clip has a span that begins with
            second 0.
        first: first second of the span.
        scene: class index.
    """

    clip: Ints
    first: Ints
    scene: Ints

    @classmethod
    def of(cls, clips: Sequence[Clip], classes: Sequence[str]) -> Self:
        """Return the labels of clips.

        Args:
            classes: labels in the order of their class indices.
        """
        number = {label: index for index, label in enumerate(classes)}
        spans: list[tuple[int, int, int]] = []
        for row, clip in enumerate(clips):
            if clip.scene is not None:
                spans.append((row, 0, number[clip.scene]))
            spans += ((row, span.first, number[span.label]) for span in clip.segments)
        return cls(*np.array(spans, np.int64).reshape(-1, 3).T)

    @classmethod
    def whole(cls, scene: Ints) -> Self:
        """Return the labels of clips that are of one class each, int64 [clips]."""
        return cls(np.arange(len(scene)), np.zeros_like(scene), scene)

    def at(self, clip: Ints, second: Ints) -> Ints:
        """Return the class index of seconds of clips, int64 as they are."""
        span = 1 + max(self.first.max(initial=0), second.max(initial=0))
        place = np.searchsorted(self.clip * span + self.first, clip * span + second, "right") - 1
        found: Ints = self.scene[place]
        return found


def store_labels(store: Store) -> Labels:
    """Return the labels of a store's clips.

    Raises:
        ManifestError: segments do not fit the recordings.
    """
    faults = label_faults(store)
    if faults:
        more = f" ({len(faults)} clips are wrong so)" if len(faults) > 1 else ""
        raise ManifestError(
            f"{store.path}: {faults[0]}{more}. Correct the manifest and run `avsc-prep extract` "
            "again, which keeps what was extracted."
        )
    return Labels.of(store.clips, store.classes)


def label_faults(store: Store) -> list[str]:
    """Return a sentence for each clip whose segments end before its recording, or after it."""
    if not any(clip.segments for clip in store.clips):
        return []
    least, most = _seconds(store)
    faults = []
    for row, clip in enumerate(store.clips):
        if not clip.segments or most[row] == 0:
            continue
        last = clip.segments[-1]
        if last.last < least[row]:
            faults.append(
                f"clip {clip.id!r}: its segments end at {seconds_text(last.end)} s, and the "
                f"recording has {least[row]} seconds"
            )
        elif last.last > most[row]:
            faults.append(
                f"clip {clip.id!r}: segment '{last}' lies outside the recording, which has "
                f"{most[row]} seconds"
            )
    return faults


def per_second(store: Store) -> int:
    """Return how many images a second a store has; 1 for one without images."""
    if ImageSpec.product not in store.products:
        return 1
    spec = store.spec(ImageSpec.product)
    assert isinstance(spec, ImageSpec)
    return spec.per_second


def failed_seconds(store: Store) -> tuple[Ints, Ints]:
    """Return which images failures.csv says are missing: rows of clips, and seconds, int64 [n]."""
    row_of = {clip.id: row for row, clip in enumerate(store.clips)}
    images = [f for f in store.failures if f.product == ImageSpec.product and f.key is not None]
    row = np.array([row_of[failure.clip] for failure in images], np.int64)
    key = np.array([failure.key for failure in images], np.int64)
    return row, key // per_second(store)


def seconds_by_images(store: Store) -> Ints:
    """Return how many seconds each clip has by its images and those that could not be made.

    int64 [clips]; 0 for clips of which there are none.
    """
    count = np.zeros(len(store.clips), np.int64)
    if ImageSpec.product in store.products:
        images = store.records(ImageSpec.product)
        np.maximum.at(count, images.clip, images.key // per_second(store) + 1)
    row, second = failed_seconds(store)
    np.maximum.at(count, row, second + 1)
    return count


def _seconds(store: Store) -> tuple[Ints, Ints]:
    """Return how many seconds each clip has, at least and at most; 0 where nothing is known.

    Images tell exactly, also those that could not be made. Of a store of audio alone, the last
    frame wholly inside a second and the last frame centred in one leave less than a second open.
    """
    least, most = (np.zeros(len(store.clips), np.int64) for _ in range(2))
    if ImageSpec.product in store.products:
        least = seconds_by_images(store)
        return least, least
    for product in store.products:
        spec, records = store.spec(product), store.records(product)
        if isinstance(spec, AcousticSpec):
            for clip, frames in zip(records.clip.tolist(), records.rows.tolist(), strict=True):
                number = np.arange(frames)
                second, whole = framing.second(number, spec), framing.inside(number, spec)
                least[clip] = max(least[clip], second[whole].max(initial=-1) + 1)
                most[clip] = max(most[clip], second.max(initial=-1) + 1)
    return least, most
