"""Flipped bits and cut files in a store and in checkpoints: the same data or an error of ours.

Every file of a small store is tried, and of two checkpoints; every few tries extraction mends the
store, which must then have its bytes again.
"""

import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from batches import report
from digests import timeless
from extraction import World, everything
from faults.damage import places

from avsc.manifests.errors import AvscError
from avsc.train.fit.checkpoint import Progress, load_last, load_weights, save_best, save_last
from avsc.train.fit.run_folder import RunFolder
from avsc.train.model.baseline import DenseEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.network import Network

MEND_EVERY = 10
RECEIPTS = tuple(f"part-{block:05d}.json" for block in range(3))
DIGEST = "d" * 64


def small_network() -> Network:
    """Return a network whose checkpoint is small."""
    return Network(None, DenseEncoder(3), SceneClassifier(2, 3), frozen_visual=False)


class Target:
    """A store and checkpoints to be damaged, made when they are not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(folder, write=not (folder / "root").exists())
        if not (folder / "best.pt").exists():
            (self.world.root / "audio/clip-1.wav").unlink()  # so that failures.csv says something
            self.world.make()
            optimiser = torch.optim.SGD(self.network.parameters(), lr=0.1)
            run = RunFolder(folder)
            save_last(run, DIGEST, self.network, optimiser, Progress(2, 5, 0.25, []))
            save_best(run, DIGEST, self.network, 4)
        self.files = sorted({path for path, _ in places(folder)})
        self.whole, self.wanted = timeless(self.world.store), everything(self.world.store)

    @cached_property
    def network(self) -> Network:
        """A small network, the same in each process."""
        torch.manual_seed(0)
        return small_network()

    def cut(self, number: int) -> tuple[Path, bytes]:
        """Return a file and its bytes up to the next of all the places where files are cut."""
        path, length = places(self.folder)[number]
        return path, path.read_bytes()[:length]

    def flip(self, seed: int, number: int) -> tuple[Path, bytes]:
        """Return a file and its bytes with one bit flipped."""
        draw = np.random.default_rng((seed, number))
        path = self.files[draw.integers(len(self.files))]
        data = bytearray(path.read_bytes())
        data[draw.integers(len(data))] ^= 1 << draw.integers(8)
        return path, bytes(data)

    def attempt(self, number: int, path: Path, data: bytes) -> str:
        """Put damaged bytes in the place of a file and tell what became of reading it."""
        before = path.read_bytes()
        path.write_bytes(data)
        try:
            right = self._read(path)
            found = "the same data" if right else f"!other data: {path}"
        except AvscError as fault:
            named = path.name in str(fault) and "\n" not in str(fault)
            found = "an error of ours" if named else f"!a file is not named: {path}: {fault}"
        if path.suffix != ".pt" and (number % MEND_EVERY == 0 or path.name in RECEIPTS):
            self.world.make("content")
            if timeless(self.world.store) != self.whole:
                return f"!not mended: {path}"
        path.write_bytes(before)
        return found

    def _read(self, path: Path) -> bool:
        """Read what a file belongs to; tell whether it says what it did."""
        if path.suffix != ".pt":
            return everything(self.world.store) == self.wanted
        network = small_network()
        if path.name == "best.pt":
            right = load_weights(path, DIGEST, network) == 4
        else:
            optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
            progress = load_last(path, DIGEST, network, optimiser)
            right = progress == Progress(2, 5, 0.25, [])
        wanted = self.network.state_dict()
        return right and all(v.equal(wanted[name]) for name, v in network.state_dict().items())


def main() -> None:
    """Make tries: flips, or cuts when the seed is 0."""
    folder, seed, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:])
    target = Target(folder)

    def attempt(number: int) -> str:
        if seed:
            return target.attempt(number, *target.flip(seed, number))
        return target.attempt(number, *target.cut(number))

    report(first, count, attempt)


if __name__ == "__main__":
    main()
