"""Seeded damage to files: what a bad disk, a broken copy or an enemy may do to them."""

import re
from collections.abc import Sequence

import numpy as np

FOURCC = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")
NUMBERS = (0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62)
TOKENS = (
    *(b"\0", b"\\", b"/", b"..", b"../", b'"', b'""', b",", b"\t", b";", b"\r", b"\n", b"\r\n"),
    *(b"\xef\xbb\xbf", b"\xff", b"\xc3\xa9", b"\x1b[2J", b"id", b"train", b" ", b"'", b"=1+1"),
)


def mutated(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Return other bytes: a mutation, or two or three, one after the other.

    Args:
        data: of a file.
        draw: random numbers.
        others: of files of the same kind, of which pieces are taken.
    """
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        change = MUTATIONS[draw.integers(len(MUTATIONS))]
        data = change(data, draw, others) if data else others[draw.integers(len(others))]
    return data


def _span(data: bytes, draw: np.random.Generator, longest: int = 5000) -> slice:
    begin = int(draw.integers(len(data)))
    return slice(begin, begin + int(draw.integers(1, longest)))


def _flip(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    found, near_head = bytearray(data), draw.random() < 0.5
    for _ in range(draw.integers(1, 17)):
        place = draw.integers(min(len(data), 512) if near_head else len(data))
        found[place] ^= 1 << draw.integers(8)
    return bytes(found)


def _cut(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    return data[: draw.integers(len(data))]


def _splice(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    other = others[draw.integers(len(others))]
    return data[: draw.integers(len(data))] + other[draw.integers(len(other)) :]


def _duplicate(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    place = int(draw.integers(len(data)))
    return data[:place] + data[_span(data, draw)] + data[place:]


def _remove(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    span = _span(data, draw)
    return data[: span.start] + data[span.stop :]


def _noise(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    span = _span(data, draw)
    return data[: span.start] + draw.bytes(len(data[span])) + data[span.stop :]


def _length(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """Overwrite a number, such as the length of a chunk, that stands beside the chunk's name."""
    names = [found.start() for found in FOURCC.finditer(data[:100_000])]
    if names and draw.random() < 0.8:
        place = names[draw.integers(len(names))] + int(draw.choice((-4, 4, 8, 12, 16)))
    else:
        place = 4 * int(draw.integers(1 + len(data) // 4))
    size = int(draw.choice((2, 4, 8)))
    number = NUMBERS[draw.integers(len(NUMBERS))] if draw.random() < 0.7 else draw.integers(1 << 62)
    order = ("little", "big")[draw.integers(2)]
    found = (int(number) % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    place = max(place, 0)
    return data[:place] + found + data[place + size :]


def _token(data: bytes, draw: np.random.Generator, others: Sequence[bytes]) -> bytes:
    place = int(draw.integers(len(data)))
    return data[:place] + TOKENS[draw.integers(len(TOKENS))] + data[place:]


MUTATIONS = (_flip, _cut, _splice, _duplicate, _remove, _noise, _length, _length, _token)
