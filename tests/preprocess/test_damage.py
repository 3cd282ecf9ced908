"""Flipped bits and cut files in a store: the same data or an error, and extraction mends them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from digests import timeless
from extraction import World, everything

from avsc.manifests.errors import AvscError
from avsc.preprocess.receipt import read_receipt

FLIPS, PAGE = 60, 4096
MEND_EVERY = 12


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("world"))
    (made.root / "audio/clip-1.wav").unlink()  # so that failures.csv says something
    made.make()
    return made


def damages(files: list[Path]) -> Iterator[tuple[str, Path, bytes]]:
    """Yield (what, file, damaged bytes)."""
    draw = np.random.default_rng(2022)
    for _ in range(FLIPS):
        path = files[draw.integers(len(files))]
        data = bytearray(path.read_bytes())
        place, bit = int(draw.integers(len(data))), int(draw.integers(8))
        data[place] ^= 1 << bit
        yield f"bit {bit} of byte {place}", path, bytes(data)
    for path in files:
        data = path.read_bytes()
        for length in {*range(0, len(data), PAGE), len(data) - 1}:
            yield f"cut to {length}", path, data[:length]


def test_damage_is_found_or_harmless_and_mended(world: World) -> None:
    files = [path for path in sorted(world.store.rglob("*")) if path.is_file()]
    kinds = {path.name for path in files}
    assert kinds >= {"store.json", "clips.csv", "failures.csv", "index.h5", "part-00000.json"}
    wanted, originals = everything(world.store), timeless(world.store)
    for number, (what, path, data) in enumerate(damages(files)):
        before = path.read_bytes()
        path.write_bytes(data)
        try:
            assert everything(world.store) == wanted, (path, what)
        except AvscError as fault:
            assert str(path.name) in str(fault) and "avsc-prep extract" in str(fault), what
        if number % MEND_EVERY == 0:
            world.make("content")
            assert timeless(world.store) == originals, (path, what)
            assert path.suffix != ".json" or path.name == "store.json" or read_receipt(path)
        else:
            path.write_bytes(before)


def test_a_part_with_a_flipped_bit_is_made_again_under_check_content(world: World) -> None:
    before = timeless(world.store)
    part = next(world.store.rglob("images/*/000/part-00002.h5"))
    data = bytearray(part.read_bytes())
    data[-7] ^= 4
    part.write_bytes(data)
    known = {reason for reason in world.plan("content").reasons if reason != "failed before"}
    assert known == {"part damaged"} and world.plan().reasons.keys() == {"failed before"}
    world.make("content")
    assert timeless(world.store) == before
