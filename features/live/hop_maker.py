"""From what a running source sends to hops.

A *stretch* is what comes without a gap; it is like a clip of its own. Its time 0 is its first
sample (or, of a source without audio, its first video frame), its acoustic frames are counted from
there, and second k is there when k + 0.5 s lies before its end. Nothing is computed across a gap.

The samples are the clock, as in extraction. Where the source's clock departs from them by more than
`MAX_GAP`, that is a gap, unless it took so long that two clocks whose speeds differ by `MAX_DRIFT`
explain it; then the images' times are moved by as much.

Times: *live* times are seconds since the source was first heard, gaps included. The length of a gap
is taken from the source's clock, or from the wall clock where the source's clock was reset or the
connection is new.
"""

import time
from collections.abc import Callable
from fractions import Fraction
from math import ceil

import numpy as np

from avsc.features import framing
from avsc.features.live.connection import AudioChunk
from avsc.features.live.hop import HALF, Gap, Hop, HopSpec, Jpeg
from avsc.features.live.live_audio import LiveAudio
from avsc.features.live.live_images import MAX_BACK, MAX_JUMP, LiveImages
from avsc.features.live.stretch import Stretch
from avsc.features.live.video_decoder import TimedFrame
from avsc.manifests.errors import MediaError

MAX_GAP = Fraction(1, 20)
"""What the source's clock and the number of samples may differ by, seconds, as in extraction."""

MAX_DRIFT = Fraction(1, 1000)
"""What clocks may differ by in speed; a faster loss of samples is a gap."""

IMAGE_WAIT = 2
"""Seconds of sound after the end of a hop for which its images are waited for."""

AUDIO_WAIT = 10
"""Seconds of video frames without sound after which a source of both has broken off."""


class HopMaker:
    """Makes hops.

    Args:
        wanted: what the model is shown.
        put: called with each hop and gap, in order.
        name: of the source, for errors.
        pace: how much faster than real time the source is.
    """

    def __init__(
        self,
        wanted: HopSpec,
        put: Callable[[Hop | Gap], None],
        name: str,
        pace: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted, self._put, self._name, self._pace, self._now = wanted, put, name, pace, now
        self._images = None if wanted.images is None else LiveImages(wanted.images)
        self._stretch: Stretch | None = None
        self._answered = Fraction(0)  # live time up to which there are hops and gaps
        self._ended: tuple[Fraction, float] | None = None  # the stretch before: live end, when
        self._reason = ""
        self._heard_at = 0.0
        self._unheard = Fraction(0)
        self._latest: TimedFrame | None = None

    def add_audio(self, chunk: AudioChunk) -> None:
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
        if stretch.audio is not None:
            stretch.audio.add(chunk.samples)
        stretch.count += chunk.samples.shape[1]
        self._reached(stretch, Fraction(stretch.count, stretch.rate))

    def add_frame(self, timed: TimedFrame, *, clocked: bool = False) -> None:
        """Add a decoded video frame; with `clocked`, of a source without sound, as its clock, too.

        Raises:
            MediaError: the sound has stopped coming.
        """
        assert self._images is not None
        latest, self._latest = self._latest, timed
        step = timed.time - latest.time if latest is not None else Fraction(0)
        if clocked:
            self._frame_clock(timed, latest, step)
            return
        self._unheard += max(Fraction(0), min(step, Fraction(1)))
        if self._unheard > AUDIO_WAIT:
            raise MediaError("no-sound", f"no sound for {AUDIO_WAIT} s")
        stretch = self._stretch
        self._images.add(timed, None if stretch is None else stretch.zero + stretch.end)
        if stretch is not None:
            self._make(stretch)

    def end_stretch(self, reason: str, *, disconnected: bool = False) -> None:
        """End what came without a gap; with `disconnected` the next comes by a new connection."""
        stretch, self._stretch = self._stretch, None
        if stretch is not None:
            if stretch.audio is not None:
                stretch.audio.add(np.zeros((2, 0), np.float32), last=True)
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

    def _gap(self, stretch: Stretch, chunk: AudioChunk) -> str:
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

    def _begin(self, zero: Fraction, chunk: AudioChunk | None, before: Fraction | None) -> Stretch:
        """Begin a stretch; `before` is where the same connection's clock was, if there was one."""
        reset = before is not None and not 0 <= zero - before <= MAX_JUMP
        base = self._answered
        if self._ended is not None:
            end, ended_at = self._ended
            if before is None or reset:
                took = Fraction(max(0.0, self._now() - ended_at) * self._pace).limit_denominator(
                    1000
                )
            else:
                took = zero - before
            base = max(base, end + took)
            self._put(Gap(float(self._answered), float(base), self._reason))
            self._answered = base
        self._reason, audio = "", None
        spec = self._wanted.acoustic
        if chunk is not None and spec is not None:
            audio = LiveAudio(chunk.rate, len(chunk.samples), spec, self._name)
        self._stretch = Stretch(base, zero, 0 if chunk is None else chunk.rate, audio)
        if self._images is not None:
            self._images.begin(zero, before if reset else None)
        return self._stretch

    def _frame_clock(self, timed: TimedFrame, latest: TimedFrame | None, step: Fraction) -> None:
        assert self._images is not None
        stretch = self._stretch
        if latest is not None and stretch is not None and not -MAX_BACK <= step <= MAX_JUMP:
            self.end_stretch(
                f"its clock goes from {float(latest.time):.3f} s to {float(timed.time):.3f} s"
            )
            self._images.clear()
            stretch = None
        if stretch is None:
            stretch = self._begin(timed.time, None, None if latest is None else latest.time)
        self._images.add(timed, None)
        self._reached(stretch, max(stretch.end, timed.time - stretch.zero))

    def _reached(self, stretch: Stretch, end: Fraction) -> None:
        stretch.end = end
        self._heard_at = self._now()
        stretch.arrivals.add(self._heard_at, float(end) / self._pace)
        self._make(stretch)

    def _make(self, stretch: Stretch, *, ended: bool = False) -> None:
        """Make the hops that are complete; of a stretch that has ended, all that are there."""
        while self._is_there(stretch) if ended else self._is_complete(stretch):
            item = self._item(stretch)
            stretch.hop += 1
            self._answered = stretch.base + stretch.hop * self._wanted.step
            self._put(item)

    def _is_there(self, stretch: Stretch) -> bool:
        """Whether a stretch that has ended has the middle of the next hop, as a clip would."""
        if self._images is not None:
            seconds = ceil(stretch.end - HALF)
        else:
            assert stretch.audio is not None
            seconds = stretch.audio.seconds
        start, end = self._wanted.window(stretch.hop)
        return (start + end) / 2 < seconds

    def _is_complete(self, stretch: Stretch) -> bool:
        """Whether nothing of the next hop is still to come, or is waited for any longer."""
        _, end = self._wanted.window(stretch.hop)
        seconds = self._images_of(stretch)
        if stretch.audio is not None:
            frames = self._wanted.frames(stretch.hop)
            if len(frames) and frames[-1] >= stretch.audio.frames_so_far:
                return False
        elif seconds:
            end = seconds[-1] + HALF
        if stretch.end < end:
            return False
        waited = stretch.end >= end + IMAGE_WAIT
        return waited or self._images is None or all(map(self._images.has, seconds))

    def _images_of(self, stretch: Stretch) -> list[int]:
        """Return the seconds whose images the next hop has."""
        return [] if self._images is None else self._wanted.seconds(stretch.hop).tolist()

    def _item(self, stretch: Stretch) -> Hop | Gap:
        """Return the next hop of a stretch."""
        start, end = self._wanted.window(stretch.hop)
        live = float(stretch.base + start)
        images: dict[int, Jpeg] = {}
        samples = view = None
        fault = "" if self._images is None else "no instant of an image"
        if self._images is not None:
            for second in self._images_of(stretch):
                image = self._images.of(second)
                if isinstance(image, str):
                    fault = image
                else:
                    images[second] = image
            self._images.forget(int(start) - 1)
        if stretch.audio is not None and self._wanted.acoustic is not None:
            frames = self._wanted.frames(stretch.hop)
            frames = frames[frames < stretch.audio.frames_so_far]
            if not len(frames):
                images, fault = {}, "no whole acoustic frame"
            else:
                samples = stretch.audio.take(int(frames[0]), int(frames[-1]) + 1)
                row = {second: number for number, second in enumerate(images)}
                seconds = framing.second(frames, self._wanted.acoustic).tolist()
                view = np.array([row.get(second, -1) for second in seconds], np.int64)
        if fault and (not images or (view is not None and (view < 0).all())):
            return Gap(live, live + float(self._wanted.step), fault)
        due = stretch.arrivals.when(float(end) / self._pace)
        live_end = float(stretch.base + end)
        step = float(self._wanted.step)
        seen = view if images else None
        return Hop(live, live_end, step, due, samples, tuple(images.values()), seen)
