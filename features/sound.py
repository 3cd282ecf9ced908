"""Reading sound: two channels at one rate, their average and their difference.

Samples are float32 in [-1, 1]; the channels of a `Sound` are (l + r) / 2 and (l - r) / 2, in this
order (paper, section 2.2.1). WAV, AIFF, CAF and FLAC files are read by libsndfile (`sound_file`),
sound that is coded in another way or in anything else (MP4, Matroska, MP3, ...) by FFmpeg
(`sound_track`). Other rates are resampled by soxr's "HQ" quality. Nothing is padded, and nothing is
concealed: a recording that cannot be read whole is refused.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from avsc.features.limits import RATES
from avsc.features.recording import Recording, recorded
from avsc.features.sound_chunks import kind_of, sound_chunk, with_length
from avsc.features.sound_file import SoundFile, declares_samples, opened_file, opens
from avsc.features.sound_track import SoundTrack, opened_track
from avsc.manifests.errors import MediaError


@dataclass(frozen=True)
class Sound:
    """A recording's sound.

    Attributes:
        samples: float32 [2, n], average and difference, at the rate that was asked for.
        warnings: oddities of the file that were accepted.
    """

    samples: npt.NDArray[np.float32]
    warnings: tuple[str, ...] = ()

    @property
    def level(self) -> float | None:
        """Root mean square of the left and right channel together, dB re 1; None for silence.

        With m = (l + r) / 2 and d = (l - r) / 2, which are kept, (l^2 + r^2) / 2 = m^2 + d^2.
        """
        square = sum(float(np.dot(side, side)) / max(1, len(side)) for side in self.samples)
        return 10 * math.log10(square) if square > 0 and math.isfinite(square) else None


@dataclass
class Heard:
    """What `stereo_parts` learns of a recording on its way; complete at its end.

    Attributes:
        rate: of the recording, Hz.
        samples: per channel.
        silent: whether every sample is zero.
        warnings: oddities of the file that were accepted.
    """

    rate: int = 0
    samples: int = 0
    silent: bool = True
    warnings: list[str] = field(default_factory=list)


def read_sound(recording: Path | Recording, sample_rate: int) -> Sound:
    """Read a recording's sound at a rate of `sample_rate` Hz.

    Raises:
        MediaError: with code ``"missing"``, ``"unreadable"``, ``"empty"``, ``"truncated"``,
            ``"undecodable"``, ``"no-sound"``, ``"mono"``, ``"channels"``, ``"rate"``,
            ``"too-long"``, ``"gap"``, ``"not-finite"``, ``"too-large"`` or ``"changed"``.
    """
    heard = Heard()
    parts = list(stereo_parts(recorded(recording), heard))
    stereo = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    samples = stereo_at(stereo, heard.rate, sample_rate)
    return Sound(samples, tuple(heard.warnings))


def stereo_parts(recording: Recording, heard: Heard) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a recording's samples at its own rate as they are decoded, float32 [2, n].

    Args:
        heard: filled in as samples are decoded.

    Raises:
        MediaError: as `read_sound`; some of it only after the last part.
    """
    path = recording.path
    with _opened(recording) as (source, unknown):
        heard.rate = source.rate
        for stereo in source.parts():
            if not np.isfinite(stereo).all():
                raise MediaError(
                    "not-finite", f"{path}: samples that are infinite or no numbers; make it again."
                )
            heard.samples += stereo.shape[1]
            heard.silent &= not stereo.any()
            _check(recording, source, heard.samples / heard.rate)
            yield stereo
    heard.warnings += source.warnings
    if unknown:
        heard.warnings.append(
            f"{path}: its header has no length, as when it is written to a pipe; all that it holds "
            f"was taken, {heard.samples / heard.rate:.3f} s. Whether its end is missing cannot be "
            "determined."
        )
    if heard.samples == 0:
        raise MediaError("empty", f"{path}: no samples of sound; leave the clip out.")
    if heard.silent:
        heard.warnings.append(f"{path}: digital silence; kept.")


def stereo_at(
    stereo: npt.NDArray[np.float32], rate: int, sample_rate: int
) -> npt.NDArray[np.float32]:
    """Return average and difference of left and right at another rate, float32 [2, n]."""
    left, right = stereo
    if rate != sample_rate:
        left, right = (soxr.resample(side, rate, sample_rate, "HQ") for side in (left, right))
    return average_and_difference(left, right)


def average_and_difference(
    left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return (l + r) / 2 and (l - r) / 2, float32 [2, n]."""
    samples = np.stack([left + right, left - right])
    samples *= np.float32(0.5)
    return samples


def sound_seconds(recording: Path | Recording) -> float:
    """Return the length of a recording's sound as its header has it, seconds.

    Without decoding: where the header has no length, the packets' times say it.

    Raises:
        MediaError: as `read_sound`, for what can be seen without decoding.
    """
    with _opened(recording) as (source, _):
        return source.seconds()


def sound_start(recording: Path | Recording) -> Fraction:
    """Return when the first sample of a recording's sound is heard, seconds on the file's clock.

    Raises:
        MediaError: as `read_sound`, for what can be seen in the first frame of the sound.
    """
    with _opened(recording) as (source, _):
        return source.start()


@contextmanager
def _opened(recording: Path | Recording) -> Iterator[tuple[SoundFile | SoundTrack, bool]]:
    """Open a recording with the library for what it holds; say whether its header has no length."""
    recording = recorded(recording)
    kind = kind_of(recording.content[:16])
    chunk = None if kind is None else sound_chunk(recording, kind)
    file = unknown = False
    if chunk is not None:
        # FFmpeg cuts what ALAC left out of its last packet off once more, by 0.03 s or so.
        file = chunk.by_libsndfile or (chunk.coding == b"alac" and opens(recording))
        unknown = chunk.unknown
        recording = with_length(recording, chunk) if unknown else recording
    elif recording.content.startswith(b"fLaC"):
        file = declares_samples(recording)
        unknown = not file
    with opened_file(recording, chunk) if file else opened_track(recording) as source:
        _check(recording, source, source.declared_seconds or 0.0)
        yield source, unknown


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
