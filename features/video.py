"""An open video file: its packets, its decoder and its clock.

Conventions. A stream's times are whole *ticks* of its time base, on the file's own clock, whose
zero is the start of the file's first stream (sound or video).

The decoder has one thread, since every core has its own clip to work on, and gives up at the first
error (``err_detect=explode``) rather than conceal it.

Source: ISO/IEC 14496-12, 4.2 (boxes of MP4 files).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer

from avsc.features.continuity import BROADCAST, Continuity, check_clock, check_index, continuity
from avsc.features.h264 import begins_in_between
from avsc.features.limits import Limits
from avsc.features.recording import Recording, recorded
from avsc.features.streams import default_stream
from avsc.manifests.errors import MediaError

MAX_PACKETS = 1_000_000
"""A video of more packets is refused: all are held in memory, and an index may name any number."""

Packet: TypeAlias = "av.Packet[av.VideoStream]"


@dataclass(frozen=True)
class Video:
    """An open video.

    Attributes:
        limits: what may be decoded of it.
        stream: where it is in the file.
        context: its decoder.
        tolerant: a decoder that continues after an error and marks the frames that it spoiled,
            for H.264 that does not begin with an IDR picture: what precedes its first frames is
            missed, which is no damage. None for any other video.
        packets: in decoding order, at least one.
        timed: whether the file says when its frames are on show, and not only when their packets
            are to be decoded.
        tick: unit of the packets' times, seconds.
        zero: start of the file's first stream, seconds.
        declared_end: end of the video as the file's header has it, seconds; None when it has none.
        continuity: what is missing between them.
        whole: False when the file is cut off, so that packets are missing after the last one.
    """

    path: Path
    limits: Limits
    stream: av.VideoStream
    context: av.VideoCodecContext
    tolerant: av.VideoCodecContext | None
    packets: list[Packet]
    continuity: Continuity
    timed: bool
    tick: Fraction
    zero: Fraction
    declared_end: Fraction | None
    whole: bool

    def decoder(self, first: int) -> av.VideoCodecContext:
        """Return the decoder for packets from the `first` on, where a run begins."""
        context = self.context if first or self.tolerant is None else self.tolerant
        context.flush_buffers()
        return context


def decoded(context: av.VideoCodecContext, packet: "Packet | None") -> list[av.VideoFrame] | None:
    """Return what a decoder gives for a packet (None: all it has left); None for an error."""
    try:
        return context.decode(packet)
    except av.error.FFmpegError:
        return None


@contextmanager
def opened(recording: Path | Recording) -> Iterator[Video]:
    """Open a recording's video and read its packets.

    Raises:
        MediaError: those of `read_recording`, ``"no-video"``, ``"undecodable"``, ``"too-large"``,
            ``"clock"``, or ``"truncated"`` when its index or every frame is missing.
    """
    with ExitStack() as files:
        yield _read(recorded(recording), files)


def _opened(recording: Recording, files: ExitStack, **more: str) -> InputContainer:
    # A file that names others is not followed; no frame is too large for the limit.
    options = {"protocol_whitelist": "none", "max_pixels": str(recording.limits.pixels), **more}
    try:
        container = av.open(recording.stream(), "r", metadata_errors="replace", options=options)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            "undecodable",
            f"{recording.path}: {error.strerror or error}; wanted a video that FFmpeg can decode.",
        ) from error
    return files.enter_context(container)


def _is_mp4(path: Path, content: bytes) -> bool:
    """Return whether a file is MP4, which must have an index (its outermost box ``moov``)."""
    if content[4:8] != b"ftyp":
        return False
    begin, name = 0, b""
    while begin < len(content) and name != b"moov":
        name = content[begin + 4 : begin + 8]
        length = int.from_bytes(content[begin : begin + 4])
        if length == 1:
            length = int.from_bytes(content[begin + 8 : begin + 16])
        if length == 0:
            length = len(content) - begin
        begin += max(8, length)
    if name == b"moov" and begin <= len(content):
        return True
    raise MediaError(
        "truncated",
        f"{path}: an MP4 file without its whole index (moov), as when it is cut off or was never "
        "finished; copy it again.",
    )


def _read(recording: Recording, files: ExitStack) -> Video:
    path = recording.path
    mp4 = _is_mp4(path, recording.content)
    # The index of an MP4 file says all that must be known.
    container = _opened(recording, files, **({"skip_frame": "all"} if mp4 else {}))
    stream = _video_stream(recording, container)
    _prepare(stream, recording, err_detect="explode")
    packets, whole = _packets(recording, container, stream)
    if container.format.name in BROADCAST:
        # Key frames are then marked by the frames themselves: what precedes them needs others.
        del packets[: next((i for i, packet in enumerate(packets) if packet.is_keyframe), 0)]
    if not packets:
        code, reason = ("no-video", "has no frames") if whole else ("truncated", "is cut off")
        raise MediaError(code, f"{path}: the video stream {reason}; wanted frames.")
    tolerant = None
    if begins_in_between(stream.codec_context, packets):
        again = _video_stream(recording, _opened(recording, files))
        _prepare(again, recording)
        tolerant = again.codec_context
    starts = [
        other.start_time * other.time_base
        for other in container.streams
        if other.type in ("audio", "video")
        and other.start_time is not None
        and other.time_base is not None
    ]
    tick = packets[0].time_base
    declared = None if stream.duration is None else (stream.start_time or 0) + stream.duration
    return Video(
        path=path,
        limits=recording.limits,
        stream=stream,
        context=stream.codec_context,
        tolerant=tolerant,
        packets=packets,
        continuity=continuity(stream.codec_context, packets, recording.content, stream.id),
        timed=mp4 or _is_timed(recording, stream),
        tick=tick,
        zero=min(starts, default=Fraction(0)),
        declared_end=None if declared is None else declared * tick,
        whole=whole,
    )


def _video_stream(recording: Recording, container: InputContainer) -> av.VideoStream:
    """Return the video stream that players take; its frames are not too large."""
    path, most = recording.path, recording.limits.pixels
    stream = default_stream(container, "video")
    if not isinstance(stream, av.VideoStream):
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise MediaError("no-video", f"{path}: holds {found}, no video stream; wanted a video.")
    context = stream.codec_context
    if context is None:
        raise MediaError("undecodable", f"{path}: FFmpeg knows no decoder for its video.")
    if context.width * context.height > most:
        raise MediaError(
            "too-large",
            f"{path}: frames of {context.width} x {context.height}; at most {most} pixels "
            "(--max-pixels): scale the video down.",
        )
    return stream


def _prepare(stream: av.VideoStream, recording: Recording, **options: str) -> None:
    """Set up a stream's decoder."""
    context = stream.codec_context
    context.thread_type = "NONE"
    context.thread_count = 1
    context.options = {"max_pixels": str(recording.limits.pixels), **options}


def _is_timed(recording: Recording, stream: av.VideoStream) -> bool:
    """Return whether a file says when the frames of a codec that reorders them are on show.

    AVI and Windows Media say only when packets are to be decoded, bare streams not even that;
    FFmpeg then guesses, wrongly, unless it is told not to fill in what the file does not say.
    """
    if not stream.codec_context.codec.reorder:
        return True
    with ExitStack() as files:
        container = _opened(recording, files, fflags="nofillin")
        try:
            packets = container.demux(container.streams[stream.index])
            return any(packet.pts is not None for packet in packets)
        except (av.error.InvalidDataError, av.error.EOFError):
            return False


def _packets(
    recording: Recording, container: InputContainer, stream: av.VideoStream
) -> tuple[list[Packet], bool]:
    """Return the packets, and whether the file holds all that it should."""
    packets: list[Packet] = []
    size = left = len(recording.content)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt and container.format.name != "mpegts":
                return packets, False
            if packet.size:
                packets.append(packet)
                left -= packet.size
            if left < 0 or len(packets) > MAX_PACKETS:
                raise MediaError(
                    "too-large",
                    f"{recording.path}: {len(packets)} packets or more, of {size - left} bytes in "
                    f"a file of {size}; at most {MAX_PACKETS}, and no byte twice, as by an edit "
                    "list that shows a piece again: make it again.",
                )
    except (av.error.InvalidDataError, av.error.EOFError):
        return packets, False
    if packets and packets[-1].is_corrupt:
        return packets[:-1], False
    if not container.format.name.startswith("mov,"):  # an edit list may repeat and skip
        check_clock(recording.path, packets, container.format.name)
    whole = all(entry.pos + entry.size <= size for entry in stream.index_entries)
    if whole and container.format.name == "avi":
        check_index(recording.path, packets, stream)
    return packets, whole
