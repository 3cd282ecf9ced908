"""Where the sound lies in files that are made of chunks: WAV, RF64, W64, AIFF, CAF; and in AU.

A chunk is a name, the size of its body, and the body. Libsndfile reads as much of a cut-off file as
there is and says nothing, so what a file says of its own length is checked here.

A writer that cannot go back, because it writes to a pipe or was killed, leaves a length that stands
for none: zero, or the largest that fits, less a little for headers. All that the file holds is then
its sound.

Sources: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (RIFF and RIFX);
EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64); VCS Aktiengesellschaft, "Sony Wave64"; Apple, "Audio
Interchange File Format 1.3", "AIFF-C" and "Core Audio Format Specification 1.0"; Sun,
audio(5) (AU). Lengths that stand for none: FFmpeg 7
(0xFFFFFFFF, -1), SoX 14.4 (0x7FFFF000 less a part of a frame; 0x7F000000 in AIFF), arecord 1.2
(0x7FFFFF00, 0x80000000).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from avsc.features.recording import Recording
from avsc.manifests.errors import MediaError

UNKNOWN = (
    range(1),
    range(0x7F00_0000, 0x7F00_0200),
    range(0x7FFF_E000, 0x8000_0200),
    range(0xFFFF_E000, 1 << 32),
    range((1 << 63) - 0x200, (1 << 63) + 0x200),
    range((1 << 64) - 0x200, 1 << 64),
)
"""Lengths that stand for none, where the file holds less."""

MAX_CHUNKS_BEHIND = 100
"""Chunks behind the sound that are looked at; garbage may look like any number of them."""

EXTENSIBLE = b"\xfe\xff"
"""A WAV file's format that is said further on."""


@dataclass(frozen=True)
class ChunkFormat:
    """How a kind of file is cut into chunks.

    Attributes:
        name: what the kind is called.
        first: where the first chunk begins.
        order: of the bytes of numbers.
        id_bytes: length of a chunk's name.
        size_bytes: length of a chunk's size.
        counted: bytes of its own head that a chunk's size counts.
        align: where the next chunk begins: at the next multiple of this many bytes.
        sound: name of the chunk of sound.
        lead: bytes in that chunk before the sound.
        coding: chunk that says how the sound is coded, and where in it.
        read: codings that libsndfile reads; None for all that there are.
    """

    name: str
    first: int = 12
    order: Literal["little", "big"] = "little"
    id_bytes: int = 4
    size_bytes: int = 4
    counted: int = 0
    align: int = 2
    sound: bytes = b"data"
    lead: int = 0
    coding: tuple[bytes, int, int] = (b"fmt ", 0, 2)
    read: frozenset[bytes] | None = frozenset(
        bytes([tag, 0]) for tag in (1, 2, 3, 6, 7, 0x11, 0x31, 0x40)
    )


WAV = ChunkFormat("WAV")
W64 = ChunkFormat("W64", first=40, id_bytes=16, size_bytes=8, counted=24, align=8)
AIFF = ChunkFormat("AIFF", order="big", sound=b"SSND", lead=8, coding=(b"COMM", 0, 0), read=None)
AIFC = ChunkFormat(
    "AIFF-C",
    order="big",
    sound=b"SSND",
    lead=8,
    coding=(b"COMM", 18, 22),
    read=frozenset((b"NONE", b"twos", b"sowt", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64"))
    | {b"ulaw", b"ULAW", b"alaw", b"ALAW", b"in24", b"in32", b"42n1", b"23ni"},
)
CAF = ChunkFormat(
    "CAF",
    first=8,
    order="big",
    size_bytes=8,
    align=1,
    lead=4,
    coding=(b"desc", 8, 12),
    read=frozenset((b"lpcm", b"ulaw", b"alaw")),
)
RIFX = ChunkFormat("WAV", order="big")
BW64 = ChunkFormat("WAV", read=frozenset())
AU = ChunkFormat(
    "AU",
    first=0,
    order="big",
    align=1,
    read=frozenset(bytes([0, 0, 0, coding]) for coding in (1, 2, 3, 4, 5, 6, 7, 27)),
)
AU_LITTLE = replace(AU, order="little")
W64_ID = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


@dataclass(frozen=True)
class SoundChunk:
    """The chunk of sound.

    Attributes:
        coding: how the sound is coded, as the kind names it.
        start: where the sound begins.
        size: bytes of sound that are declared or, where none are, that the file holds.
        length_at: where the sound's length is written, and in how many bytes.
        unknown: whether the file's header has no length.
    """

    kind: ChunkFormat
    coding: bytes
    start: int
    size: int
    length_at: tuple[int, int]
    unknown: bool

    @property
    def by_libsndfile(self) -> bool:
        """Whether libsndfile reads sound that is coded so; FFmpeg reads the rest."""
        return self.kind.read is None or self.coding in self.kind.read


def kind_of(content: bytes) -> ChunkFormat | None:
    """Return the kind of a file that begins so, cut off or whole; None for others."""
    form, kind = content[:4], content[8:12]
    for start, whole in ((W64_ID, W64), (b"caff", CAF), (b".snd", AU), (b"dns.", AU_LITTLE)):
        if content.startswith(start):
            return whole
    if form in (b"RIFF", b"RF64") and b"WAVE".startswith(kind):
        return WAV
    if form in (b"RIFX", b"BW64") and b"WAVE".startswith(kind):
        return RIFX if form == b"RIFX" else BW64
    if form == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return AIFF if kind == b"AIFF" else AIFC
    return None


def second_header(path: Path, where: int) -> MediaError:
    """Return the error of a file that holds another, of which libsndfile would read one at most."""
    return MediaError(
        "undecodable",
        f"{path}: a second header stands at byte {where}, as where files were joined, or a program "
        "wrote to a pipe what only a file can take; make it again.",
    )


def with_length(recording: Recording, chunk: SoundChunk) -> Recording:
    """Return a recording whose header has the length that it lacks."""
    stream, (at, width) = recording.stream(), chunk.length_at
    whole = at + width == chunk.start - chunk.kind.lead  # else in a chunk of its own, of RF64
    extra = chunk.kind.lead + chunk.kind.counted if whole else 0
    stream.seek(at)
    stream.write((chunk.size + extra).to_bytes(width, chunk.kind.order))
    return replace(recording, content=stream.getvalue())


def sound_chunk(recording: Recording, kind: ChunkFormat) -> SoundChunk:
    """Return where the sound lies in a file.

    Raises:
        MediaError: ``"truncated"`` when the file ends before its sound, or holds less of it than it
            declares; ``"undecodable"`` when a second header stands in the place of the sound.
    """
    path, content = recording.path, recording.content
    if kind in (AU, AU_LITTLE):
        return _found(recording, _after_header(content, kind))
    coding, large = b"", None
    for name, begin, size in _chunks(content, kind):
        body = begin + kind.id_bytes + kind.size_bytes
        if name == kind.coding[0]:
            coding = _coding(content[body : body + size], kind)
        elif name == b"ds64":
            large = body + 8
        elif name == kind.sound:
            at, declared = (begin + kind.id_bytes, kind.size_bytes), size - kind.lead
            if large is not None and size == 0xFFFF_FFFF:
                at, declared = (large, 8), int.from_bytes(content[large : large + 8], "little")
            start = body + kind.lead
            return _found(recording, SoundChunk(kind, coding, start, max(0, declared), at, False))
    raise MediaError(
        "truncated", f"{path}: a {kind.name} file that ends before its sound; copy it again."
    )


def _after_header(content: bytes, kind: ChunkFormat) -> SoundChunk:
    """Return where the sound lies in an AU file, which has one header and no chunks."""
    start, size = (int.from_bytes(content[at : at + 4], kind.order) for at in (4, 8))
    coding = content[12:16] if kind.order == "big" else content[12:16][::-1]
    return SoundChunk(kind, coding, start, size, (8, 4), False)


def _found(recording: Recording, chunk: SoundChunk) -> SoundChunk:
    """Return a chunk with its true size when it declares none; refuse one that is not whole."""
    path, content, start = recording.path, recording.content, chunk.start
    held = max(0, len(content) - start)
    unknown = any(chunk.size in lengths for lengths in UNKNOWN)
    if unknown and (chunk.size > held or (chunk.size == 0 and not _are_chunks(content, chunk))):
        second = start
        chunk = replace(chunk, size=held, unknown=True)
    else:
        second = start + -(-chunk.size // chunk.kind.align) * chunk.kind.align
    for name, begin, _ in islice(_chunks(content, chunk.kind, second), MAX_CHUNKS_BEHIND):
        if name == content[:4]:
            raise second_header(path, begin)
    if chunk.size > held:
        raise MediaError(
            "truncated",
            f"{path}: declares {chunk.size} bytes of sound, holds {held}; copy it again.",
        )
    if held >> 8 * chunk.length_at[1]:
        raise MediaError("too-large", f"{path}: {held} bytes of sound; cut it into clips.")
    return chunk


def _chunks(
    content: bytes, kind: ChunkFormat, begin: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name, four bytes, where it begins, and the size of its body."""
    begin = kind.first if begin is None else begin
    head = kind.id_bytes + kind.size_bytes
    while begin + head <= len(content):
        written = content[begin + kind.id_bytes : begin + head]
        size = max(0, int.from_bytes(written, kind.order) - kind.counted)
        yield content[begin : begin + 4], begin, size
        begin += head + -(-size // kind.align) * kind.align


def _coding(body: bytes, kind: ChunkFormat) -> bytes:
    """Return a coding; that of a WAV file as if it were little-endian."""
    _, first, last = kind.coding
    coding = body[first:last]
    if kind.coding[0] != b"fmt ":
        return coding
    coding = coding[::-1] if kind.order == "big" else coding
    return body[24:26] if coding == EXTENSIBLE else coding


def _are_chunks(content: bytes, chunk: SoundChunk) -> bool:
    """Return whether a chunk of no sound is followed by nothing but whole chunks."""
    end = chunk.start
    for name, begin, size in _chunks(content, chunk.kind, chunk.start):
        if not name.isascii() or not name.decode().isprintable():
            return False
        end = begin + chunk.kind.id_bytes + chunk.kind.size_bytes + size
    return end in (len(content), len(content) - 1)
