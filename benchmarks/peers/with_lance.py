"""Lance: a table of images, `SafeLanceDataset` by random index, torch's DataLoader (spawn)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.feed import Feed, stored, view

PACKAGES = ("pylance",)
FEED = "`get_safe_loader(SafeLanceDataset)`, torch's random sampler, processes"
STATE = ""


def write(store: Path, data: Path) -> None:
    """Write a table."""
    import lance
    import pyarrow as pa

    images = list(stored(store))
    table = pa.table({"number": range(len(images)), "image": pa.array(images, pa.binary())})
    lance.write_dataset(table, str(data))


def gathered(rows: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return rows as the trainer takes them; called in the workers."""
    import numpy as np

    numbers = [row["number"] for row in rows]
    return numbers, np.stack([view(row["image"], row["number"]) for row in rows])


class Epoch:
    """An epoch; it cannot be gone on with."""

    def __init__(self, feed: Feed) -> None:
        import torch
        from lance.torch.data import SafeLanceDataset, get_safe_loader

        self._loader = get_safe_loader(
            SafeLanceDataset(str(feed.data)),
            batch_size=feed.batch,
            num_workers=feed.workers,
            shuffle=True,
            drop_last=True,
            generator=torch.Generator().manual_seed(0),
            collate_fn=gathered,
        )

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield from self._loader

    def state(self) -> None:
        """Return nothing."""


batches = Epoch
