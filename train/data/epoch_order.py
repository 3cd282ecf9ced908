"""The order of an epoch: which samples make up each batch, and which of them see the same view.

Four to six acoustic frames share the image of their second. In the paper's training each of the
pairs sees it augmented for itself. Where N of them are to share one view, the samples of a image
are parted at random into groups of N, of which the last may be smaller; the groups are shuffled and
laid end to end, and the batches are cut from that row: they hold as many samples as without. A
group that the end of a batch parts has a view in each of both.

The processes that train together take equal runs of a batch's rows, one after the other, so that
hardly a image is prepared by two of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.train.data.samples import Ints


@dataclass(frozen=True)
class BatchSlice:
    """A batch, or what one of several processes has of it.

    Attributes:
        sample: the samples, int64 [n].
        view: number of the view that each sees, from 0, int64 [n].
        first: first of the n samples that sees each view, int64 [views].
        drawn: row of the whole batch, whose augmentation each view has, int64 [views].
    """

    sample: Ints
    view: Ints
    first: Ints
    drawn: Ints


@dataclass(frozen=True)
class Order:
    """The order of an epoch.

    Attributes:
        sample: samples in the order in which they are seen, int64 [samples].
        group: what they share a view by; equal ones lie side by side, int64 [samples].
    """

    sample: Ints
    group: Ints

    def batch(self, number: int, size: int, shard: tuple[int, int] = (0, 1)) -> BatchSlice:
        """Return a batch of `size` samples, or the i-th of the n equal runs that it is cut into.

        Args:
            number: of the batch, from 0.
            size: samples in a batch; a multiple of n.
            shard: (i, n).
        """
        rows = slice(number * size, (number + 1) * size)
        sample, begins = self.sample[rows], np.diff(self.group[rows], prepend=-1) != 0
        which, (i, n) = np.cumsum(begins) - 1, shard
        own = slice(i * size // n, (i + 1) * size // n)
        views, first, view = np.unique(which[own], return_index=True, return_inverse=True)
        return BatchSlice(sample[own], view, first, np.flatnonzero(begins)[views])


def shuffled(count: int, generator: np.random.Generator) -> Order:
    """Return an order in which each of `count` samples has a view of its own."""
    order = generator.permutation(count)
    return Order(order, order)


def shuffled_together(
    image: NDArray[np.int64], together: int, generator: np.random.Generator
) -> Order:
    """Return an order in which up to `together` samples of a image share a view.

    Args:
        image: image of each sample [samples].
        together: 1 or more.
        generator: of all that is random.
    """
    sample = generator.permutation(len(image))
    sample = sample[np.argsort(image[sample], kind="stable")]
    rows, begins = np.arange(len(sample)), np.diff(image[sample], prepend=-1) != 0
    within = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    group = np.cumsum(within % together == 0) - 1
    place = generator.permutation(group.max(initial=-1) + 1)[group]
    order = np.argsort(place, kind="stable")
    return Order(sample[order], place[order])
