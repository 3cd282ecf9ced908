"""WebDataset: tar shards, `shardshuffle`, a shuffle buffer, `WebLoader`.

It refuses fewer shards than workers; so these are smaller than one would have them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.feed import Feed, stored, view

PACKAGES = ("webdataset",)
FEED = "shards of 128, `shardshuffle`, `shuffle(1000)`, `WebLoader`, processes"
STATE = ""
SHARD, BUFFER = 128, 1000


def write(store: Path, data: Path) -> None:
    """Write shards."""
    import webdataset as wds

    data.mkdir()
    with wds.ShardWriter(str(data / "%06d.tar"), maxcount=SHARD, verbose=0) as shards:
        for number, image in enumerate(stored(store)):
            shards.write({"__key__": f"{number:08d}", "jpg": image})


def seen(sample: dict[str, Any]) -> tuple[int, Any]:
    """Return a sample as the trainer takes it."""
    number = int(sample["__key__"])
    return number, view(sample["jpg"], number)


class Epoch:
    """An epoch; it cannot be gone on with."""

    def __init__(self, feed: Feed) -> None:
        import webdataset as wds

        shards = [str(path) for path in sorted(feed.data.glob("*.tar"))]
        images = wds.WebDataset(shards, shardshuffle=len(shards), seed=0)
        images = images.shuffle(BUFFER, seed=0).map(seen).batched(feed.batch, partial=False)
        self._loader = wds.WebLoader(images, batch_size=None, num_workers=feed.workers)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for numbers, images in self._loader:
            yield list(map(int, numbers)), images

    def state(self) -> None:
        """Return nothing."""


batches = Epoch
