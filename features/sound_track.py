"""The sound track of a video, or any other sound that FFmpeg can decode.

Times are seconds on the file's clock. The decoder has one thread and conceals no error; whatever
shows that samples are missing (an index that points behind the file's end, a length in the header,
a gap in the clock) is an error of its own. Bare MP3 and AAC streams, Ogg, and WebM as browsers
record it have neither index nor length: cut off between two packets, they pass for whole.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from avsc.features.recording import Recording
from avsc.features.streams import default_stream
from avsc.manifests.errors import MediaError

MAX_GAP_SECONDS = 0.05
"""What a track's clock and the number of its samples may differ by."""

MIN_LEAD_SECONDS, MAX_LEAD_SECONDS = 0.005, 0.5
"""What may lie between the first frame of an MP4 file and the second; see `_lead`."""

MAX_LOSS_SECONDS = 0.25
"""What a track may end earlier than its header says: codecs add samples at both ends."""

GUESSED = ("aac", "mp3", "mpeg", "mpegts", "wav")
"""Formats of which FFmpeg guesses a length, from the bit rate or from the times at the file's end:
bare and MPEG streams, and WAV, whose bytes were counted before."""

OPTIONS = {"protocol_whitelist": "none", "skip_frame": "all"}
"""A file that names others is not followed; no frame is decoded only to open one."""


@dataclass(frozen=True)
class SoundTrack:
    """An open sound track, to be read or measured once."""

    path: Path
    container: InputContainer
    stream: av.AudioStream
    warnings: list[str] = field(default_factory=list)

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
        for time, _ in self._frames():
            return time
        raise MediaError("empty", f"{self.path}: no samples of sound; leave the clip out.")

    def seconds(self) -> float:
        """Return the length: what the header has, otherwise what the packets have."""
        if self.declared_seconds is not None:
            first = list(islice(self.container.decode(self.stream), 2))
            return self.declared_seconds - float(self._lead(first))
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
        start, end, count, gap, since = None, 0.0, 0, 0.0, 0.0
        for time, frame in self._frames():
            if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
                raise MediaError(
                    "undecodable", f"{self.path}: changes its rate or channels; make it again."
                )
            now = float(time)
            start = now if start is None else start
            differs = now - start - count / self.rate
            if abs(gap) <= MAX_GAP_SECONDS < abs(differs):
                since = now
            if abs(differs) > abs(gap):
                gap = differs
            end = now + frame.samples / self.rate
            count += frame.samples
            for part in planar.resample(frame):
                yield np.asarray(part.to_ndarray(), np.float32)
        if start is not None:
            self._check_whole(end, gap, since)

    def _frames(self) -> Iterator[tuple[Fraction, av.AudioFrame]]:
        """Yield the frames and their times."""
        frames = iter(self.container.decode(self.stream))
        first = list(islice(frames, 2))
        lead = self._lead(first)
        if lead:
            self.warnings.append(
                f"{self.path}: its clock leaps by {float(lead):.3f} s behind the first frame of "
                "sound, as in MP4 files written to a pipe; that frame was taken to come right "
                "before the next."
            )
        time, length = lead, 0
        for frame in chain(first, frames):
            if frame.pts is None:  # what a decoder held back at the end: of WMA, one frame
                time += Fraction(length, self.rate)
            else:
                time = _time(frame) + lead if frame is first[0] else _time(frame)
            length = frame.samples
            yield time, frame

    def _lead(self, first: Sequence[av.AudioFrame]) -> Fraction:
        """Return how much later than its time the first of two frames is heard.

        FFmpeg, when it writes MP4 to a pipe, puts the first frame, which AAC fills with samples of
        its own, at 0, and leaves behind it the time that the video's decoder needs. The frame is
        taken to lie right before the second: no sample is missing there, and all the others stay
        where the clock has them.
        """
        if len(first) < 2 or "mp4" not in self.container.format.name:
            return Fraction(0)
        hole = _time(first[1]) - _time(first[0]) - Fraction(first[0].samples, self.rate)
        return hole if MIN_LEAD_SECONDS < hole <= MAX_LEAD_SECONDS else Fraction(0)

    def _check_whole(self, end: float, gap: float, since: float) -> None:
        declared = self._declared_end()
        if declared is not None and end < declared - MAX_LOSS_SECONDS:
            raise MediaError(
                "truncated",
                f"{self.path}: its sound should end at {declared:.3f} s, ends at {end:.3f}; "
                "copy it again.",
            )
        if abs(gap) > MAX_GAP_SECONDS:
            raise MediaError(
                "gap",
                f"{self.path}: its samples and its clock differ by {gap:.3f} s from {since:.3f} s "
                "on: samples are missing, or recordings were joined; make it again, or give those "
                "that were joined one clock (ffmpeg -i FILE NEW.mkv).",
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
    """Open the sound track of a recording that players take.

    Raises:
        MediaError: ``"no-sound"``, ``"undecodable"`` or ``"truncated"``, also when it is read.
    """
    path = recording.path
    try:
        with _container(recording) as container:
            stream = default_stream(container, "audio")
            if not isinstance(stream, av.AudioStream):
                raise MediaError(
                    "no-sound",
                    f"{path}: holds no sound; name the file that does, in the manifest's column "
                    "'audio' or by --audio of `avsc-fit predict`.",
                )
            if stream.codec_context is None or not stream.rate:
                raise MediaError("undecodable", f"{path}: FFmpeg knows no decoder for its sound.")
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
            size = len(recording.content)
            if any(entry.pos + entry.size > size for entry in stream.index_entries):
                raise MediaError("truncated", f"{path}: cut off; copy it again.")
            yield SoundTrack(path, container, stream)
    except av.error.FFmpegError as error:
        reason = error.strerror or "damaged"
        if reason.startswith("Error number"):  # a decoder's own, of which FFmpeg has no words
            reason = "damaged"
        raise MediaError(
            "undecodable", f"{path}: {reason}; wanted sound that FFmpeg can decode."
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
