"""DataChain: `read_storage`, `gen` over `VideoFile.get_frames` (PyAV), `save`; its own SQLite."""

import os
from collections.abc import Iterator
from pathlib import Path

from peers.peer import Image, Job

PACKAGES = ("datachain", "av")
ADVICE = "`read_storage`, `gen` with `VideoFile.get_frames` (PyAV), `save`"
RERUN = "the same script again; it goes on from the rows of the last batch"


def extract(job: Job) -> None:
    """Make a dataset."""
    os.environ["DATACHAIN_ROOT_DIR"] = str(job.out / "datachain")
    import datachain as dc
    from datachain import VideoFile

    def make(file: VideoFile) -> Iterator[tuple[str, int, bytes]]:
        rate = round(file.get_info().fps)
        for k, frame in enumerate(file.get_frames(start=rate // 2, step=rate)):
            yield Path(file.path).stem, k, job.encode(frame.get_np())

    listed = dc.read_storage(f"file://{job.folder}", type="video")
    if job.workers > 1:
        listed = listed.settings(parallel=job.workers)
    made = listed.settings(batch_size=job.unit).gen(
        make, output={"video": str, "number": int, "image": bytes}
    )
    made.save("images")


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    os.environ["DATACHAIN_ROOT_DIR"] = str(job.out / "datachain")
    import datachain as dc

    yield from dc.read_dataset("images").to_iter("video", "number", "image")
