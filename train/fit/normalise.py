"""Mean and deviation of acoustic frames, per channel and bin.

They belong to a run, not to the store: they are taken over the run's own training frames, without
validation. Sums are float64 and kept as (count, mean, sum of squared differences from the mean),
which loses nothing where the mean is large beside the deviation, and any two of which merge
exactly: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances" (1979). The deviation is that of the frames themselves (divided by n).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError

PORTION = 4096
"""Frames taken at a time: 19 MB in float64 at 2 channels and 290 bins."""


@dataclass(frozen=True)
class Moments:
    """Moments of some frames.

    Attributes:
        count: number of frames.
        mean: float64 [channels, bins].
        squares: sum of the squared differences from the mean, float64 [channels, bins].
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, frames: NDArray[np.float32]) -> "Moments":
        """Return the moments of frames [n, channels, bins], n at least 1."""
        values = frames.astype(np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, np.square(values - mean).sum(axis=0))

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of these frames and the other's together."""
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = np.square(apart) * (self.count * other.count / count)
        return Moments(count, mean, self.squares + other.squares + between)

    @property
    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation, float64 [channels, bins]."""
        return np.sqrt(self.squares / self.count)


def moments(acoustic: NDArray[np.float32], rows: NDArray[np.int64]) -> Moments:
    """Return the moments of some rows of the acoustic matrix, a portion at a time.

    Args:
        acoustic: frames of the whole store, float32 [frames, channels, bins].
        rows: which of them, each counted as often as it is named.

    Raises:
        AvscError: there are no rows, or a frame is not finite.
    """
    total: Moments | None = None
    for start in range(0, len(rows), PORTION):
        frames = acoustic[rows[start : start + PORTION]]
        if not np.isfinite(frames).all():
            raise AvscError(
                "a training frame is not finite. Run `avsc-prep verify` on the store; if it finds "
                "no damage, extract the store again."
            )
        part = Moments.of(frames)
        total = part if total is None else total.merge(part)
    if total is None:
        raise AvscError("there are no training frames to take mean and deviation of.")
    return total
