"""Mixup: samples of a batch mixed in pairs, in their inputs and in their labels.

Source: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018: x = w x + (1 - w) x',
y = w y + (1 - w) y', w from Beta(alpha, alpha). Here w is drawn for each sample, and x' is its
neighbour: row 2i is mixed with row 2i + 1, and it with row 2i. Their order is random already, and
a process that has a slice of the batch then has the neighbours of its rows, too.

Frames are mixed as they are stored (log magnitudes), images as the network sees them (normalised),
vectors in their place as they are. With a share of its own for each modality the label has the mean
of those of the modalities that the sample has.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.manifests.errors import SettingError


@dataclass(frozen=True)
class Mixup:
    """How samples are mixed.

    Attributes:
        alpha: of the beta distribution, above 0: the lower, the less are samples mixed.
        shared: whether audio and image of a sample are mixed by one share.
        classes: number of classes.
    """

    alpha: float
    shared: bool
    classes: int

    def draw(self, generator: np.random.Generator, count: int) -> NDArray[np.float32]:
        """Draw the shares of samples in what they become, float32 [count, 2]: audio, image."""
        drawn = generator.beta(self.alpha, self.alpha, (count, 2))
        if self.shared:
            drawn[:, 1] = drawn[:, 0]
        return drawn.astype(np.float32)

    def labels(self, scene: Tensor, share: Tensor, there: Tensor) -> Tensor:
        """Return the probabilities of classes, float32 [batch, classes].

        Args:
            scene: class indices, int64 [batch].
            share: as `draw` returns it, float32 [batch, 2].
            there: which modalities each sample has, bool [batch, 2].
        """
        has = there.to(share.dtype)
        own = ((share * has).sum(1) / has.sum(1))[:, None]
        label = torch.nn.functional.one_hot(scene, self.classes).to(share.dtype)
        return own * label + (1 - own) * neighbours(label)


def mix(value: Tensor, share: Tensor) -> Tensor:
    """Mix values [batch, ...] with their neighbours by the shares [batch] of each."""
    own = share.view(-1, *(1,) * (value.dim() - 1))
    return own * value + (1 - own) * neighbours(value)


def neighbours(value: Tensor) -> Tensor:
    """Return values [batch, ...] with rows 2i and 2i + 1 exchanged.

    >>> neighbours(torch.arange(4)).tolist()
    [1, 0, 3, 2]
    """
    return value.reshape(-1, 2, *value.shape[1:]).flip(1).reshape(value.shape)


def check_pairs(batch_size: int, slices: int) -> None:
    """Raise a `SettingError` unless each of the slices of a batch consists of pairs."""
    if batch_size % (2 * slices):
        parts = "" if slices == 1 else f", in each of {slices} slices of it"
        raise SettingError(
            f"--batch-size is {batch_size}: --mixup needs an even number of samples{parts}; wanted "
            f"a multiple of {2 * slices}."
        )
