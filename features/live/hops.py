"""From what a running source sends to hops: the sound and the image of one second after another.

A *stretch* is what comes without a gap; it is like a clip of its own. Its time 0 is its first sample
of sound (the first picture, of a source without sound), its frames are counted from there, and
second k is there when k + 0.5 s lies before its end. Nothing is computed across a gap.

The samples are the clock, as in extraction. Where the source's clock runs away from them by more
than `MAX_GAP` it is a gap, unless it took so long that two clocks which differ by `MAX_DRIFT` do it;
then the images' times are moved by as much.

Times: *live* times are seconds since the source was first heard; gaps count. What a gap took is told
by the source's clock, or by the wall clock where the source's was set anew or the connection is new.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.live.connection import Picture, SoundChunk
from avsc.features.live.live_images import HALF, MAX_BACK, MAX_JUMP, Jpeg, LiveImages
from avsc.features.live.live_sound import LiveSound
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.manifests.errors import MediaError

MAX_GAP = Fraction(1, 20)
"""What the source's clock and the number of samples may differ by, seconds, as in extraction."""

MAX_DRIFT = Fraction(1, 1000)
"""What clocks may differ by in speed; a faster loss of samples is a gap."""

IMAGE_WAIT = 2
"""Seconds of sound after the end of a second for which its image is waited for."""

SOUND_WAIT = 10
"""Seconds of pictures without sound after which a source of both has broken off."""


@dataclass(frozen=True)
class Hop:
    """What one second of a source has for the model.

    Attributes:
        start: live time, seconds; the hop is one second long.
        due: when its end happened, on `time.monotonic`: by the source's clock and the fastest
            chunk of sound (or picture) of the last minute or two.
        samples: float32 [2, n], average and difference, of just the acoustic frames that count in
            the second; None for a model that does not hear.
        jpeg: the image; None for a model that does not see.
    """

    start: float
    due: float
    samples: NDArray[np.float32] | None
    jpeg: Jpeg | None


@dataclass(frozen=True)
class Gap:
    """Live time [start, end) that has no answer, and why."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What a model is shown of each second.

    Attributes:
        acoustic: spec of the acoustic frames; None for a model that does not hear.
        images: spec of the images; None for a model that does not see.
        strict: whether only frames count whose window lies wholly inside the second; otherwise
            those do whose centre does.
    """

    acoustic: AcousticSpec | None
    images: ImageSpec | None
    strict: bool = True

    def frames(self, second: int, *, strict: bool = False) -> tuple[int, int]:
        """Return the frames [first, stop) that count, or would by `strict`, in a second."""
        assert self.acoustic is not None
        spec, rate = self.acoustic, self.acoustic.sample_rate
        first = max(0, (second * rate - spec.window) // spec.hop)
        i = np.arange(first, (second + 1) * rate // spec.hop + 2)
        counts = framing.second(i, spec) == second
        if self.strict or strict:
            counts &= framing.inside(i, spec)
        found = i[counts]
        return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)


@dataclass
class _Stretch:
    """What has come of a stretch.

    Attributes:
        base: live time of its time 0.
        zero: its time 0 on the source's clock, moved as that drifts.
        rate: samples per second; 0 without sound.
        sound: the samples; None when the model does not hear.
        count: samples that came, at the source's rate.
        since: `count` when `zero` was last set.
        off: by how much the source's clock is ahead of the samples, seconds.
        end: its length so far, seconds.
        second: the next one to be made.
    """

    base: Fraction
    zero: Fraction
    rate: int
    sound: LiveSound | None
    count: int = 0
    since: int = 0
    off: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    second: int = 0
    arrivals: "_Arrivals" = field(default_factory=lambda: _Arrivals())


class _Arrivals:
    """How far behind the source's clock things arrive: the least of the last minute or two."""

    def __init__(self) -> None:
        self._least, self._before = np.inf, np.inf
        self._until = -np.inf

    def add(self, now: float, happened: float) -> None:
        if now > self._until:
            self._least, self._before, self._until = np.inf, self._least, now + 60
        self._least = min(self._least, now - happened)

    def when(self, happened: float) -> float:
        return min(self._least, self._before) + happened


class HopMaker:
    """Makes hops.

    Args:
        wanted: what the model is shown.
        put: called with each hop and gap, in order.
        name: of the source, for errors.
        pace: how much faster than real time the source is.
        now: the clock.
    """

    def __init__(
        self,
        wanted: Wanted,
        put: Callable[[Hop | Gap], None],
        name: str,
        pace: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted, self._put, self._name, self._pace, self._now = wanted, put, name, pace, now
        self._images = None if wanted.images is None else LiveImages(wanted.images)
        self._stretch: _Stretch | None = None
        self._answered = Fraction(0)  # live time up to which there are hops and gaps
        self._ended: tuple[Fraction, float] | None = None  # the stretch before: live end, when
        self._reason = ""
        self._heard_at = 0.0
        self._unheard = Fraction(0)
        self._latest: Picture | None = None

    def add_sound(self, chunk: SoundChunk) -> None:
        """Add decoded sound.

        Raises:
            MediaError: the model cannot hear such sound.
        """
        self._unheard = Fraction(0)
        stretch = self._stretch
        if stretch is None:
            stretch = self._begin(chunk.time, chunk, None)
        elif gap := self._gap(stretch, chunk):
            before = stretch.zero + stretch.end + stretch.off
            self.end_stretch(gap)
            stretch = self._begin(chunk.time, chunk, before)
        if stretch.sound is not None:
            stretch.sound.add(chunk.samples)
        stretch.count += chunk.samples.shape[1]
        self._reached(stretch, Fraction(stretch.count, stretch.rate))

    def add_picture(self, picture: Picture, *, clocked: bool = False) -> None:
        """Add a decoded picture; with `clocked` the source has no sound, and pictures are its clock.

        Raises:
            MediaError: the sound has stopped coming.
        """
        assert self._images is not None
        latest, self._latest = self._latest, picture
        step = picture.time - latest.time if latest is not None else Fraction(0)
        if clocked:
            self._picture_clock(picture, latest, step)
            return
        self._unheard += max(Fraction(0), min(step, Fraction(1)))
        if self._unheard > SOUND_WAIT:
            raise MediaError("no-sound", f"no sound for {SOUND_WAIT} s")
        stretch = self._stretch
        self._images.add(picture, None if stretch is None else stretch.zero + stretch.end)
        if stretch is not None:
            self._make(stretch)

    def end_stretch(self, reason: str, *, disconnected: bool = False) -> None:
        """End what came without a gap; with `disconnected` the next comes by a new connection."""
        stretch, self._stretch = self._stretch, None
        if stretch is not None:
            if stretch.sound is not None:
                stretch.sound.add(np.zeros((2, 0), np.float32), last=True)
            if self._images is not None:
                self._images.finish()
            if not stretch.rate and self._latest is not None:
                stretch.end = self._latest.time + self._latest.duration - stretch.zero
            self._make(stretch, ended=True)
            self._ended = stretch.base + stretch.end, self._heard_at
        self._reason = self._reason or reason
        if disconnected:
            self._latest, self._unheard = None, Fraction(0)
            if self._images is not None:
                self._images.clear()

    def _gap(self, stretch: _Stretch, chunk: SoundChunk) -> str:
        """Return why a chunk does not continue a stretch; empty when it does."""
        if chunk.after_loss:
            return chunk.after_loss
        if chunk.rate != stretch.rate:
            return f"its rate changed from {stretch.rate} to {chunk.rate} Hz"
        off = chunk.time - stretch.zero - stretch.end
        if abs(off - stretch.off) > MAX_GAP:
            expected = stretch.zero + stretch.end + stretch.off
            return f"its clock goes from {float(expected):.3f} s to {float(chunk.time):.3f} s"
        if abs(off) > MAX_GAP:
            took = Fraction(stretch.count - stretch.since, stretch.rate)
            if abs(off) > MAX_DRIFT * took:
                return f"its samples and its clock differ by {float(off):.3f} s"
            stretch.zero += off
            stretch.since, off = stretch.count, Fraction(0)
            if self._images is not None:
                self._images.move(stretch.zero)
        stretch.off = off
        return ""

    def _begin(
        self, zero: Fraction, chunk: SoundChunk | None, before: Fraction | None
    ) -> _Stretch:
        """Begin a stretch; `before` is where the same connection's clock was, if there was one."""
        reset = before is not None and not 0 <= zero - before <= MAX_JUMP
        base = self._answered
        if self._ended is not None:
            end, ended_at = self._ended
            if before is None or reset:
                took = Fraction(max(0.0, self._now() - ended_at) * self._pace).limit_denominator(1000)
            else:
                took = zero - before
            base = max(base, end + took)
            self._put(Gap(float(self._answered), float(base), self._reason))
            self._answered = base
        self._reason, sound = "", None
        spec = self._wanted.acoustic
        if chunk is not None and spec is not None:
            sound = LiveSound(chunk.rate, len(chunk.samples), spec, self._name)
        self._stretch = _Stretch(base, zero, 0 if chunk is None else chunk.rate, sound)
        if self._images is not None:
            self._images.begin(zero, before if reset else None)
        return self._stretch

    def _picture_clock(self, picture: Picture, latest: Picture | None, step: Fraction) -> None:
        assert self._images is not None
        stretch = self._stretch
        if latest is not None and stretch is not None and not -MAX_BACK <= step <= MAX_JUMP:
            self.end_stretch(
                f"its clock goes from {float(latest.time):.3f} s to {float(picture.time):.3f} s"
            )
            self._images.clear()
            stretch = None
        if stretch is None:
            stretch = self._begin(picture.time, None, None if latest is None else latest.time)
        self._images.add(picture, None)
        self._reached(stretch, max(stretch.end, picture.time - stretch.zero))

    def _reached(self, stretch: _Stretch, end: Fraction) -> None:
        stretch.end = end
        self._heard_at = self._now()
        stretch.arrivals.add(self._heard_at, float(end) / self._pace)
        self._make(stretch)

    def _make(self, stretch: _Stretch, *, ended: bool = False) -> None:
        """Make the seconds that are complete; of a stretch that has ended, all that are there."""
        while self._is_there(stretch) if ended else self._is_complete(stretch):
            item = self._item(stretch)
            stretch.second += 1
            self._answered = stretch.base + stretch.second
            self._put(item)

    def _is_there(self, stretch: _Stretch) -> bool:
        """Whether a stretch that has ended has the next second, as a clip would."""
        if self._images is None:
            assert stretch.sound is not None
            _, stop = self._wanted.frames(stretch.second, strict=True)
            return 0 < stop <= stretch.sound.frames_so_far
        return stretch.second + HALF < stretch.end

    def _is_complete(self, stretch: _Stretch) -> bool:
        """Whether nothing of the next second is still to come, or is waited for any longer."""
        second = stretch.second
        if stretch.sound is not None:
            _, stop = self._wanted.frames(second)
            if stretch.sound.frames_so_far < stop or stretch.end < second + 1:
                return False
        elif second + HALF >= stretch.end:
            return False
        waited = stretch.end >= second + 1 + IMAGE_WAIT
        return self._images is None or self._images.has(second) or waited

    def _item(self, stretch: _Stretch) -> Hop | Gap:
        """Return the next second of a stretch."""
        second = stretch.second
        start = stretch.base + second
        samples: NDArray[np.float32] | None = None
        jpeg: Jpeg | str | None = None
        fault = ""
        if self._images is not None:
            jpeg = self._images.take(second)
            fault = jpeg if isinstance(jpeg, str) else ""
        if stretch.sound is not None:
            first, stop = self._wanted.frames(second)
            stop = min(stop, stretch.sound.frames_so_far)
            if first < stop:
                samples = stretch.sound.take(first, stop)
            else:
                fault = "no whole acoustic frame"
        if fault:
            return Gap(float(start), float(start + 1), fault)
        assert not isinstance(jpeg, str)
        due = stretch.arrivals.when((second + 1) / self._pace)
        return Hop(float(start), due, samples, jpeg)
