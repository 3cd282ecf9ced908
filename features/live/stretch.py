"""What has come of a live source without a gap (see `hop_maker`)."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from avsc.features.live.live_audio import LiveAudio


class Arrivals:
    """How far behind the source's clock things arrive: the least of the last minute or two."""

    def __init__(self) -> None:
        self._least, self._before = np.inf, np.inf
        self._until = -np.inf

    def add(self, now: float, happened: float) -> None:
        """Note that something of a time of the stretch came now."""
        if now > self._until:
            self._least, self._before, self._until = np.inf, self._least, now + 60
        self._least = min(self._least, now - happened)

    def when(self, happened: float) -> float:
        """Return what the wall clock showed at a time of the stretch, as far as is known."""
        return min(self._least, self._before) + happened


@dataclass
class Stretch:
    """What has come of a stretch.

    Attributes:
        base: live time of its time 0.
        zero: its time 0 on the source's clock, moved as that drifts.
        rate: samples per second; 0 without sound.
        audio: the samples; None when the model does not hear.
        count: samples that came, at the source's rate.
        since: `count` when `zero` was last set.
        off: by how much the source's clock is ahead of the samples, seconds.
        end: its length so far, seconds.
        hop: number of the next one to be made.
    """

    base: Fraction
    zero: Fraction
    rate: int
    audio: LiveAudio | None
    count: int = 0
    since: int = 0
    off: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    hop: int = 0
    arrivals: Arrivals = field(default_factory=Arrivals)
