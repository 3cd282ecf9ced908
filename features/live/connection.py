"""An open live source: what is decoded of it, with the times of its own clock.

The decoders are set up as those of extraction: one thread, and no error concealed. Sound
that is damaged or lost ends the current stretch (see `hop_maker`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from avsc.features.limits import Limits
from avsc.features.live.address import Address, Kind
from avsc.features.live.video_decoder import TimedFrame, VideoDecoder, VideoPacket
from avsc.features.streams import default_stream
from avsc.manifests.errors import MediaError

AudioPacket: TypeAlias = "av.Packet[av.AudioStream]"
_AUDIO_OPTIONS = {"err_detect": "crccheck+explode"}


@dataclass(frozen=True)
class Needs:
    """What a model takes of a source.

    Attributes:
        kinds: ``"audio"`` and ``"video"``, or one of them.
        either: whether one of several may be missing.
    """

    kinds: frozenset[str]
    either: bool = False


@dataclass(frozen=True)
class AudioChunk:
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


UNTIMED = ("avi", "asf")
"""Containers with times of decoding alone (see `features.timeline`)."""

IDLE = 0.002
"""Seconds for a packet from which on it was waited for, and was not there already."""


class Connection:
    """Decodes what a source sends.

    Attributes:
        idle_at: when a packet was last waited for, on `time.monotonic`: all before was decoded.

    Args:
        containers: one, or a camera's and a microphone's, whose clocks are the same.
        name: of the source, for errors.
        needs: what the model takes.
        timeout: seconds that were waited for a packet; for errors.
        limits: of the video frames' size.

    Raises:
        MediaError: ``"no-sound"`` or ``"no-video"`` when a wanted stream is not there;
            ``"undecodable"``; ``"too-large"``.
    """

    def __init__(
        self,
        containers: list[InputContainer],
        name: str,
        needs: Needs,
        timeout: float,
        limits: Limits,
    ) -> None:
        self._containers = containers
        self._name, self._timeout = name, timeout
        self._audio, self._video = (_stream(containers, kind) for kind in ("audio", "video"))
        streams = {"audio": self._audio, "video": self._video}
        enough = needs.either and any(streams[kind] is not None for kind in needs.kinds)
        for kind, stream in streams.items():
            if kind in needs.kinds and stream is None and not enough:
                types = sorted({str(s.type) for c in containers for s in c.streams})
                code, wanted = _MISSING[kind]
                held = ", ".join(types) or "nothing"
                raise MediaError(code, f"{name}: holds {held}, no {wanted}.")
            if stream is not None and stream.codec_context is None:
                raise MediaError("undecodable", f"{name}: FFmpeg knows no decoder for its {kind}.")
        if "video" not in needs.kinds:
            self._video = None
        if isinstance(self._audio, av.AudioStream):
            self._audio.codec_context.thread_count = 1
            self._audio.codec_context.options = dict(_AUDIO_OPTIONS)
        if isinstance(self._video, av.VideoStream):
            _check_timed(self._video, name)
            self._video_frames = VideoDecoder(self._video, name, limits)
        self._planar = av.AudioResampler(format="fltp")
        self._lost = ""
        self.idle_at = time.monotonic()

    @property
    def has_audio(self) -> bool:
        """Whether the source has sound, whose clock then is everything's."""
        return self._audio is not None

    @property
    def has_video(self) -> bool:
        """Whether the source has video frames that the model takes."""
        return self._video is not None

    def media(self, wait: Callable[[Fraction], None]) -> Iterator[AudioChunk | TimedFrame]:
        """Yield what is decoded, in the order in which it comes.

        Args:
            wait: called before each packet with the time at which it is due.

        Raises:
            MediaError: the source broke off; ``"unreachable"``, ``"undecodable"``.
        """
        try:
            for packet in self._packets():
                if packet.dts is not None and packet.time_base is not None:
                    wait(packet.dts * packet.time_base)
                if packet.stream is self._audio:
                    yield from self._audio_chunks(cast(AudioPacket, packet))
                else:
                    yield from self._video_frames.decode(cast(VideoPacket, packet))
        except av.error.ExitError as error:  # interrupted by the time limit
            reason = f"no data for {self._timeout:g} s (--timeout)"
            raise MediaError("unreachable", f"{self._name}: {reason}.") from error
        except (av.error.FFmpegError, OSError) as error:
            reason = f"broke off ({_reason(error)})"
            raise MediaError("unreachable", f"{self._name}: {reason}.") from error

    def _packets(self) -> Iterator["av.Packet[av.stream.Stream]"]:
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
            began = time.monotonic()
            packet = next(packets[behind], None)
            now = time.monotonic()
            if now - began > IDLE:
                self.idle_at = now
            if packet is None:
                return
            if packet.dts is not None and packet.time_base is not None:
                reached[behind] = float(packet.dts * packet.time_base)
            yield packet

    def _audio_chunks(self, packet: AudioPacket) -> Iterator[AudioChunk]:
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
                yield AudioChunk(
                    frame.pts * frame.time_base, frame.sample_rate, samples, self._lost
                )
                self._lost = ""


_MISSING = {
    "audio": ("no-sound", "sound; the model was trained on sound"),
    "video": ("no-video", "video; the model was trained on images"),
}


def _check_timed(stream: av.VideoStream, name: str) -> None:
    """Refuse containers that do not say when the frames of a codec that reorders are on show."""
    if stream.container.format.name in UNTIMED and stream.codec_context.codec.reorder:
        raise MediaError(
            "undecodable",
            f"{name}: {stream.container.format.name.upper()} does not say when its video frames "
            "are on show; put it into MP4 or MPEG-TS, or classify it without --live.",
        )


def _stream(containers: list[InputContainer], kind: str) -> "av.stream.Stream | None":
    found = (default_stream(c, "audio" if kind == "audio" else "video") for c in containers)
    return next((stream for stream in found if stream is not None), None)


@contextmanager
def connected(
    addresses: tuple[Address, ...], needs: Needs, timeout: float, limits: Limits
) -> Iterator[Connection]:
    """Open a source.

    Args:
        addresses: one, or a camera and a microphone.
        needs: what the model takes.
        timeout: seconds to wait for it to open, and later for each packet.
        limits: of the video frames' size.

    Raises:
        MediaError: with code ``"unreachable"``, or those of `Connection`.
    """
    with ExitStack() as files:
        containers = [_opened(address, files, timeout) for address in addresses]
        yield Connection(containers, " + ".join(a.name for a in addresses), needs, timeout, limits)


def _opened(address: Address, files: ExitStack, timeout: float) -> InputContainer:
    began = time.monotonic()
    is_file = address.kind is Kind.FILE
    if is_file and not Path(address.url).stat().st_size:
        raise MediaError("empty", f"{address.name}: 0 bytes; copy the file again.")
    try:
        if is_file:
            file = files.enter_context(Path(address.url).open("rb"))  # noqa: SIM115
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
            reason = _reason(error)
        wanted = "a recording" if is_file else "a source that is running"
        raise MediaError("unreachable", f"{address.name}: {reason}; wanted {wanted}.") from error
    return files.enter_context(container)


def _reason(error: av.error.FFmpegError | OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
