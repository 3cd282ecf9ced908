"""One clip -> everything that is kept of it.

Each recording is read once, into memory, for all the products asked for. Both acoustic products
come from one decode, one resampling and one magnitude spectrum. What cannot be made is said,
product by product, and never keeps anything else from being made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avsc.features.filterbank import FilterBank, acoustic_filters, bin_frequencies
from avsc.features.framing import magnitude, n_frames
from avsc.features.images import frames_on_show, rgb
from avsc.features.jpeg import encode
from avsc.features.limits import Limits
from avsc.features.recording import Recording, SourceFile, read_recording
from avsc.features.sound import Sound, read_sound, sound_seconds, sound_start
from avsc.features.specs import AcousticSpec, ImageSpec, Spec
from avsc.features.store.failures import Failure
from avsc.manifests.errors import MediaError

CHANNELS = 2


@dataclass
class ClipRecords:
    """What a clip gave.

    Attributes:
        records: by product, (key, data) in the order of the keys; see `features.store.part`.
        failures: what could not be made.
        warnings: what the user should know although everything was made.
        sources: what it was made of: how each file was found.
        level: of its sound, dBFS (`Sound.level`); None where none was read, or it is silent.
    """

    records: dict[str, list[tuple[int, npt.NDArray[Any]]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sources: dict[Path, SourceFile] = field(default_factory=dict)
    level: float | None = None


def empty(spec: Spec) -> npt.NDArray[Any]:
    """Return an array of no rows with the type and row shape of a product's data."""
    if isinstance(spec, AcousticSpec):
        return np.empty((0, CHANNELS, len(bin_frequencies(spec))), np.float32)
    return np.empty(0, np.uint8)


def make_clip(
    clip: str,
    audio: Path | None,
    video: Path | None,
    specs: Mapping[str, Spec],
    limits: Limits | None = None,
) -> ClipRecords:
    """Make the products of one clip.

    Args:
        clip: its id, for messages.
        audio: its sound; equal to `video` when the sound is the video file's own track.
        video: its images.
        specs: the spec of each product asked for.
        limits: what is refused; the defaults when None.

    Returns:
        Records, failures and warnings; a recording that cannot be read is a failure, no exception.
    """
    made = ClipRecords({name: [] for name in specs})
    paths = dict.fromkeys(path for path in (audio, video) if path is not None)  # each once
    read = {path: read_recording(path, limits) for path in paths}
    made.sources = {path: recording.source for path, recording in read.items()}
    audio_file, video_file = (None if path is None else read[path] for path in (audio, video))
    acoustic = {n: s for n, s in specs.items() if isinstance(s, AcousticSpec)}
    if acoustic:
        _add_audio(made, clip, audio_file, acoustic)
    for name, spec in specs.items():
        if isinstance(spec, ImageSpec):
            _add_images(made, clip, name, audio_file, video_file, spec)
    return made


def _add_audio(
    made: ClipRecords, clip: str, audio: Recording | None, specs: Mapping[str, AcousticSpec]
) -> None:
    sounds: dict[int, Sound] = {}
    spectra: dict[tuple[int, int, int], npt.NDArray[np.float32]] = {}
    for name, spec in specs.items():
        try:
            if audio is None:
                raise MediaError("not-listed", f"{clip}: the manifest names no sound.")
            if spec.sample_rate not in sounds:
                sounds[spec.sample_rate] = read_sound(audio, spec.sample_rate)
            sound = sounds[spec.sample_rate]
            made.level = sound.level
            framing = (spec.sample_rate, spec.window, spec.hop)
            if framing not in spectra:
                check_length(audio.path, sound.samples.shape[1], spec)
                spectra[framing] = magnitude(sound.samples, spec)
            frames = filter_bank(spec).log(spectra[framing], spec.floor)
            check_finite(audio.path, frames)
        except MediaError as fault:
            made.failures.append(Failure(clip, name, None, "sound", fault.code, str(fault)))
            continue
        made.records[name].append((0, frames))
    for sound in sounds.values():
        made.warnings += [text for text in sound.warnings if text not in made.warnings]


def check_length(path: Path | str, samples: int, spec: AcousticSpec) -> None:
    """Refuse sound of so many samples at the spec's rate if no window fits into it."""
    if n_frames(samples, spec) == 0:
        raise MediaError(
            "too-short",
            f"{path}: {samples / spec.sample_rate:.3f} s of sound; one window needs "
            f"{spec.window / spec.sample_rate:.3f} s. Nothing is padded: leave the clip out.",
        )


def check_finite(path: Path | str, frames: npt.NDArray[np.float32]) -> None:
    """Refuse samples that are finite, as floats may be up to 3e38, and whose spectrum is not."""
    if not np.isfinite(frames).all():
        raise MediaError(
            "not-finite",
            f"{path}: samples so large that they have no spectrum; wanted none far beyond 1: "
            "scale the recording down, or make it again.",
        )


@lru_cache(maxsize=8)
def filter_bank(spec: AcousticSpec) -> FilterBank:
    """Return the filters of an acoustic product, ready to be applied."""
    return FilterBank(acoustic_filters(spec))


def _add_images(
    made: ClipRecords,
    clip: str,
    name: str,
    audio: Recording | None,
    video: Recording | None,
    spec: ImageSpec,
) -> None:
    """Add the JPEGs; each image that there should be and is not is a failure of its own."""
    try:
        if video is None:
            raise MediaError("not-listed", f"{clip}: the manifest names no video.")
        end, start = time_line(audio, video)
        for key, frame in frames_on_show(video, end, start, made.warnings, spec):
            if isinstance(frame, MediaError):
                fault = Failure(clip, name, key, "pictures", frame.code, str(frame))
                made.failures.append(fault)
            else:
                jpeg = encode(rgb(frame, spec.short_side), spec)
                made.records[name].append((key, np.frombuffer(jpeg, np.uint8)))
        if not made.records[name] and all(f.product != name for f in made.failures):
            raise no_image(video.path)
    except MediaError as fault:
        made.records[name].clear()
        made.failures = [f for f in made.failures if f.product != name]
        made.failures.append(Failure(clip, name, None, "pictures", fault.code, str(fault)))


def no_image(path: Path) -> MediaError:
    """Return the fault of a video that has no second."""
    return MediaError(
        "too-short",
        f"{path}: the clip ends before 0.5 s, where its first image would be; leave it out.",
    )


def time_line(audio: Recording | None, video: Recording) -> tuple[float | None, Fraction | None]:
    """Return the clip's length, seconds, and where its time 0 lies.

    The clip is as long as its sound; a clip without sound that can be read is as long as its video.
    """
    if audio is None:
        return None, None
    try:
        return sound_seconds(audio), sound_start(audio) if audio is video else None
    except MediaError:
        return None, None
