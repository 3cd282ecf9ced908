"""SPDL: loose files in a shuffled order, its `DataLoader` of threads.

Its samplers draw the same order from the same seed; where in it one is, the user has to keep.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from peers.feed import Feed, stored, view

PACKAGES = ("spdl",)
FEED = "loose files, `DistributedRandomSampler`, `spdl.dataloader.DataLoader`, threads"
STATE = ""
FOLDER = 1000  # files in one


def write(store: Path, data: Path) -> None:
    """Write files."""
    for number, image in enumerate(stored(store)):
        path = _path(data, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)


def _path(data: Path, number: int) -> Path:
    return data / f"{number // FOLDER:03d}" / f"{number:08d}.jpg"


class Epoch:
    """An epoch; it cannot be gone on with."""

    def __init__(self, feed: Feed) -> None:
        from spdl.dataloader import DataLoader
        from spdl.source import DistributedRandomSampler

        count = sum(1 for _ in feed.data.rglob("*.jpg"))

        def read(number: int) -> tuple[int, Any]:
            return number, view(_path(feed.data, number).read_bytes(), number)

        def gather(some: list[tuple[int, Any]]) -> tuple[list[int], Any]:
            return [number for number, _ in some], np.stack([image for _, image in some])

        self._loader = DataLoader(
            DistributedRandomSampler(count, rank=0, world_size=1, seed=0),
            preprocessor=read,
            batch_size=feed.batch,
            drop_last=True,
            aggregator=gather,
            num_threads=feed.workers,
            output_order="input",
        )

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield from self._loader

    def state(self) -> None:
        """Return nothing."""


batches = Epoch
