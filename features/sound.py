"""Reading sound: two channels at one rate, their average and their difference.

Samples are float32 in [-1, 1]; the channels of a `Sound` are (l + r) / 2 and (l - r) / 2, in this
order (paper, section 2.2.1). WAV and FLAC files are read by libsndfile, the sound track of anything
else (MP4, Matroska, MP3, ...) by FFmpeg. Other rates are resampled by soxr's "HQ" quality. Nothing
is padded, and nothing is concealed: a recording that cannot be read whole is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from avsc.features import wav
from avsc.manifests.errors import MediaError

MAX_SECONDS = 900
"""A longer sound is refused: a clip is held in memory several times over."""

MAX_GAP_SECONDS = 0.05
"""What a sound track's clock and the number of its samples may differ by."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """A recording's sound.

    Attributes:
        samples: float32 [2, n], average and difference, at the rate that was asked for.
        source_rate: rate of the recording, Hz.
        source_samples: its samples per channel.
        silent: whether every sample of the recording is zero.
    """

    samples: Samples
    source_rate: int
    source_samples: int
    silent: bool


def read_sound(path: Path, sample_rate: int) -> Sound:
    """Read a recording's sound at a rate of `sample_rate` Hz.

    Raises:
        MediaError: with code ``"missing"``, ``"unreadable"``, ``"empty"``, ``"truncated"``,
            ``"undecodable"``, ``"no-sound"``, ``"mono"``, ``"channels"``, ``"too-long"``, ``"gap"``
            or ``"not-finite"``.
    """
    source, rate = _read_file(path) if _is_sound_file(path) else _read_track(path)
    if source.shape[1] == 0:
        raise MediaError("empty", f"{path}: no samples of sound; leave the clip out.")
    if not np.isfinite(source).all():
        raise MediaError(
            "not-finite", f"{path}: samples that are infinite or no numbers; make it again."
        )
    left, right = (
        channel if rate == sample_rate else soxr.resample(channel, rate, sample_rate, "HQ")
        for channel in source
    )
    samples = np.stack([left + right, left - right])
    samples *= np.float32(0.5)
    return Sound(samples, rate, source.shape[1], silent=not source.any())


def sound_seconds(path: Path) -> float:
    """Return the length of a recording's sound as its headers have it, seconds.

    Raises:
        MediaError: as `read_sound`, for what can be seen without decoding.
    """
    if _is_sound_file(path):
        with _opened_file(path) as file:
            return float(file.frames / file.samplerate)
    with _opened_track(path) as (container, stream):
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if container.duration is not None:
            return container.duration / av.time_base
    raise MediaError("undecodable", f"{path}: says nothing of its length; wanted a finished file.")


def sound_start(path: Path) -> Fraction:
    """Return when the first sample of a recording's sound is heard, seconds on the file's clock.

    Raises:
        MediaError: as `read_sound`, for what can be seen in the first frame of the sound.
    """
    if _is_sound_file(path):
        return Fraction(0)
    with _opened_track(path) as (container, stream):
        for frame in container.decode(stream):
            return _time(frame)
    raise MediaError("empty", f"{path}: no samples of sound; leave the clip out.")


def _is_sound_file(path: Path) -> bool:
    """Return whether a file, which is there, is one for libsndfile, going by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError as error:
        found = f"a link to {path.readlink()}, which is missing" if path.is_symlink() else "no file"
        raise MediaError("missing", f"{path}: {found}; wanted a recording.") from error
    except OSError as error:
        raise MediaError("unreadable", f"{path}: {error.strerror}; wanted a recording.") from error
    if not head:
        raise MediaError("empty", f"{path}: 0 bytes; copy the file again.")
    if wav.is_wav(head):
        wav.check_whole(path)
        return True
    return head.startswith(b"fLaC")


def _check(path: Path, channels: int, seconds: float) -> None:
    """Refuse what there is no difference of, and what is too long to be held in memory."""
    if channels == 1:
        raise MediaError(
            "mono", f"{path}: mono; wanted stereo, because half of what is kept is the difference."
        )
    if channels != 2:
        raise MediaError("channels", f"{path}: {channels} channels; wanted 2: mix it to stereo.")
    if seconds > MAX_SECONDS:
        raise MediaError(
            "too-long", f"{path}: {seconds:.0f} s; at most {MAX_SECONDS}: cut it into clips."
        )


@contextmanager
def _opened_file(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(path) as file:
            _check(path, file.channels, file.frames / file.samplerate)
            yield file
    except soundfile.LibsndfileError as error:
        raise MediaError(
            "undecodable", f"{path}: {error.error_string} Wanted sound that libsndfile can decode."
        ) from error


def _read_file(path: Path) -> tuple[Samples, int]:
    """Return the samples of a WAV or FLAC file, float32 [2, n], and their rate."""
    with _opened_file(path) as file:
        samples = file.read(dtype="float32", always_2d=True)
        if len(samples) != file.frames:
            raise MediaError(
                "truncated",
                f"{path}: declares {file.frames} samples, holds {len(samples)}; copy it again.",
            )
        return np.ascontiguousarray(samples.T), file.samplerate


@contextmanager
def _opened_track(path: Path) -> Iterator[tuple[av.container.InputContainer, av.AudioStream]]:
    """Open the first sound track of a file, for a decoder of one thread that conceals no error."""
    with _faults(path):
        container = _container(path)
    with container, _faults(path):
        if not container.streams.audio:
            raise MediaError("no-sound", f"{path}: holds no sound; name the clip's sound file.")
        stream = container.streams.audio[0]
        context = stream.codec_context
        if context is None:
            raise MediaError("undecodable", f"{path}: FFmpeg knows no decoder for its sound.")
        context.thread_count = 1
        context.options = {"err_detect": "explode"}
        seconds = (stream.duration or 0) * (stream.time_base or 0)
        _check(path, context.channels, float(seconds))
        size = path.stat().st_size
        if any(entry.pos + entry.size > size for entry in stream.index_entries):
            raise MediaError("truncated", f"{path}: cut off; copy it again.")
        yield container, stream


def _container(path: Path) -> av.container.InputContainer:
    try:
        return av.open(path, metadata_errors="replace", options={"protocol_whitelist": "file"})
    except av.error.InvalidDataError as error:
        with path.open("rb") as file:
            if file.read(8)[4:] != b"ftyp":
                raise
        raise MediaError(
            "truncated", f"{path}: an MP4 file without a usable index (moov); copy it again."
        ) from error


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into ours."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise MediaError(
            "undecodable", f"{path}: {error.strerror}; wanted sound that FFmpeg can decode."
        ) from error


def _read_track(path: Path) -> tuple[Samples, int]:
    """Return the samples of a sound track, float32 [2, n], and their rate."""
    parts: list[Samples] = []
    count = 0
    first = end = Fraction(0)
    with _opened_track(path) as (container, stream):
        rate = stream.rate
        planar = av.AudioResampler(format="fltp")
        for frame in container.decode(stream):
            if not parts:
                first = _time(frame)
            _check(path, frame.layout.nb_channels, count / rate)
            if frame.sample_rate != rate:
                raise MediaError("undecodable", f"{path}: changes its rate; make it again.")
            end = _time(frame) + Fraction(frame.samples, rate)
            count += frame.samples
            parts += [np.asarray(out.to_ndarray(), np.float32) for out in planar.resample(frame)]
    gap = float(end - first - Fraction(count, rate))
    if abs(gap) > MAX_GAP_SECONDS:
        raise MediaError(
            "gap", f"{path}: its samples and its clock differ by {gap:.3f} s; make it again."
        )
    return np.concatenate([np.empty((2, 0), np.float32), *parts], axis=1), rate


def _time(frame: av.AudioFrame) -> Fraction:
    """Return the time of a frame's first sample, seconds on the file's clock."""
    return (frame.pts or 0) * (frame.time_base or Fraction(0))
