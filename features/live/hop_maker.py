"""From what a running source sends to hops.

A *stretch* is what comes without a gap; it is like a clip of its own. Its time 0 is its first
sample (or, of a source without audio, its first video frame), its acoustic frames are counted from
there, and second k is there when k + 0.5 s lies before its end. Nothing is computed across a gap.

The samples are the clock, as in extraction. Where the source's clock departs from them by more than
`MAX_GAP`, that is a gap, unless it took so long that two clocks whose speeds differ by `MAX_DRIFT`
explain it; then the images' times are moved by as much.

A model that takes missing modalities is shown hops without images, and hops without sound, of which
the images are the clock. The sound's coming again is a gap, since its samples are counted anew.

Times: *live* times are seconds since the source was first heard, gaps included. The length of a gap
is taken from the source's clock, or from the wall clock where the source's clock was reset or the
connection is new.
"""

import time
from collections.abc import Callable
from fractions import Fraction
from math import ceil

import numpy as np

from avsc.features.live.connection import AudioChunk
from avsc.features.live.hop import HALF, Gap, Hop, HopSpec, Jpeg
from avsc.features.live.live_audio import LiveAudio
from avsc.features.live.live_images import MAX_BACK, MAX_JUMP, LiveImages
from avsc.features.live.stretch import Stretch
from avsc.features.live.video_decoder import TimedFrame
from avsc.manifests.errors import MediaError

IMAGE_WAIT = 2
"""Seconds of sound after the end of a hop for which its images are waited for."""

AUDIO_WAIT = 10
"""Seconds of video frames without sound after which a source of both has broken off."""

SOUND_WAIT = 3
"""Seconds of video frames after the end of a hop for which a model that takes missing modalities
waits for its sound."""


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
        self._shown, self._clocked = True, False

    def connect(self, *, shown: bool) -> None:
        """Take note of a new connection, and whether it has images."""
        self._shown = shown

    def add_audio(self, chunk: AudioChunk) -> None:
        """Add decoded sound.

        Raises:
            MediaError: the model cannot hear such sound.
        """
        self._unheard = Fraction(0)
        stretch = self._stretch
        if stretch is not None and stretch.silent:
            if 0 < self._answered - stretch.live(chunk.time) <= MAX_JUMP:
                return  # of a time that was answered for without it
            stretch = self._begin(chunk.time, chunk, self._end_silence(stretch, chunk))
        elif stretch is None:
            stretch = self._begin(chunk.time, chunk, None)
        elif gap := stretch.gap(chunk):
            before = stretch.zero + stretch.end + stretch.off
            self.end_stretch(gap)
            stretch = self._begin(chunk.time, chunk, before)
        elif self._images is not None:
            self._images.move(stretch.zero)
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
        latest, self._latest, self._clocked = self._latest, timed, clocked
        before = None if latest is None else latest.time
        stretch = self._stretch
        if clocked or (stretch is not None and stretch.silent):
            self._frame_clock(timed, before)
            return
        if before is not None:
            self._unheard += max(Fraction(0), min(timed.time - before, Fraction(1)))
        if self._wanted.takes_missing and self._unheard > SOUND_WAIT:
            if stretch is not None:
                stretch.silence()
                if self._images.apart:  # reset, and the sound did not follow
                    before = stretch.zero + stretch.end
            self._frame_clock(timed, before)
            return
        if self._unheard > AUDIO_WAIT:
            raise MediaError("no-sound", f"no sound for {AUDIO_WAIT} s")
        self._images.add(timed, None if stretch is None else stretch.zero + stretch.end)
        if stretch is not None:
            self._make(stretch)

    def end_stretch(self, reason: str, *, disconnected: bool = False) -> None:
        """End what came without a gap; with `disconnected` the next comes by a new connection."""
        stretch, self._stretch = self._stretch, None
        if stretch is not None:
            if disconnected and stretch.silent and self._latest is not None:
                stretch.end = self._latest.time + self._latest.duration - stretch.zero
            if self._images is not None:
                self._images.finish(stretch.end)
            stretch.finish()
            self._make(stretch, ended=True)
            self._ended = stretch.base + stretch.end, self._heard_at
        self._reason = self._reason or reason
        if disconnected:
            self._latest, self._unheard = None, Fraction(0)
            if self._images is not None:
                self._images.clear()

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
        rate = 0 if chunk is None else chunk.rate
        self._stretch = Stretch(base, zero, rate, audio, silent=chunk is None)
        if self._images is not None:
            self._images.begin(zero, before if reset else None)
        return self._stretch

    def _end_silence(self, stretch: Stretch, chunk: AudioChunk) -> Fraction:
        """End a stretch whose sound comes again; return what the clock showed then."""
        clock = stretch.zero + stretch.end
        if abs(chunk.time - clock) <= MAX_JUMP:
            clock = chunk.time
            stretch.end = clock - stretch.zero
        self.end_stretch("its sound came again")
        return clock

    def _frame_clock(self, timed: TimedFrame, before: Fraction | None) -> None:
        """Take a video frame's time for the source's; `before` is what that was until now."""
        assert self._images is not None
        stretch = self._stretch
        step = Fraction(0) if before is None else timed.time - before
        if before is not None and stretch is not None and not -MAX_BACK <= step <= MAX_JUMP:
            self.end_stretch(
                f"its clock goes from {float(before):.3f} s to {float(timed.time):.3f} s"
            )
            self._images.clear()
            stretch = None
        if stretch is None:
            stretch = self._begin(timed.time, None, before)
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
        if self._images is not None and (self._shown or stretch.audio is None):
            seconds = ceil(stretch.end - HALF)
        else:
            assert stretch.audio is not None
            seconds = stretch.audio.seconds
        start, end = self._wanted.window(stretch.hop)
        return (start + end) / 2 < seconds

    def _is_complete(self, stretch: Stretch) -> bool:
        """Whether nothing of the next hop is still to come, or is waited for any longer."""
        _, end = self._wanted.window(stretch.hop)
        keys = self._images_of(stretch)
        if stretch.audio is not None and self._is_heard(stretch):
            frames = self._wanted.frames(stretch.hop)
            to_come = not stretch.silent and len(frames)
            if to_come and frames[-1] >= stretch.audio.frames_so_far:
                return False
        elif keys:
            assert self._wanted.images is not None
            end = self._wanted.images.instant(keys[-1])
        if stretch.silent and not self._clocked:
            end = self._wanted.window(stretch.hop)[1] + SOUND_WAIT
        if stretch.end < end:
            return False
        waited = stretch.end >= end + IMAGE_WAIT
        return waited or self._images is None or all(map(self._images.has, keys))

    def _images_of(self, stretch: Stretch) -> list[int]:
        """Return the keys of the images that the next hop has."""
        if self._images is None or not self._shown:
            return []
        keys: list[int] = self._wanted.image_keys(stretch.hop, self._is_heard(stretch)).tolist()
        return keys

    def _is_heard(self, stretch: Stretch) -> bool:
        """Whether the next hop has sound."""
        return stretch.audio is not None and stretch.has_any(self._wanted.frames(stretch.hop))

    def _item(self, stretch: Stretch) -> Hop | Gap:
        """Return the next hop of a stretch."""
        start, end = self._wanted.window(stretch.hop)
        live = float(stretch.base + start)
        images: dict[int, Jpeg] = {}
        samples = view = None
        fault = "" if self._images is None else "no instant of an image"
        if self._images is not None:
            for key in self._images_of(stretch):
                image = self._images.of(key)
                if isinstance(image, str):
                    fault = image
                else:
                    images[key] = image
            self._images.forget(int(start) - 1)
        audio = stretch.audio if self._is_heard(stretch) else None
        if audio is not None and self._wanted.acoustic is not None:
            frames = self._wanted.frames(stretch.hop)
            frames = frames[frames < audio.frames_so_far]
            if not len(frames):
                images, fault = {}, "no whole acoustic frame"
            else:
                samples = audio.take(int(frames[0]), int(frames[-1]) + 1)
                if self._images is not None:
                    row = {key: number for number, key in enumerate(images)}
                    keys = self._wanted.images_of(frames).tolist()
                    view = np.array([row.get(key, -1) for key in keys], np.int64)
        if fault and (not images or (view is not None and (view < 0).all())):
            if samples is None or not self._wanted.takes_missing:
                return Gap(live, live + float(self._wanted.step), fault)
            images = {}
        due = stretch.arrivals.when(float(end) / self._pace)
        live_end = float(stretch.base + end)
        step = float(self._wanted.step)
        seen = view if images else None
        return Hop(live, live_end, step, due, samples, tuple(images.values()), seen)
