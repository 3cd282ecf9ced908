"""An open video file: its packets, its decoder and its clock.

Conventions. A stream's times are whole *ticks* of its time base, on the file's own clock, whose
zero is the start of the file's first stream (sound or video).

The decoder has one thread, since every core has its own clip to work on, and gives up at the first
error (``err_detect=explode``) rather than conceal it.

Source: ISO/IEC 14496-12, 4.2 (boxes of MP4 files).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition

from avsc.manifests.errors import MediaError

MAX_BYTES = 2 << 30
"""A larger file is refused: its packets are held in memory."""

MAX_PIXELS = 8192 * 8192
"""A video whose pictures have more pixels is refused."""

Packet: TypeAlias = "av.Packet[av.VideoStream]"


@dataclass(frozen=True)
class Video:
    """An open video.

    Attributes:
        path: the file.
        context: its decoder.
        packets: in decoding order, at least one.
        tick: unit of the packets' times, seconds.
        zero: start of the file's first stream, seconds.
        declared_end: end of the video as the file's header has it, seconds; None when it has none.
        whole: False when the file is cut off, so that packets are missing after the last one.
    """

    path: Path
    context: av.VideoCodecContext
    packets: list[Packet]
    tick: Fraction
    zero: Fraction
    declared_end: Fraction | None
    whole: bool

    def decode(self, packet: "Packet | None") -> list[av.VideoFrame] | None:
        """Return what the decoder gives for a packet (None: all it has left); None for an error."""
        try:
            return self.context.decode(packet)
        except av.error.FFmpegError:
            return None


@contextmanager
def opened(path: Path) -> Iterator[Video]:
    """Open a video file and read its packets.

    Raises:
        MediaError: ``"missing"``, ``"unreadable"``, ``"empty"``, ``"too-large"``, ``"no-video"``,
            ``"undecodable"``, or ``"truncated"`` when its index or every picture is missing.
    """
    size = _size(path)
    options = {"protocol_whitelist": "file"}
    try:
        if _is_mp4(path, size):  # its index says all that must be known: decode nothing to open it
            options["skip_frame"] = "all"
        container = av.open(path, metadata_errors="replace", options=options)
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            raise MediaError("unreadable", f"{path}: {reason}; wanted a video file.") from error
        raise MediaError(
            "undecodable", f"{path}: {reason}; wanted a video that FFmpeg can decode."
        ) from error
    with container:
        yield _read(path, size, container)


def _size(path: Path) -> int:
    """Return a file's size, bytes, when it is a file of a size that can be read."""
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        found = f"a link to {path.readlink()}, which is missing" if path.is_symlink() else "no file"
        raise MediaError("missing", f"{path}: {found}; wanted a video file.") from error
    except OSError as error:
        raise MediaError("unreadable", f"{path}: {error.strerror}; wanted a video file.") from error
    if not path.is_file():
        raise MediaError("unreadable", f"{path}: not a file; wanted a video file.")
    if size == 0:
        raise MediaError("empty", f"{path}: 0 bytes; copy the file again.")
    if size > MAX_BYTES:
        raise MediaError(
            "too-large", f"{path}: {size} bytes; at most {MAX_BYTES}: cut it into shorter clips."
        )
    return size


def _is_mp4(path: Path, size: int) -> bool:
    """Return whether a file is MP4, which must have an index (its outermost box ``moov``)."""
    begin, name = 0, b""
    with path.open("rb") as file:
        while begin < size and name != b"moov":
            file.seek(begin)
            head = file.read(16)
            name = head[4:8]
            if begin == 0 and name != b"ftyp":
                return False
            length = int.from_bytes(head[:4])
            if length == 1:
                length = int.from_bytes(head[8:])
            if length == 0:
                length = size - begin
            begin += max(8, length)
    if name == b"moov" and begin <= size:
        return True
    raise MediaError(
        "truncated",
        f"{path}: an MP4 file without its whole index (moov), as when it is cut off or was never "
        "finished; copy it again.",
    )


def _read(path: Path, size: int, container: InputContainer) -> Video:
    stream = _video_stream(path, container)
    packets, whole = _packets(container, stream, size)
    if not packets:
        code, reason = ("no-video", "has no pictures") if whole else ("truncated", "is cut off")
        raise MediaError(code, f"{path}: the video stream {reason}; wanted pictures.")
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
        context=stream.codec_context,
        packets=packets,
        tick=tick,
        zero=min(starts, default=Fraction(0)),
        declared_end=None if declared is None else declared * tick,
        whole=whole,
    )


def _video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """Return the first video stream that is not a cover picture, its decoder set up."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise MediaError("no-video", f"{path}: holds {found}, no video stream; wanted a video.")
    context = streams[0].codec_context
    if context is None:
        raise MediaError("undecodable", f"{path}: FFmpeg knows no decoder for its video.")
    if context.width * context.height > MAX_PIXELS:
        raise MediaError(
            "too-large",
            f"{path}: pictures of {context.width} x {context.height}; at most {MAX_PIXELS} pixels: "
            "scale the video down.",
        )
    context.thread_type = "NONE"
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    return streams[0]


def _packets(
    container: InputContainer, stream: av.VideoStream, size: int
) -> tuple[list[Packet], bool]:
    """Return the packets, and whether the file holds all that it should."""
    packets: list[Packet] = []
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                return packets, False
            if packet.size:
                packets.append(packet)
    except (av.error.InvalidDataError, av.error.EOFError):
        return packets, False
    return packets, all(entry.pos + entry.size <= size for entry in stream.index_entries)
