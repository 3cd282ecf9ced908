"""Images of a running source: the video frame on show at k + 0.5 s, as JPEG, for each second k.

With N images a second, image k is the one on show at (k + 0.5) / N s (`ImageSpec`).

A video frame is on show until the next one comes; which one was on show at an instant is known when
the first later one is decoded. Only one video frame is held as long as the time line is known.
"""

from collections import deque
from fractions import Fraction

import av
import numpy as np

from avsc.features.images import Orientation, orientation, rgb
from avsc.features.jpeg import encode
from avsc.features.live.hop import Jpeg
from avsc.features.live.video_decoder import TimedFrame
from avsc.features.specs import ImageSpec
from avsc.manifests.errors import MediaError

MAX_HELD_PIXELS = 1 << 26
"""Of the video frames held while the time line is unknown, all together (100 MB as decoded)."""

MAX_BACK = Fraction(1, 10)
MAX_JUMP = Fraction(10)
"""What a clock may go back and forward by, seconds; beyond, it was reset (see `continuity`)."""


class LiveImages:
    """Chooses and encodes the images of a stretch."""

    def __init__(self, spec: ImageSpec) -> None:
        self._ready: dict[int, Jpeg | str] = {}  # by key k: the JPEG, or why there is none
        self._spec = spec
        self._zero: Fraction | None = None
        self._key = 0  # of the next one wanted
        self._held: deque[TimedFrame] = deque()
        self._next: deque[TimedFrame] = deque()  # of a clock that the audio does not show yet
        self._encoded: tuple[TimedFrame, Jpeg] | None = None
        self._upright: tuple[int, Orientation] | None = None  # for frames of which rotation
        self._changed: tuple[Fraction, Fraction] | None = None

    def begin(self, zero: Fraction, reset_from: Fraction | None = None) -> None:
        """Begin a stretch, whose second 0 begins at `zero` on the source's clock.

        Args:
            zero: seconds.
            reset_from: what the clock showed before it was reset; None when it was not. Video
                frames that are still of the clock before are then left out.
        """
        self._zero, self._key = zero, 0
        self._ready.clear()
        if reset_from is not None:
            self._changed = reset_from, zero
            pending, self._held = self._next, deque()
            self._next = deque()
            for frame in pending:
                self.add(frame, zero)
        self._choose()

    def move(self, zero: Fraction) -> None:
        """Move the time line of the current stretch a little, as the audio's clock does."""
        self._zero = zero

    def clear(self) -> None:
        """Forget all video frames: the connection is a new one."""
        self._held.clear()
        self._next.clear()
        self._zero, self._changed, self._upright = None, None, None

    @property
    def apart(self) -> bool:
        """Whether video frames wait for the audio's clock to follow theirs."""
        return bool(self._next)

    def has(self, key: int) -> bool:
        """Whether an image, or that there is none, is known."""
        return key in self._ready

    def of(self, key: int) -> Jpeg | str:
        """Return the JPEG of an image, or why there is none."""
        return self._ready.get(key, "no image in time")

    def forget(self, before: int) -> None:
        """Forget the images before a second."""
        for key in [k for k in self._ready if k < before * self._spec.per_second]:
            del self._ready[key]

    def add(self, timed: TimedFrame, now: Fraction | None) -> None:
        """Add a video frame; in the order of their display.

        A video frame of another clock than the audio's is kept until the audio follows; of those,
        only the latest.

        Args:
            timed: what was decoded.
            now: what the source's clock shows by the audio, seconds; None when unknown.
        """
        if self._changed is not None:
            before, after = self._changed
            if abs(timed.time - before) < abs(timed.time - after):
                return
            self._changed = None
        if self._held and self._jumps(self._held[-1], timed, now):
            self._next.append(timed)
            _limit(self._next)
            return
        self._next.clear()
        if self._held and timed.time <= self._held[-1].time:
            if timed.frame is not None:
                return
            self._held.pop()
        self._held.append(timed)
        self._choose()
        if self._zero is None:
            _limit(self._held)

    def finish(self, end: Fraction) -> None:
        """End the stretch: its last video frame is on show for its own duration.

        Args:
            end: of the stretch, seconds after its time 0; it has the images of a clip so long.
        """
        if self._held and self._zero is not None:
            last = self._held[-1]
            while last.time + last.duration > self._instant(self._zero):
                self._take(last)
        count = self._spec.count(end)
        self._ready = {key: image for key, image in self._ready.items() if key < count}

    @staticmethod
    def _jumps(before: TimedFrame, after: TimedFrame, now: Fraction | None) -> bool:
        step = after.time - before.time
        if step > MAX_JUMP and now is not None:  # unless only the video frames paused
            return abs(after.time - now) > MAX_JUMP
        return not -MAX_BACK <= step <= MAX_JUMP

    def _choose(self) -> None:
        while self._zero is not None and len(self._held) > 1:
            if self._held[1].time <= self._instant(self._zero):
                self._held.popleft()
            else:
                self._take(self._held[0])

    def _take(self, timed: TimedFrame) -> None:
        """Take a video frame for the next image, which it is unless it comes after its instant."""
        assert self._zero is not None
        if timed.time > self._instant(self._zero):
            self._ready[self._key] = "no image"
        elif timed.frame is None:
            self._ready[self._key] = "damaged image"
        else:
            self._ready[self._key] = self._jpeg(timed, timed.frame)
        self._key += 1

    def _instant(self, zero: Fraction) -> Fraction:
        """Return when the next image is on show, on the source's clock."""
        return zero + self._spec.instant(self._key)

    def _jpeg(self, timed: TimedFrame, frame: av.VideoFrame) -> Jpeg | str:
        """Return a video frame as JPEG, made once, or why that cannot be done."""
        if self._encoded is None or self._encoded[0] is not timed:
            try:
                # Asking each frame for its side data would keep it alive (see `orientation`).
                if self._upright is None or self._upright[0] != frame.rotation:
                    self._upright = frame.rotation, orientation(frame)
                image = rgb(frame, self._spec.short_side, self._upright[1])
                jpeg = encode(image, self._spec)
            except MediaError as fault:
                return str(fault)
            self._encoded = timed, np.frombuffer(jpeg, np.uint8)
        return self._encoded[1]


def _limit(frames: deque[TimedFrame]) -> None:
    """Drop the earliest video frames of those held until they are few enough."""
    pixels = sum(p.frame.width * p.frame.height for p in frames if p.frame is not None)
    while pixels > MAX_HELD_PIXELS and len(frames) > 1:
        dropped = frames.popleft().frame
        pixels -= 0 if dropped is None else dropped.width * dropped.height
