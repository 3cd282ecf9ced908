"""Reading sound: two channels at one rate, their average and their difference.

Samples are float32 in [-1, 1]; the channels of a `Sound` are (l + r) / 2 and (l - r) / 2, in this
order (paper, section 2.2.1). WAV and FLAC files are read by libsndfile (`sound_file`), the sound
track of anything else (MP4, Matroska, MP3, ...) by FFmpeg (`sound_track`). Other rates are
resampled by soxr's "HQ" quality. Nothing is padded, and nothing is concealed: a recording that
cannot be read whole is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from avsc.features.limits import RATES
from avsc.features.recording import Recording, recorded
from avsc.features.sound_file import SoundFile, is_sound_file, opened_file
from avsc.features.sound_track import SoundTrack, opened_track
from avsc.manifests.errors import MediaError


@dataclass(frozen=True)
class Sound:
    """A recording's sound.

    Attributes:
        samples: float32 [2, n], average and difference, at the rate that was asked for.
        source_rate: rate of the recording, Hz.
        source_samples: its samples per channel.
        silent: whether every sample of the recording is zero.
    """

    samples: npt.NDArray[np.float32]
    source_rate: int
    source_samples: int
    silent: bool


def read_sound(recording: Path | Recording, sample_rate: int) -> Sound:
    """Read a recording's sound at a rate of `sample_rate` Hz.

    Raises:
        MediaError: with code ``"missing"``, ``"unreadable"``, ``"empty"``, ``"truncated"``,
            ``"undecodable"``, ``"no-sound"``, ``"mono"``, ``"channels"``, ``"rate"``,
            ``"too-long"``, ``"gap"``, ``"not-finite"``, ``"too-large"`` or ``"changed"``.
    """
    recording = recorded(recording)
    path = recording.path
    with _opened(recording) as source:
        rate, count = source.rate, 0
        parts: list[npt.NDArray[np.float32]] = []
        for part in source.parts():
            parts.append(part)
            count += part.shape[1]
            _check(recording, source, count / rate)
    if count == 0:
        raise MediaError("empty", f"{path}: no samples of sound; leave the clip out.")
    stereo = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    if not np.isfinite(stereo).all():
        raise MediaError(
            "not-finite", f"{path}: samples that are infinite or no numbers; make it again."
        )
    silent = not stereo.any()
    left, right = stereo
    if rate != sample_rate:
        left, right = (soxr.resample(side, rate, sample_rate, "HQ") for side in (left, right))
    samples = np.stack([left + right, left - right])
    samples *= np.float32(0.5)
    return Sound(samples, rate, count, silent)


def sound_seconds(recording: Path | Recording) -> float:
    """Return the length of a recording's sound as its header has it, seconds.

    Without decoding: where the header has no length, the packets' times say it.

    Raises:
        MediaError: as `read_sound`, for what can be seen without decoding.
    """
    with _opened(recording) as source:
        return source.seconds()


def sound_start(recording: Path | Recording) -> Fraction:
    """Return when the first sample of a recording's sound is heard, seconds on the file's clock.

    Raises:
        MediaError: as `read_sound`, for what can be seen in the first frame of the sound.
    """
    with _opened(recording) as source:
        return source.start()


@contextmanager
def _opened(recording: Path | Recording) -> Iterator[SoundFile | SoundTrack]:
    """Open a recording with the library for its first bytes."""
    recording = recorded(recording)
    wav = is_sound_file(recording.content[:16])
    with opened_file(recording) if wav else opened_track(recording) as source:
        _check(recording, source, source.declared_seconds or 0.0)
        yield source


def _check(recording: Recording, source: SoundFile | SoundTrack, seconds: float) -> None:
    """Refuse what there is no difference of, and what would take too much memory."""
    path, channels, longest = recording.path, source.channels, recording.limits.seconds
    if channels == 1:
        raise MediaError(
            "mono", f"{path}: mono; wanted stereo, because half of what is kept is the difference."
        )
    if channels != 2:
        raise MediaError("channels", f"{path}: {channels} channels; wanted 2: mix it to stereo.")
    if source.rate not in RATES:
        raise MediaError(
            "rate", f"{path}: {source.rate} Hz; wanted {RATES[0]} to {RATES[-1]}: resample it."
        )
    if seconds > longest:
        raise MediaError(
            "too-long",
            f"{path}: {seconds:.0f} s of sound; at most {longest} (--max-seconds): cut it into "
            "clips.",
        )
