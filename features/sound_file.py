"""A sound file that libsndfile reads: WAV and FLAC.

Libsndfile reads as much of a cut-off WAV file as there is and says nothing, so what the file says
of its own length is checked here. A chunk is four letters, a little-endian size, and that many
bytes, padded to an even number. RF64 files hold 0xFFFFFFFF for the size of the data and the true
one in the chunk "ds64"; W64 files begin with the size of the whole.

Sources: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); EBU Tech
3306 (RF64); VCS Aktiengesellschaft, "Sony Wave64".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from avsc.features.recording import Recording, Stream
from avsc.manifests.errors import MediaError

ELSEWHERE = 0xFFFFFFFF
W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


@dataclass(frozen=True)
class SoundFile:
    """An open sound file."""

    path: Path
    file: soundfile.SoundFile

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
        samples = self.file.read(dtype="float32", always_2d=True)
        if len(samples) != self.file.frames:
            raise MediaError(
                "truncated",
                f"{self.path}: declares {self.file.frames} samples, holds {len(samples)}; copy it "
                "again.",
            )
        yield samples.T


def is_sound_file(head: bytes) -> bool:
    """Return whether a file that begins so is a WAV (cut off or whole) or a FLAC file."""
    wav = head[:4] in (b"RIFF", b"RF64") and b"WAVE".startswith(head[8:12])
    return wav or head.startswith((W64, b"fLaC"))


@contextmanager
def opened_file(recording: Recording) -> Iterator[SoundFile]:
    """Open a sound file.

    Raises:
        MediaError: ``"truncated"`` or ``"undecodable"``, also when it is read.
    """
    path = recording.path
    _check_whole(path, recording.stream())
    try:
        with soundfile.SoundFile(recording.stream()) as file:
            yield SoundFile(path, file)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            "undecodable", f"{path}: {error.error_string} Wanted sound that libsndfile can decode."
        ) from error


def _check_whole(path: Path, file: Stream) -> None:
    """Raise MediaError ``"truncated"`` unless a WAV file holds all the sound it declares."""
    size = len(file.getbuffer())
    head = file.read(24)
    if head.startswith(b"fLaC"):
        return
    if head.startswith(W64):
        start, declared = 0, int.from_bytes(head[16:], "little")
    else:
        start, declared = _data_chunk(path, file)
    if start + declared > size:
        raise MediaError(
            "truncated",
            f"{path}: declares {declared} bytes of sound, holds {size - start}; copy it again.",
        )


def _data_chunk(path: Path, file: Stream) -> tuple[int, int]:
    """Return where the sound begins in a file and how many bytes it is declared to have."""
    large = None
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, size = header[:4], int.from_bytes(header[4:], "little")
        if name == b"data":
            return file.tell(), large if large is not None and size == ELSEWHERE else size
        body = file.tell()
        if name == b"ds64":
            large = int.from_bytes(file.read(16)[8:], "little")
        file.seek(body + size + size % 2)
    raise MediaError("truncated", f"{path}: a WAV file that ends before its sound; copy it again.")
