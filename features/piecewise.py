"""A clip ten seconds at a time, for recordings of any length.

The pieces hold, one after the other, what `make_clip` keeps of the whole clip, bit for bit; a piece
has the acoustic frames whose centres, and the images whose seconds, lie in its ten seconds. Decoded
sound and images are let go piece by piece; what stays in memory is the file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from avsc.features.clip import check_finite, check_length, empty, filter_bank, no_image, time_line
from avsc.features.framing import first_sample, in_step, magnitude, n_frames
from avsc.features.images import frames_on_show, rgb
from avsc.features.isolate import time_limit, unforeseen
from avsc.features.jpeg import encode
from avsc.features.limits import Limits
from avsc.features.recording import Recording, read_recording, recorded
from avsc.features.sound import Heard, average_and_difference, sound_seconds, stereo_parts
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.features.video import opened
from avsc.manifests.errors import AvscError, MediaError

SECONDS = 10
"""Length of a piece."""

Floats = npt.NDArray[np.float32]
JPEG = npt.NDArray[np.uint8]
Heard10 = tuple[int, Floats]
Seen10 = tuple[dict[int, JPEG], dict[int, str]]


@dataclass(frozen=True)
class Piece:
    """Ten seconds of a clip, or what is left of it.

    Attributes:
        first_frame: number of the first acoustic frame.
        frames: log magnitudes, float32 [frames, channels, bins]; None where none are asked for.
        images: JPEGs, by the key k of the image (`ImageSpec`); None where none are asked for.
        lost: why there is no image, by key.
        last: whether it is the clip's last piece.
        warnings: what is odd about the recordings; only in the last piece.
    """

    first_frame: int
    frames: Floats | None
    images: dict[int, JPEG] | None
    lost: dict[int, str]
    last: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PieceRequest:
    """What is to be made of a clip.

    Attributes:
        clip: its name, for messages.
        audio: its sound; equal to `video` when that is the video file's own track.
        video: its images.
        acoustic: spec of the acoustic frames; None for none.
        images: spec of the images; None for none.
        one_suffices: whether sound or images may be missing; pieces then have None there. Damaged
            ones are an error all the same.
        audio_late: seconds by which the sound is late, and is moved back, where there are images;
            early where it is negative. The clip is as long as its sound is then.
    """

    clip: str
    audio: Path | None
    video: Path | None
    acoustic: AcousticSpec | None
    images: ImageSpec | None
    limits: Limits
    one_suffices: bool = False
    audio_late: float = 0.0


def pieces_in_time(wanted: PieceRequest) -> Iterator[Piece]:
    """Yield as `pieces` does; this process is ended by SIGALRM when a piece takes too long.

    What nobody foresaw is a fault of this clip.
    """
    making = pieces(wanted)
    while True:
        try:
            with time_limit(wanted.limits.timeout):
                piece = next(making, None)
        except (AvscError, MemoryError):
            raise
        except Exception as fault:
            raise unforeseen(wanted.clip, fault) from fault
        if piece is None:
            return
        yield piece


def pieces(wanted: PieceRequest) -> Iterator[Piece]:
    """Yield a clip's pieces in the order of time.

    Raises:
        MediaError: sound or images that are asked for cannot be made; when this is found at the
            end, after pieces that were yielded.
    """
    paths = dict.fromkeys(path for path in (wanted.audio, wanted.video) if path is not None)
    read = {path: read_recording(path, wanted.limits) for path in paths}
    audio, video = (None if path is None else read[path] for path in (wanted.audio, wanted.video))
    warnings: list[str] = []
    if wanted.one_suffices:
        wanted, audio, video = _what_is_there(wanted, audio, video)
    late = 0.0 if wanted.acoustic is None or wanted.images is None else wanted.audio_late
    heard: Iterator[Heard10] = iter(())
    seen: Iterator[Seen10] = iter(())
    if wanted.acoustic is not None:
        if audio is None:
            raise MediaError(
                "not-listed",
                f"{wanted.clip}: no sound is named; name its file in the manifest's column "
                "'audio', the video itself for its own track.",
            )
        heard = _frames(audio, wanted.acoustic, warnings, late)
    if wanted.images is not None:
        if video is None:
            raise MediaError(
                "not-listed",
                f"{wanted.clip}: no video is named; name its file in the manifest's column "
                "'video'.",
            )
        seen = _images(audio, video, wanted.images, warnings, late)
    last: Piece | None = None
    for sound, sight in zip_longest(heard, seen):
        if last is not None:
            yield last
        last = _piece(wanted, sound, sight)
    if last is not None:
        yield replace(last, last=True, warnings=tuple(dict.fromkeys(warnings)))


def _what_is_there(
    wanted: PieceRequest, audio: Recording | None, video: Recording | None
) -> tuple[PieceRequest, Recording | None, Recording | None]:
    """Return what can be made of a clip that lacks its sound or its images."""
    silent = audio is None or _lacks("no-sound", lambda: sound_seconds(audio))
    blind = video is None or _lacks("no-video", lambda: _open(video))
    if silent == blind:  # both are there, or the error for sound will say that none is
        return wanted, audio, video
    if silent:
        return replace(wanted, acoustic=None), None, video
    return replace(wanted, images=None), audio, None


def _open(video: Recording) -> None:
    with opened(video):
        pass


def _lacks(code: str, look: Callable[[], object]) -> bool:
    """Return whether looking at a recording fails with a code."""
    try:
        look()
    except MediaError as fault:
        return fault.code == code
    return False


def _piece(wanted: PieceRequest, sound: Heard10 | None, sight: Seen10 | None) -> Piece:
    """Return a piece; where one modality has ended before the other, it has nothing there."""
    first, frames = (0, None) if sound is None else sound
    images, lost = ({}, {}) if sight is None else sight
    if wanted.acoustic is not None and frames is None:
        frames = empty(wanted.acoustic)
    return Piece(first, frames, None if wanted.images is None else images, lost)


def _frames(
    recording: Recording, spec: AcousticSpec, warnings: list[str], late: float
) -> Iterator[Heard10]:
    """Yield the number of the first frame, and the frames, of each ten seconds."""
    begin, earliest = in_step(late, spec)
    heard, held = Heard(), _Held(begin)
    first, stop, piece = 0, first_frame(1, spec), 1
    for part in _resampled(recording, heard, spec.sample_rate):
        held.add(part)
        while held.end >= (end := int(first_sample(stop - 1, spec)) + spec.window):
            first = min(max(first, earliest), stop)
            if first < stop:
                samples = held.take(int(first_sample(first, spec)), end)
                yield first, _logarithms(recording, samples, spec)
            else:
                yield first, empty(spec)
            piece += 1
            first, stop = stop, first_frame(piece, spec)
    warnings += heard.warnings
    check_length(recording.path, held.end - begin, spec)
    first = max(first, earliest)
    if n_frames(held.end, spec) > first:
        samples = held.take(int(first_sample(first, spec)), held.end)
        yield first, _logarithms(recording, samples, spec)


class _Held:
    """Samples as they come, of which those are let go that lie before what was taken last.

    Args:
        begin: number of the first sample.

    Attributes:
        end: number of the sample that comes next.
    """

    def __init__(self, begin: int) -> None:
        self.end = begin
        self._parts: list[Floats] = []
        self._begin = begin

    def add(self, samples: Floats) -> None:
        """Add samples [2, n]."""
        self._parts.append(samples)
        self.end += samples.shape[1]

    def take(self, first: int, stop: int) -> Floats:
        """Return the samples [first, stop), and let go those before them."""
        samples = np.concatenate(self._parts, axis=1)[:, first - self._begin :]
        self._parts, self._begin = [samples], first
        return samples[:, : stop - first]


def first_frame(piece: int, spec: AcousticSpec) -> int:
    """Return the number of the first acoustic frame whose centre lies in a piece."""
    begin = piece * SECONDS * spec.sample_rate - spec.window // 2
    return max(0, -(-begin // spec.hop))


def _logarithms(recording: Recording, samples: Floats, spec: AcousticSpec) -> Floats:
    frames = filter_bank(spec).log(magnitude(samples, spec), spec.floor)
    check_finite(recording.path, frames)
    return frames


def _resampled(recording: Recording, heard: Heard, sample_rate: int) -> Iterator[Floats]:
    """Yield average and difference at another rate: what `read_sound` makes of all of it."""
    streams: list[soxr.ResampleStream] = []
    for stereo in stereo_parts(recorded(recording), heard):
        if heard.rate == sample_rate:
            yield average_and_difference(*stereo)
            continue
        if not streams:
            streams = [
                soxr.ResampleStream(heard.rate, sample_rate, 1, dtype="float32", quality="HQ")
                for _ in stereo
            ]
        yield average_and_difference(
            *(
                stream.resample_chunk(np.ascontiguousarray(side))
                for stream, side in zip(streams, stereo, strict=True)
            )
        )
    if streams:
        rest = (stream.resample_chunk(np.empty(0, np.float32), last=True) for stream in streams)
        yield average_and_difference(*rest)


def _images(
    audio: Recording | None, video: Recording, spec: ImageSpec, warnings: list[str], late: float
) -> Iterator[Seen10]:
    """Yield the JPEGs of each ten seconds, and why there is none, by key."""
    images: dict[int, JPEG] = {}
    lost: dict[int, str] = {}
    stop, none = SECONDS * spec.per_second, True
    end, start = time_line(audio, video)
    if end is not None and late:
        if late >= end:
            raise MediaError(
                "too-short",
                f"{video.path}: {end:.3f} s of sound, said to be {late:g} s late, so that none "
                "belongs to the images. State a smaller lag (--audio-late).",
            )
        end -= late
    for key, frame in frames_on_show(video, end, start, warnings, spec):
        none = False
        while key >= stop:
            yield images, lost
            images, lost, stop = {}, {}, stop + SECONDS * spec.per_second
        if isinstance(frame, MediaError):
            lost[key] = str(frame)
        else:
            images[key] = np.frombuffer(encode(rgb(frame, spec.short_side), spec), np.uint8)
    if none:
        raise no_image(video.path)
    yield images, lost
