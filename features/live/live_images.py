"""Images of a running source: the picture on show at k + 0.5 s, as JPEG, for each second k.

A picture is on show until the next one comes; which one was on show at an instant is known when the
first later one is decoded. Only one picture is held as long as the time line is known.
"""

from collections import deque
from fractions import Fraction

import numpy as np

from avsc.features.jpeg import encode
from avsc.features.live.hop import HALF, Jpeg
from avsc.features.live.picture_decoder import Picture
from avsc.features.pictures import rgb
from avsc.features.specs import ImageSpec

MAX_HELD_PIXELS = 1 << 26
"""Of the pictures held while the time line is unknown, all together (100 MB as decoded)."""

MAX_BACK = Fraction(1, 10)
MAX_JUMP = Fraction(10)
"""What a clock may go back and forward by, seconds; beyond, it was reset (see `continuity`)."""


class LiveImages:
    """Chooses and encodes the images of a stretch.

    Args:
        spec: the product.
    """

    def __init__(self, spec: ImageSpec) -> None:
        self._ready: dict[int, Jpeg | str] = {}  # by second k: the JPEG, or why there is none
        self._spec = spec
        self._zero: Fraction | None = None
        self._second = 0  # the next one wanted
        self._held: deque[Picture] = deque()
        self._next: deque[Picture] = deque()  # of a clock that the sound does not show yet
        self._encoded: tuple[Picture, Jpeg] | None = None
        self._changed: tuple[Fraction, Fraction] | None = None

    def begin(self, zero: Fraction, reset_from: Fraction | None = None) -> None:
        """Begin a stretch, whose second 0 begins at `zero` on the source's clock.

        Args:
            zero: seconds.
            reset_from: what the clock showed before it was set anew; None when it was not. Pictures
                that are still of the clock before are then left out.
        """
        self._zero, self._second = zero, 0
        self._ready.clear()
        if reset_from is not None:
            self._changed = reset_from, zero
            pictures, self._held = self._next, deque()
            self._next = deque()
            for picture in pictures:
                self.add(picture, zero)
        self._choose()

    def move(self, zero: Fraction) -> None:
        """Move the time line of the current stretch a little, as the sound's clock does."""
        self._zero = zero

    def clear(self) -> None:
        """Forget all pictures: the connection is a new one."""
        self._held.clear()
        self._next.clear()
        self._zero, self._changed = None, None

    def has(self, second: int) -> bool:
        """Whether the image of a second, or that there is none, is known."""
        return second in self._ready

    def of(self, second: int) -> Jpeg | str:
        """Return the JPEG of a second, or why there is none."""
        return self._ready.get(second, "no picture in time")

    def forget(self, before: int) -> None:
        """Forget the images before a second."""
        for second in [k for k in self._ready if k < before]:
            del self._ready[second]

    def add(self, picture: Picture, now: Fraction | None) -> None:
        """Add a picture; in the order of their display.

        A picture that is not of the clock which the sound shows is kept until the sound shows it,
        too; of those, only the latest.

        Args:
            picture: what was decoded.
            now: what the source's clock shows by the sound, seconds; None when unknown.
        """
        if self._changed is not None:
            before, after = self._changed
            if abs(picture.time - before) < abs(picture.time - after):
                return
            self._changed = None
        if self._held and self._jumps(self._held[-1], picture, now):
            self._next.append(picture)
            _limit(self._next)
            return
        self._next.clear()
        if self._held and picture.time <= self._held[-1].time:
            if picture.frame is not None:
                return
            self._held.pop()
        self._held.append(picture)
        self._choose()
        if self._zero is None:
            _limit(self._held)

    def finish(self) -> None:
        """End the stretch: its last picture is on show for its own duration."""
        if self._held and self._zero is not None:
            last = self._held[-1]
            while last.time + last.duration > self._zero + self._second + HALF:
                self._take(last)

    @staticmethod
    def _jumps(before: Picture, after: Picture, now: Fraction | None) -> bool:
        step = after.time - before.time
        if step > MAX_JUMP and now is not None:  # unless only the pictures paused
            return abs(after.time - now) > MAX_JUMP
        return not -MAX_BACK <= step <= MAX_JUMP

    def _choose(self) -> None:
        while self._zero is not None and len(self._held) > 1:
            if self._held[1].time <= self._zero + self._second + HALF:
                self._held.popleft()
            else:
                self._take(self._held[0])

    def _take(self, picture: Picture) -> None:
        """Take a picture for the next second, which it is on show in unless it is too late."""
        assert self._zero is not None
        if picture.time > self._zero + self._second + HALF:
            self._ready[self._second] = "no picture"
        elif picture.frame is None:
            self._ready[self._second] = "picture damaged"
        else:
            if self._encoded is None or self._encoded[0] is not picture:
                jpeg = encode(rgb(picture.frame, self._spec.short_side), self._spec)
                self._encoded = picture, np.frombuffer(jpeg, np.uint8)
            self._ready[self._second] = self._encoded[1]
        self._second += 1


def _limit(pictures: deque[Picture]) -> None:
    """Drop the earliest pictures of those held until they are few enough."""
    pixels = sum(p.frame.width * p.frame.height for p in pictures if p.frame is not None)
    while pixels > MAX_HELD_PIXELS and len(pictures) > 1:
        dropped = pictures.popleft().frame
        pixels -= 0 if dropped is None else dropped.width * dropped.height
