"""An open live source: what is decoded of it, with the times of its own clock.

The decoders are set up as extraction's are: one thread, and no error concealed. Pictures are
decoded from the first packet on that decoding may begin with; a packet that is damaged, or of which
the transport lost a part, spoils all pictures up to the next such packet, as in `features.pictures`.
Sound that is damaged or lost ends the connection's current stretch (see `hops`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from avsc.features.h264 import begins_in_between, recovers_at_once
from avsc.features.limits import Limits
from avsc.features.live.address import Address, Kind
from avsc.features.streams import default_stream
from avsc.features.video import decoded
from avsc.manifests.errors import MediaError

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"
_SOUND_OPTIONS = {"err_detect": "crccheck+explode"}


@dataclass(frozen=True)
class SoundChunk:
    """Decoded sound.

    Attributes:
        time: of the first sample on the source's clock, seconds.
        rate: samples per second.
        samples: float32 [channels, n].
        after_loss: what shows that samples are missing before these; empty when nothing does.
    """

    time: Fraction
    rate: int
    samples: NDArray[np.float32]
    after_loss: str = ""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        time: from which it is on show, on the source's clock, seconds.
        duration: seconds, for the last one; 0 when unknown.
        frame: None where a picture that cannot be decoded without error would be on show.
    """

    time: Fraction
    duration: Fraction
    frame: av.VideoFrame | None


class Connection:
    """Decodes what a source sends.

    Args:
        containers: one, or a camera's and a microphone's, whose clocks are the same.
        name: of the source, for errors.
        limits: of the pictures' size.

    Raises:
        MediaError: ``"no-sound"`` or ``"no-video"`` when a wanted stream is not there;
            ``"undecodable"``; ``"too-large"``.
    """

    def __init__(
        self, containers: list[InputContainer], name: str, needs: frozenset[str], limits: Limits
    ) -> None:
        self._containers = containers
        self._name = name
        self._audio, self._video = (_stream(containers, kind) for kind in ("audio", "video"))
        for kind, stream in (("audio", self._audio), ("video", self._video)):
            if kind in needs and stream is None:
                held = sorted({s.type for c in containers for s in c.streams}) or ["nothing"]
                code, wanted = _MISSING[kind]
                raise MediaError(code, f"{name}: holds {', '.join(held)}, no {wanted}.")
            if stream is not None and stream.codec_context is None:
                raise MediaError("undecodable", f"{name}: FFmpeg knows no decoder for its {kind}.")
        if "video" not in needs:
            self._video = None
        if isinstance(self._audio, av.AudioStream):
            self._audio.codec_context.thread_count = 1
            self._audio.codec_context.options = dict(_SOUND_OPTIONS)
        if isinstance(self._video, av.VideoStream):
            self._pictures = _PictureDecoder(self._video, name, limits)
        self._planar = av.AudioResampler(format="fltp")
        self._lost = ""

    @property
    def has_sound(self) -> bool:
        """Whether the source has sound, whose clock then is everything's."""
        return self._audio is not None

    def media(self, wait: Callable[[Fraction], None]) -> Iterator[SoundChunk | Picture]:
        """Yield what is decoded, in the order in which it comes.

        Args:
            wait: called before each packet with the time at which it is due.

        Raises:
            MediaError, av.error.FFmpegError: the source broke off.
        """
        for packet in self._packets():
            if packet.dts is not None and packet.time_base is not None:
                wait(packet.dts * packet.time_base)
            if packet.stream is self._audio:
                yield from self._sound(packet)
            else:
                yield from self._pictures.decode(packet)

    def _packets(self) -> Iterator["av.Packet[av.AudioStream] | VideoPacket"]:
        """Yield the packets of both streams; of two containers, of the one that is behind."""
        wanted = [stream for stream in (self._audio, self._video) if stream is not None]
        inputs = [
            (container, [s for s in wanted if s.container is container])
            for container in self._containers
        ]
        packets = [container.demux(streams) for container, streams in inputs if streams]
        reached = [-np.inf] * len(packets)
        while packets:
            behind = int(np.argmin(reached))
            packet = next(packets[behind], None)
            if packet is None:
                return
            if packet.dts is not None and packet.time_base is not None:
                reached[behind] = float(packet.dts * packet.time_base)
            yield packet

    def _sound(self, packet: "av.Packet[av.AudioStream]") -> Iterator[SoundChunk]:
        assert isinstance(self._audio, av.AudioStream)
        if packet.is_corrupt:
            self._lost = "a part of its sound was lost on the way"
        try:
            frames = self._audio.codec_context.decode(packet if packet.size else None)
        except av.error.FFmpegError as error:
            self._lost = f"a part of its sound cannot be decoded ({error.strerror})"
            return
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                raise MediaError("undecodable", f"{self._name}: its sound carries no times.")
            for part in self._planar.resample(frame):
                samples = np.asarray(part.to_ndarray(), np.float32)
                yield SoundChunk(
                    frame.pts * frame.time_base, frame.sample_rate, samples, self._lost
                )
                self._lost = ""


_MISSING = {
    "audio": ("no-sound", "sound; the model was trained on sound"),
    "video": ("no-video", "video; the model was trained on images"),
}


class _PictureDecoder:
    """Decodes the pictures of a stream that may begin, and be damaged, anywhere."""

    def __init__(self, stream: av.VideoStream, name: str, limits: Limits) -> None:
        self._name = name
        self._context = stream.codec_context
        self._tick = stream.time_base or Fraction(0)
        self._whole = False  # whether all that is needed for the next picture was decoded
        self._first: int | None = None  # time from which pictures are right, ticks
        self._latest: int | None = None
        self._context.thread_type = "NONE"
        self._context.thread_count = 1
        self._context.options = {"max_pixels": str(limits.pixels), "err_detect": "explode"}
        if self._context.width * self._context.height > limits.pixels:
            raise MediaError(
                "too-large",
                f"{name}: pictures of {self._context.width} x {self._context.height}; at most "
                f"{limits.pixels} pixels (--max-pixels): let the source send smaller ones.",
            )

    def decode(self, packet: VideoPacket) -> Iterator[Picture]:
        """Yield the pictures that a packet completes, in the order of their display."""
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

    def _spoiled(self, packet: VideoPacket) -> Iterator[Picture]:
        """Yield what was right before a packet, and that nothing is from there on."""
        if not self._whole:
            return
        yield from self._shown(decoded(self._context, None) or [])
        self._whole = False
        due = packet.dts if packet.dts is not None else packet.pts
        times = [time for time in (due, self._latest) if time is not None]
        if times:
            yield Picture(max(times) * self._tick, Fraction(0), None)

    def _shown(self, frames: list[av.VideoFrame]) -> Iterator[Picture]:
        for frame in frames:
            time = frame.pts if frame.pts is not None else frame.dts
            if time is None:
                raise MediaError("undecodable", f"{self._name}: its pictures carry no times.")
            if self._first is not None and time < self._first:
                continue  # needs what came before decoding began
            self._latest = time
            frame.time_base = self._tick
            yield Picture(time * self._tick, (frame.duration or 0) * self._tick, frame)


def _stream(containers: list[InputContainer], kind: str) -> "av.stream.Stream | None":
    found = (default_stream(c, "audio" if kind == "audio" else "video") for c in containers)
    return next((stream for stream in found if stream is not None), None)


@contextmanager
def connected(
    addresses: tuple[Address, ...], needs: frozenset[str], timeout: float, limits: Limits
) -> Iterator[Connection]:
    """Open a source.

    Args:
        addresses: one, or a camera and a microphone.
        needs: ``"audio"`` and ``"video"``, whichever the model was trained on.
        timeout: seconds to wait for it to open, and later for each packet.
        limits: of the pictures' size.

    Raises:
        MediaError: with code ``"unreachable"``, or those of `Connection`.
    """
    with ExitStack() as files:
        containers = [_opened(address, files, timeout) for address in addresses]
        yield Connection(containers, " + ".join(a.name for a in addresses), needs, limits)


def _opened(address: Address, files: ExitStack, timeout: float) -> InputContainer:
    began = time.monotonic()
    try:
        if address.kind is Kind.FILE:
            file = files.enter_context(Path(address.url).open("rb"))
            container = av.open(file, "r", metadata_errors="replace", options=address.options)
        else:
            container = av.open(
                address.url,
                "r",
                format=address.format,
                options=address.options,
                metadata_errors="replace",
                timeout=(timeout, timeout),
            )
    except (av.error.FFmpegError, OSError) as error:
        if time.monotonic() - began >= timeout:
            reason = f"nothing that can be decoded came within {timeout:g} s (--timeout)"
        else:
            reason = broken(error)
        raise MediaError(
            "unreachable", f"{address.name}: {reason}; wanted a source that is running."
        ) from error
    return files.enter_context(container)


def broken(error: Exception) -> str:
    """Return in words how a source broke off."""
    if isinstance(error, av.error.FFmpegError | OSError):
        return (error.strerror or type(error).__name__).lower()
    return str(error)
