"""Which one-second segments clips should have, and which of them a store cannot give.

The official figure is over every segment of the fold: 36,450 in TAU2021's test fold, ten for each
of 3,645 clips. A segment that could not be extracted must be missed, not left out in silence, so
the segments that there should be are counted from the store alone, before anything is predicted.
How many a clip should have is told by the first of these that applies:

1. with pictures: the seconds that have a picture, and those that ``failures.csv`` says have none;
2. with sound alone: the seconds up to the last one that a whole window lies in;
3. of a clip that the store has nothing of: as many as most of the other clips (the largest number,
   if several are as frequent).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avsc.features.specs import ImageSpec
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source

Ints = NDArray[np.int64]


def expected_segments(store: Store, source: Source, rows: Sequence[int]) -> Ints:
    """Return the segments that clips should have, int64 [2, segments]: clip row, second; ordered.

    Args:
        store: the store.
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
            "(failures.csv says why). Mend them and run `avsc-prep extract` again."
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
    row = {clip.id: number for number, clip in enumerate(store.clips)}
    for failure in store.failures:
        if failure.product == ImageSpec.product and failure.key is not None:
            last[row[failure.clip]] = max(last[row[failure.clip]], failure.key)
    return last + 1


def within(samples: Samples, expected: Ints) -> Samples:
    """Return the samples that lie in an expected segment.

    Sound that ends in the middle of a second may hold a frame that is centred in it, although the
    clip has no such segment.
    """
    return samples.take(_isin(np.stack([samples.clip, samples.second]), expected))


def missing_segments(expected: Ints, samples: Samples) -> Ints:
    """Return the expected segments that no sample lies in, int64 [2, missing]."""
    return expected[:, ~_isin(expected, np.stack([samples.clip, samples.second]))]


def _isin(those: Ints, these: Ints) -> NDArray[np.bool_]:
    span = 1 + max(those[1].max(initial=0), these[1].max(initial=0))
    return np.isin(those[0] * span + those[1], these[0] * span + these[1])
