"""Video frames of a stream that may begin, and be damaged, anywhere.

Decoding starts at the first packet that can be decoded on its own. A packet that is damaged, or of
which the transport lost a part, spoils all video frames up to the next such packet, as in
`features.images`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import av

from avsc.features.h264 import begins_in_between, recovers_at_once
from avsc.features.limits import Limits
from avsc.features.video import decoded
from avsc.manifests.errors import MediaError

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"


@dataclass(frozen=True)
class TimedFrame:
    """A decoded video frame.

    Attributes:
        time: from which it is on show, on the source's clock, seconds.
        duration: seconds, for the last one; 0 when unknown.
        frame: None where a video frame that cannot be decoded without error would be on show.
    """

    time: Fraction
    duration: Fraction
    frame: av.VideoFrame | None


class VideoDecoder:
    """Decodes the video frames of a stream.

    Args:
        stream: of an open container.
        name: of the source, for errors.
        limits: of the video frames' size.

    Raises:
        MediaError: ``"too-large"``.
    """

    def __init__(self, stream: av.VideoStream, name: str, limits: Limits) -> None:
        self._name = name
        self._context = stream.codec_context
        self._tick = stream.time_base or Fraction(0)
        self._whole = False  # whether all that is needed for the next one was decoded
        self._first: int | None = None  # time from which video frames are right, ticks
        self._latest: int | None = None
        self._context.thread_type = "NONE"
        self._context.thread_count = 1
        self._context.options = {"max_pixels": str(limits.pixels), "err_detect": "explode"}
        if self._context.width * self._context.height > limits.pixels:
            raise MediaError(
                "too-large",
                f"{name}: video frames of {self._context.width} x {self._context.height}; at most "
                f"{limits.pixels} pixels (--max-pixels): let the source send smaller ones.",
            )

    def decode(self, packet: VideoPacket) -> Iterator[TimedFrame]:
        """Yield the video frames that a packet completes, in the order of their display."""
        if not packet.size:
            yield from self._shown(decoded(self._context, None) or [])
            return
        if packet.is_corrupt:
            yield from self._spoiled(packet)
        if not self._whole:
            if not self._may_begin(packet):
                return
            self._context.flush_buffers()
            self._whole, self._first = True, packet.pts
        frames = decoded(self._context, packet)
        if frames is None or any(frame.is_corrupt for frame in frames):
            yield from self._spoiled(packet)
        else:
            yield from self._shown(frames)

    def _may_begin(self, packet: VideoPacket) -> bool:
        if not packet.is_keyframe or packet.is_corrupt:
            return False
        return not begins_in_between(self._context, [packet]) or recovers_at_once(
            self._context, packet
        )

    def _spoiled(self, packet: VideoPacket) -> Iterator[TimedFrame]:
        """Yield what was right before a packet, and that nothing is from there on."""
        if not self._whole:
            return
        yield from self._shown(decoded(self._context, None) or [])
        self._whole = False
        due = packet.dts if packet.dts is not None else packet.pts
        times = [time for time in (due, self._latest) if time is not None]
        if times:
            yield TimedFrame(max(times) * self._tick, Fraction(0), None)

    def _shown(self, frames: list[av.VideoFrame]) -> Iterator[TimedFrame]:
        for frame in frames:
            time = frame.pts if frame.pts is not None else frame.dts
            if time is None:
                raise MediaError("undecodable", f"{self._name}: its video frames carry no times.")
            if self._first is not None and time < self._first:
                continue  # needs what came before decoding began
            self._latest = time
            frame.time_base = self._tick
            yield TimedFrame(time * self._tick, (frame.duration or 0) * self._tick, frame)
