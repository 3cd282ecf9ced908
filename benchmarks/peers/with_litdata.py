"""LitData: `optimize`, one sample a video, chunks of so many; read back by `StreamingDataset`.

`optimize` empties two cache folders when it starts, by default `chunks` and `data` in the temporary
folder, even those of other programs; here each job has its own.
"""

import os
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from peers.feed import Feed, view
from peers.peer import Image, Job, by_pyav

PACKAGES = ("litdata", "av")
ADVICE = "`optimize(use_checkpoint=True)`, PyAV"
RERUN = "`optimize(use_checkpoint=True)` again"
FEED = "`StreamingDataset(shuffle=True)`, `StreamingDataLoader`, processes"
STATE = "`state_dict`, `load_state_dict`"


def sample(job: Job, video: str) -> dict[str, Any]:
    """Return the sample of a video."""
    images = (job.encode(rgb) for rgb in by_pyav(Path(video)))
    return {"video": Path(video).stem, **{f"image-{k}": data for k, data in enumerate(images)}}


def own_caches(folder: Path) -> None:
    """Let LitData empty folders of this job's alone."""
    os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = str(folder / "cache-chunks")
    os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = str(folder / "cache-data")


def extract(job: Job) -> None:
    """Make chunks."""
    from litdata import optimize

    own_caches(job.out)
    optimize(
        partial(sample, job),
        [str(video) for video in job.videos],
        str(job.out / "chunks"),
        chunk_size=job.unit,
        num_workers=job.workers,
        use_checkpoint=True,
        verbose=False,
    )


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    from litdata import StreamingDataset

    for one in StreamingDataset(str(job.out / "chunks"), shuffle=False):
        name = one.pop("video")
        for key, data in one.items():
            yield name, int(key.removeprefix("image-")), bytes(data)


@cache
def _records(store: Path) -> Any:
    from avsc.features.store.reader import Store

    return Store.open(store, ["images"]).records("images")


def _record(store: Path, number: int) -> dict[str, Any]:
    return {"number": number, "image": _records(store).read(number).tobytes()}


def write(store: Path, data: Path) -> None:
    """Write chunks of 64 MB, as its documentation does."""
    from litdata import optimize

    own_caches(data.with_suffix(".caches"))
    numbers = list(range(len(_records(store))))
    optimize(partial(_record, store), numbers, str(data), chunk_bytes="64MB", num_workers=1,
             verbose=False)  # fmt: skip


class Epoch:
    """An epoch of `StreamingDataLoader`; processes. The state is the loader's own."""

    def __init__(self, feed: Feed) -> None:
        from litdata import StreamingDataLoader, StreamingDataset

        class Views(StreamingDataset):  # type: ignore[misc]
            def __getitem__(self, index: Any) -> Any:
                one = super().__getitem__(index)
                return one["number"], view(bytes(one["image"]), one["number"])

        images = Views(str(feed.data), shuffle=True, seed=0)
        self._loader = StreamingDataLoader(images, batch_size=feed.batch, num_workers=feed.workers)
        if feed.state is not None:
            self._loader.load_state_dict(feed.state)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for numbers, images in self._loader:
            yield numbers.tolist(), images

    def state(self) -> Any:
        """Return what `Feed.state` is to hold."""
        return self._loader.state_dict()


batches = Epoch
