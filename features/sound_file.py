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
    """An open sound file.

    Attributes:
        path: the file.
        file: as libsndfile has it.
        packed: the samples themselves, where they are 24-bit PCM.
    """

    path: Path
    file: soundfile.SoundFile
    packed: memoryview | None

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
            yield _from_24_bits(self.packed, self.channels)
            return
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
    start, size = _check_whole(recording)
    try:
        with soundfile.SoundFile(recording.stream()) as file:
            sound = memoryview(recording.content)[start : start + size]
            plain = file.subtype == "PCM_24" and size == 3 * file.channels * file.frames
            yield SoundFile(path, file, sound if plain else None)
    except soundfile.LibsndfileError as error:
        raise MediaError(
            "undecodable", f"{path}: {error.error_string} Wanted sound that libsndfile can decode."
        ) from error


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


def _check_whole(recording: Recording) -> tuple[int, int]:
    """Return where the sound begins in a WAV file and its bytes; (0, 0) for a FLAC file.

    Raises:
        MediaError: ``"truncated"`` when the file holds less than it declares.
    """
    path, size, file = recording.path, len(recording.content), recording.stream()
    head = file.read(24)
    if head.startswith(b"fLaC"):
        return 0, 0
    if head.startswith(W64):
        start, declared = 0, int.from_bytes(head[16:], "little")
    else:
        start, declared = _data_chunk(path, file)
    if start + declared > size:
        raise MediaError(
            "truncated",
            f"{path}: declares {declared} bytes of sound, holds {size - start}; copy it again.",
        )
    return start, declared


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
