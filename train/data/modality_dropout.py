"""Modality dropout: which samples of a batch lose their audio or their image in training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ModalityDropout:
    """How probable it is that a sample loses a modality; it never loses both.

    Attributes:
        probability: of losing one, audio or image alike, once it has risen.
        epochs: in which it rises linearly from 0; 0 drops at the full probability from the start.
    """

    probability: float
    epochs: int

    def rate(self, epoch: float) -> float:
        """Return the probability at a time, counted in epochs."""
        risen = 1.0 if epoch >= self.epochs else epoch / self.epochs
        return self.probability * risen

    def draw(self, generator: np.random.Generator, epoch: float, samples: int) -> NDArray[np.bool_]:
        """Return what is missing, bool [samples, 2]: audio, image.

        Args:
            generator: of this batch.
            epoch: the time, counted in epochs.
            samples: in the whole batch.
        """
        drawn, rate = generator.random(samples), self.rate(epoch)
        return np.stack([drawn < rate / 2, (rate / 2 <= drawn) & (drawn < rate)], axis=1)
