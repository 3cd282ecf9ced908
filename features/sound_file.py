"""A sound file that libsndfile reads: WAV, AIFF and CAF without loss, FLAC."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from avsc.features.recording import Recording
from avsc.features.sound_chunks import SoundChunk, second_header
from avsc.manifests.errors import MediaError

SAMPLE_BYTES = {
    **{"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4},
    **{"FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1},
}
"""Bytes of a sample, by libsndfile's name of its coding; the others code many samples together."""

BLOCK = 1 << 20
"""Samples per channel that are read at a time."""


@dataclass(frozen=True)
class SoundFile:
    """An open sound file.

    Attributes:
        file: as libsndfile has it.
        packed: the samples themselves, where they are little-endian 24-bit PCM.
        warnings: oddities that were accepted: none.
    """

    path: Path
    file: soundfile.SoundFile
    packed: memoryview | None
    warnings: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.file.channels)

    @property
    def rate(self) -> int:
        """Samples per second and channel."""
        return int(self.file.samplerate)

    @property
    def declared_seconds(self) -> float:
        """Length that the file's header has."""
        return float(self.file.frames / self.file.samplerate)

    def start(self) -> Fraction:
        """Return when the first sample is heard: such files have no clock of their own."""
        return Fraction(0)

    def seconds(self) -> float:
        """Return the length."""
        return self.declared_seconds

    def parts(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the samples, float32 [channels, n].

        Raises:
            MediaError: ``"undecodable"`` or ``"truncated"``.
        """
        if self.packed is not None:
            size = 3 * self.channels * BLOCK
            for first in range(0, len(self.packed), size):
                yield _from_24_bits(self.packed[first : first + size], self.channels)
            return
        count = 0
        while len(samples := self.file.read(BLOCK, dtype="float32", always_2d=True)):
            count += len(samples)
            yield samples.T
        if count != self.file.frames:
            raise MediaError(
                "truncated",
                f"{self.path}: declares {self.file.frames} samples, holds {count}; copy it again.",
            )


def declares_samples(recording: Recording) -> bool:
    """Return whether a FLAC file's header has its number of samples.

    Raises:
        MediaError: ``"undecodable"`` when another file follows, which libsndfile passes over.
    """
    for last in (b"\x00", b"\x80"):  # whether no block of metadata follows the first
        second = recording.content.find(b"fLaC" + last + b"\x00\x00\x22", 8)
        if second > 0:
            raise second_header(recording.path, second)
    return int.from_bytes(recording.content[21:26]) & ((1 << 36) - 1) > 0


def opens(recording: Recording) -> bool:
    """Return whether libsndfile can open a file."""
    try:
        soundfile.info(recording.stream())
    except soundfile.LibsndfileError:
        return False
    return True


@contextmanager
def opened_file(recording: Recording, chunk: SoundChunk | None) -> Iterator[SoundFile]:
    """Open a sound file.

    Args:
        chunk: where its sound lies; None for FLAC.

    Raises:
        MediaError: ``"truncated"`` or ``"undecodable"``, also when it is read.
    """
    path, packed = recording.path, None
    try:
        with soundfile.SoundFile(recording.stream()) as file:
            if chunk is not None:
                _check_frames(path, file, chunk)
            if chunk is not None and chunk.kind.order == "little" and file.subtype == "PCM_24":
                sound = memoryview(recording.content)[chunk.start : chunk.start + chunk.size]
                packed = sound if len(sound) == 3 * file.channels * file.frames else None
            yield SoundFile(path, file, packed)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            "undecodable", f"{path}: {error.error_string} Wanted sound that libsndfile can decode."
        ) from error


def _check_frames(path: Path, file: soundfile.SoundFile, chunk: SoundChunk) -> None:
    """Refuse a file of which libsndfile takes other bytes for sound than its chunk holds.

    Also sound of a length not declared that ends within a sample of all channels.
    """
    width = file.channels * SAMPLE_BYTES.get(file.subtype, 0)
    if not width:
        return
    frames, rest = divmod(chunk.size, width)
    if chunk.unknown and rest:
        raise MediaError(
            "truncated",
            f"{path}: declares no length, and ends {rest} bytes into a sample; copy it again.",
        )
    if frames != file.frames:
        raise MediaError(
            "undecodable",
            f"{path}: holds {frames} samples, of which libsndfile reads {file.frames}; make it "
            "again.",
        )


def _from_24_bits(packed: memoryview, channels: int) -> npt.NDArray[np.float32]:
    """Return little-endian samples as libsndfile does, float32 [channels, n], in a third the time.

    Each becomes the upper three bytes of a word. A byte of all samples at a time: copying rows of
    three bytes is six times as slow.
    """
    octets = np.frombuffer(packed, np.uint8).reshape(-1, 3)
    words = np.zeros((len(octets), 4), np.uint8)
    for i in range(3):
        words[:, i + 1] = octets[:, i]
    samples = words.view("<i4").reshape(-1, channels).T
    out = np.empty(samples.shape, np.float32)
    np.multiply(samples, np.float32(2**-31), out=out, casting="unsafe", dtype=np.float32)
    return out
