"""What a model is shown of a running source: hops, and which frames and images each has.

Hop j of a stretch (see `hop_maker`) is the window of time [j * step, j * step + length), by default
one second after another, as in evaluation. *strict* takes the acoustic frames that lie wholly
inside it, *centred* those whose centre does; each frame is paired with the image of the second (of
several a second, of the interval) that its centre lies in. A model of images alone is shown those
with k + 0.5 s, or (k + 0.5) / N s, inside.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.manifests.errors import SettingError

HALF = Fraction(1, 2)
SHORTEST, LONGEST = Fraction(1, 10), Fraction(60)
"""Seconds between two answers, and length of a window."""

Jpeg = NDArray[np.uint8]


@dataclass(frozen=True)
class Hop:
    """What a model is shown of a window of time.

    Attributes:
        start: live time (seconds since the source was first heard).
        end: live time.
        step: from its start to that of the next, seconds.
        due: when its end happened, on `time.monotonic`: by the source's clock and the fastest
            chunk of sound (or video frame) of the last minute or two.
        samples: float32 [2, n], average and difference, of just the hop's acoustic frames; None for
            a model that does not hear, and where there is no sound.
        images: JPEGs; empty for a model that does not see, and where there are none.
        view: which of the images each frame is seen with, int64 [frames]; -1 where it has none.
            None unless there are both.
    """

    start: float
    end: float
    step: float
    due: float
    samples: NDArray[np.float32] | None
    images: tuple[Jpeg, ...] = ()
    view: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Gap:
    """Live time [start, end) that has no answer, and why."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class HopSpec:
    """What a model is shown.

    Attributes:
        acoustic: spec of the acoustic frames; None for a model that does not hear.
        images: spec of the images; None for a model that does not see.
        strict: which frames count.
        length: of a hop's window, seconds.
        step: from the start of one hop to that of the next, seconds.
        takes_missing: whether it is shown hops without sound or without images, too.
    """

    acoustic: AcousticSpec | None
    images: ImageSpec | None
    strict: bool = True
    length: Fraction = Fraction(1)
    step: Fraction = Fraction(1)
    takes_missing: bool = False

    def __post_init__(self) -> None:
        if self.acoustic is None and self.images is None:
            raise SettingError("a model hears, sees or both; this one does neither.")
        for name, value in (("window", self.length), ("hop", self.step)):
            if not SHORTEST <= value <= LONGEST:
                raise SettingError(
                    f"{name} is {float(value):g} s; {float(SHORTEST):g} to {LONGEST} s of a live "
                    "source."
                )
        spec = self.acoustic
        if self.strict and spec is not None and self.length * spec.sample_rate < spec.window:
            raise SettingError(
                f"window is {float(self.length):g} s, and an acoustic frame "
                f"{spec.window / spec.sample_rate:g} s, which lies in none: ask for longer windows "
                "(--window), or for --protocol centred."
            )

    def window(self, hop: int) -> tuple[Fraction, Fraction]:
        """Return start and end of a hop in its stretch, seconds."""
        return hop * self.step, hop * self.step + self.length

    def frames(self, hop: int) -> NDArray[np.int64]:
        """Return the numbers of the acoustic frames of a hop, which follow one another."""
        assert self.acoustic is not None
        spec, rate = self.acoustic, self.acoustic.sample_rate
        start, end = self.window(hop)
        begin, stop = round(start * rate), round(end * rate)
        i = np.arange(max(0, (begin - spec.window) // spec.hop), stop // spec.hop + 2)
        first = last = framing.centre_sample(i, spec)
        if self.strict:
            first = framing.first_sample(i, spec)
            last = first + spec.window - 1
        return i[(first >= begin) & (last < stop)]

    def image_keys(self, hop: int, heard: bool = True) -> NDArray[np.int64]:
        """Return the keys k of the images of a hop; with `heard`, those of its acoustic frames."""
        assert self.images is not None
        if self.acoustic is not None and heard:
            return np.unique(self.images_of(self.frames(hop)))
        start, end = self.window(hop)
        n = self.images.per_second
        k = np.arange(int(start * n), int(end * n) + 1)
        return k[[start <= self.images.instant(key) < end for key in k.tolist()]]

    def images_of(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the key of the image that each acoustic frame is paired with."""
        assert self.acoustic is not None and self.images is not None
        return framing.image(frames, self.acoustic, self.images.per_second)
