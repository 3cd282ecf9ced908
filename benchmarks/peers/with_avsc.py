"""avsc: `avsc-prep extract`, images alone; and the batches of its trainer."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.feed import AUGMENT, INPUT, Feed
from peers.peer import QUALITY, SHORT_SIDE, Image, Job, read_loose, write_loose

PACKAGES = ("avsc", "av", "dask")
ADVICE = "`avsc-prep extract --products images`"
RERUN = "the same command again"
FEED = "`TrainingBatches`, threads"
STATE = "`epoch(number, start_batch)`"


def extract(job: Job) -> None:
    """Make a store; raw frames are no product, so those are taken from the function below it."""
    from avsc.features.images import frames_on_show

    if job.raw:
        for video in job.videos:
            frames = (frame for _, frame in frames_on_show(video))
            write_loose(job, video, (frame.to_ndarray(format="rgb24") for frame in frames))
        return
    job.out.mkdir(parents=True, exist_ok=True)
    rows = [f"{video.stem},x,{video.relative_to('/')}" for video in job.videos]
    manifest = job.out / "clips.csv"
    manifest.write_text("\n".join(["id,scene,video", *rows]) + "\n")
    command = [Path(sys.executable).with_name("avsc-prep"), "extract", "--manifest", manifest,
               "--root", "/", "--out", job.out / "store", "--products", "images",
               "--image-short-side", SHORT_SIDE, "--image-quality", QUALITY,
               "--workers", job.workers, "--block-size", job.unit]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True)


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    from avsc.features.store.reader import Store

    if job.raw:
        yield from read_loose(job)
        return
    store = Store.open(job.out / "store")
    records = store.records("images")
    for record in range(len(records)):
        name = store.clips[records.clip[record]].id
        yield name, int(records.key[record]), records.read(record).tobytes()


def write(store: Path, data: Path) -> None:
    """Leave the store as it is."""
    data.symlink_to(store)


class Epoch:
    """An epoch of a trainer's own batches; threads. The state is the number of batches done."""

    def __init__(self, feed: Feed) -> None:
        import torch

        from avsc.features.store.reader import Store
        from avsc.train.data.batches import Preparation, TrainingBatches
        from avsc.train.data.source import Source

        torch.set_num_threads(1)
        store = Store.open(feed.data, ["images"])
        source = Source.open(store, None, images=True)
        samples = source.samples(range(len(store.clips)))
        preparation = Preparation(INPUT, feed.workers, torch.device("cpu"))
        self._images, self._done = samples.image, feed.state or 0
        self._batches = TrainingBatches(
            source=source,
            samples=samples,
            batch_size=feed.batch,
            seed=0,
            preparation=preparation,
            augment=AUGMENT,
        )

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for batch in self._batches.epoch(0, self._done):
            self._done += 1
            yield self._images[batch.index], batch.images

    def state(self) -> int:
        """Return what `Feed.state` is to hold."""
        return self._done


batches = Epoch
