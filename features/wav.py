"""What a WAV file says of its own length.

Decoders read as much of a cut-off WAV file as there is and say nothing, so its chunks are walked
here. A chunk is four letters, a little-endian size, and that many bytes, padded to an even number.
RF64 files hold 0xFFFFFFFF for the size of the data and the true one in the chunk "ds64".

Sources: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF); EBU Tech
3306 (RF64).
"""

from pathlib import Path
from typing import BinaryIO

from avsc.manifests.errors import MediaError

ELSEWHERE = 0xFFFFFFFF


def is_wav(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a WAV file, cut off or whole."""
    return head[:4] in (b"RIFF", b"RF64") and b"WAVE".startswith(head[8:12])


def check_whole(path: Path) -> None:
    """Raise MediaError ``"truncated"`` unless a WAV file holds all the sound it declares."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start, declared = _data_chunk(path, file)
    if start + declared > size:
        raise MediaError(
            "truncated",
            f"{path}: declares {declared} bytes of sound, holds {size - start}; copy it again.",
        )


def _data_chunk(path: Path, file: BinaryIO) -> tuple[int, int]:
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
