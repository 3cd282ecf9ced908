"""What has come of a live source without a gap (see `hop_maker`)."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from avsc.features.live.connection import AudioChunk
from avsc.features.live.live_audio import LiveAudio

MAX_GAP = Fraction(1, 20)
"""What the source's clock and the number of samples may differ by, seconds, as in extraction."""

MAX_DRIFT = Fraction(1, 1000)
"""What clocks may differ by in speed; a faster loss of samples is a gap."""


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
        audio: the samples; None when the model does not hear, and without sound.
        silent: whether no sound comes, or comes any more, so that the images are the clock.
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
    silent: bool = False
    count: int = 0
    since: int = 0
    off: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    hop: int = 0
    arrivals: Arrivals = field(default_factory=Arrivals)

    def live(self, clock: Fraction) -> Fraction:
        """Return the live time of what the source's clock shows."""
        return self.base + clock - self.zero

    def gap(self, chunk: AudioChunk) -> str:
        """Return why a chunk does not continue the stretch; empty when it does."""
        if chunk.after_loss:
            return chunk.after_loss
        if chunk.rate != self.rate:
            return f"its rate changed from {self.rate} to {chunk.rate} Hz"
        off = chunk.time - self.zero - self.end
        if abs(off - self.off) > MAX_GAP:
            expected = self.zero + self.end + self.off
            return f"its clock goes from {float(expected):.3f} s to {float(chunk.time):.3f} s"
        if abs(off) > MAX_GAP:
            took = Fraction(self.count - self.since, self.rate)
            if abs(off) > MAX_DRIFT * took:
                return f"its samples and its clock differ by {float(off):.3f} s"
            self.zero += off
            self.since, off = self.count, Fraction(0)
        self.off = off
        return ""

    def silence(self) -> None:
        """Take note that the sound has stopped."""
        self.finish()
        self.silent = True

    def finish(self) -> None:
        """Take what is left of the sound, to which nothing is added any more."""
        if self.audio is not None and not self.silent:
            self.audio.add(np.zeros((2, 0), np.float32), last=True)

    def has_any(self, frames: NDArray[np.int64]) -> bool:
        """Whether there are some of a hop's acoustic frames, or will be."""
        assert self.audio is not None
        return not self.silent or bool((frames < self.audio.frames_so_far).any())
