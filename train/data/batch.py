"""Batch: samples that the network sees together."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Samples that the network sees together in training, on the run's device.

    Attributes:
        acoustic: frames, float32 [batch, channels, bins], or vectors [batch, features]; None
            without audio.
        images: normalised, float32 [views, 3, size, size], or vectors [batch, features]; None
            without images.
        scene: class indices, int64 [batch], or, of mixed samples, probabilities of the classes,
            float32 [batch, classes].
        index: which of the run's samples these are, int64 [batch]; always on the CPU.
        view: which of the images each sample sees, int64 [batch]; None where each has its own.
        missing: which samples lack audio, image, bool [batch, 2]; None where none does.
    """

    acoustic: Tensor | None
    images: Tensor | None
    scene: Tensor
    index: Tensor
    view: Tensor | None = None
    missing: Tensor | None = None

    @property
    def modalities(self) -> Tensor:
        """Which modalities each sample has, bool [batch, 2]: audio, image."""
        if self.missing is not None:
            return ~self.missing
        there = [self.acoustic is not None, self.images is not None]
        return torch.tensor(there, device=self.scene.device).expand(len(self.scene), -1)
