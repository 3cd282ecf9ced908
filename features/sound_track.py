"""The sound track of a video, or any other sound that FFmpeg can decode.

Times are seconds on the file's clock. The decoder has one thread and conceals no error; whatever
shows that samples are missing (an index that points behind the file's end, a length in the header,
a gap in the clock) is an error of its own. Bare MP3 and AAC streams, Ogg, and WebM as browsers
record it have neither index nor length: cut off between two packets, they pass for whole.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from avsc.features.recording import Recording
from avsc.manifests.errors import MediaError

MAX_GAP_SECONDS = 0.05
"""What a track's clock and the number of its samples may differ by."""

MAX_LOSS_SECONDS = 0.25
"""What a track may end earlier than its header says: codecs add samples at both ends."""

GUESSED = ("aac", "mp3")
"""Bare streams: their headers have no length, and FFmpeg guesses one from the bit rate."""

OPTIONS = {"protocol_whitelist": "none", "skip_frame": "all"}
"""A file that names others is not followed; no picture is decoded only to open one."""


@dataclass(frozen=True)
class SoundTrack:
    """An open sound track, to be read or measured once."""

    path: Path
    container: InputContainer
    stream: av.AudioStream

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.stream.codec_context.channels

    @property
    def rate(self) -> int:
        """Samples per second and channel."""
        return self.stream.rate

    @property
    def declared_seconds(self) -> float | None:
        """Length that the file's header has; None where it has none."""
        end = self._declared_end()
        return None if end is None else end - float((self.stream.start_time or 0) * self._tick)

    def start(self) -> Fraction:
        """Return when the first sample is heard."""
        for frame in self.container.decode(self.stream):
            return _time(frame)
        raise MediaError("empty", f"{self.path}: no samples of sound; leave the clip out.")

    def seconds(self) -> float:
        """Return the length: what the header has, otherwise what the packets have."""
        if self.declared_seconds is not None:
            return self.declared_seconds
        packets = [packet for packet in self.container.demux(self.stream) if packet.size]
        if not packets:
            raise MediaError("empty", f"{self.path}: no samples of sound; leave the clip out.")
        end = (packets[-1].pts or 0) + (packets[-1].duration or 0)
        return float((end - (packets[0].pts or 0)) * self._tick)

    def parts(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the samples, float32 [channels, n], in order.

        Raises:
            MediaError: ``"undecodable"``, or, at the end, ``"truncated"`` or ``"gap"``.
        """
        planar = av.AudioResampler(format="fltp")
        start, end, count = None, Fraction(0), 0
        for frame in self.container.decode(self.stream):
            if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
                raise MediaError(
                    "undecodable", f"{self.path}: changes its rate or channels; make it again."
                )
            start = _time(frame) if start is None else start
            end = _time(frame) + Fraction(frame.samples, self.rate)
            count += frame.samples
            for part in planar.resample(frame):
                yield np.asarray(part.to_ndarray(), np.float32)
        if start is not None:
            self._check_whole(end, gap=float(end - start - Fraction(count, self.rate)))

    def _check_whole(self, end: Fraction, gap: float) -> None:
        declared = self._declared_end()
        if declared is not None and end < declared - MAX_LOSS_SECONDS:
            raise MediaError(
                "truncated",
                f"{self.path}: its sound should end at {declared:.3f} s, ends at {float(end):.3f}; "
                "copy it again.",
            )
        if abs(gap) > MAX_GAP_SECONDS:
            raise MediaError(
                "gap",
                f"{self.path}: its samples and its clock differ by {gap:.3f} s; make it again.",
            )

    def _declared_end(self) -> float | None:
        if "matroska" in self.container.format.name:
            written = re.fullmatch(
                r"(\d+):(\d+):(\d+\.\d+)", self.stream.metadata.get("DURATION", "")
            )
            if written is None:
                return None
            hours, minutes, seconds = map(float, written.groups())
            return 3600 * hours + 60 * minutes + seconds
        if self.container.format.name in GUESSED or not self.stream.duration:
            return None
        return float(((self.stream.start_time or 0) + self.stream.duration) * self._tick)

    @property
    def _tick(self) -> Fraction:
        return self.stream.time_base or Fraction(0)


@contextmanager
def opened_track(recording: Recording) -> Iterator[SoundTrack]:
    """Open the first sound track of a recording.

    Raises:
        MediaError: ``"no-sound"``, ``"undecodable"`` or ``"truncated"``, also when it is read.
    """
    path = recording.path
    try:
        with _container(recording) as container:
            if not container.streams.audio:
                raise MediaError("no-sound", f"{path}: holds no sound; name the clip's sound file.")
            stream = container.streams.audio[0]
            if stream.codec_context is None or not stream.rate:
                raise MediaError("undecodable", f"{path}: FFmpeg knows no decoder for its sound.")
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "explode"}
            size = len(recording.content)
            if any(entry.pos + entry.size > size for entry in stream.index_entries):
                raise MediaError("truncated", f"{path}: cut off; copy it again.")
            yield SoundTrack(path, container, stream)
    except av.error.FFmpegError as error:
        raise MediaError(
            "undecodable", f"{path}: {error.strerror}; wanted sound that FFmpeg can decode."
        ) from error


def _container(recording: Recording) -> InputContainer:
    try:
        return av.open(recording.stream(), "r", metadata_errors="replace", options=OPTIONS)
    except av.error.InvalidDataError as error:
        if recording.content[4:8] != b"ftyp":
            raise
        raise MediaError(
            "truncated",
            f"{recording.path}: an MP4 file without a usable index (moov); copy it again.",
        ) from error


def _time(frame: av.AudioFrame) -> Fraction:
    """Return the time of a frame's first sample."""
    return (frame.pts or 0) * (frame.time_base or Fraction(0))
