"""The segments that clips of a store should have, and those that are missing.

The official figure is over every segment of the fold: 36,450 in TAU2021's test fold, ten for each
of 3,645 clips. A segment that could not be extracted counts as missing and is never omitted
silently, so the expected segments are determined from the store alone, before anything is
predicted. The number of segments of a clip is the first of these that applies:

1. with images: the seconds that have an image, and those that ``failures.csv`` says lack one;
2. with audio alone: the seconds up to the last one that contains a whole window;
3. for a clip that the store has nothing of: the most frequent number among the other clips (the
   largest, if several are as frequent).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avsc.features.store.labels import failed_seconds
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.samples import Ints, Samples
from avsc.train.data.source import Source


def expected_segments(store: Store, source: Source, rows: Sequence[int]) -> Ints:
    """Return the segments that clips should have, int64 [2, segments]: clip row, second; ordered.

    Args:
        source: of that store, with the inputs of the system that is evaluated.
        rows: rows of the clips.

    Raises:
        AvscError: the store has nothing of any of the clips.
    """
    clips = np.unique(np.asarray(rows, np.int64))
    seconds = _seconds(store, source)[clips]
    if not seconds.any():
        raise AvscError(
            f"{store.path}: it has nothing of any of the {len(clips)} clips to evaluate "
            "(failures.csv says why). Fix them and run `avsc-prep extract` again."
        )
    count = np.bincount(seconds[seconds > 0])
    usual = len(count) - 1 - int(count[::-1].argmax())
    seconds = np.where(seconds > 0, seconds, usual)
    second = np.arange(seconds.sum()) - np.repeat(np.cumsum(seconds) - seconds, seconds)
    return np.stack([np.repeat(clips, seconds), second])


def _seconds(store: Store, source: Source) -> Ints:
    """Return how many seconds each clip of the store is known to have; 0 where nothing is known."""
    last = np.full(len(store.clips), -1, np.int64)
    if source.image_samples is None:
        whole = source.every.take(source.every.strict)
        np.maximum.at(last, whole.clip, whole.second)
        return last + 1
    np.maximum.at(last, source.image_samples.clip, source.image_samples.second)
    np.maximum.at(last, *failed_seconds(store))
    return last + 1


def within(samples: Samples, expected: Ints) -> Samples:
    """Return the samples that lie in an expected segment.

    Audio that ends in the middle of a second may have a frame centred in that second, although the
    clip has no such segment.
    """
    return samples.take(_isin(np.stack([samples.clip, samples.second]), expected))


def missing_segments(expected: Ints, samples: Samples) -> Ints:
    """Return the expected segments that no sample lies in, int64 [2, missing]."""
    return expected[:, ~_isin(expected, np.stack([samples.clip, samples.second]))]


def _isin(segments: Ints, others: Ints) -> NDArray[np.bool_]:
    span = 1 + max(segments[1].max(initial=0), others[1].max(initial=0))
    return np.isin(segments[0] * span + segments[1], others[0] * span + others[1])
