"""Ray Data: a table of paths, `map` with PyAV, Parquet; with a checkpoint by the video's path.

Ray leaves its logs in the temporary folder, `ray/session_*`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.peer import Image, Job, by_pyav

PACKAGES = ("ray", "av")
ADVICE = "`read_parquet` of paths, `map` with PyAV, `write_parquet`"
RERUN = "`DataContext.checkpoint_config` with an id column, the same program again"
STARTS = 5


def start(workers: int) -> None:
    """Start Ray; again where its node gives up after 15 s, waiting for an agent: a busy machine."""
    import ray

    for left in reversed(range(STARTS)):
        try:
            ray.init(num_cpus=workers + 1, include_dashboard=False, object_store_memory=400 * 10**6)
        except Exception:  # it has no class of its own for that
            ray.shutdown()
            if not left:
                raise
        else:
            return


def extract(job: Job) -> None:
    """Make Parquet files."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import ray
    from ray.data.checkpoint import CheckpointConfig

    start(job.workers)
    listed, videos = job.out / "videos", list(map(str, job.videos))
    listed.mkdir(exist_ok=True)
    units = range(0, len(videos), job.unit)
    for first in units:
        unit = pa.table({"video": videos[first : first + job.unit]})
        pq.write_table(unit, listed / f"{first:06d}.parquet")
    context = ray.data.DataContext.get_current()
    context.use_datasource_v2 = False  # it reads small files in one task, whatever is asked for
    context.checkpoint_config = CheckpointConfig("video", str(job.out / "checkpoint"))

    def make(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "images": [job.encode(rgb) for rgb in by_pyav(Path(row["video"]))]}

    table = ray.data.read_parquet(str(listed), override_num_blocks=len(units))
    table.map(make).write_parquet(str(job.out / "frames"))
    ray.shutdown()


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    import pyarrow.parquet as pq

    for path in sorted((job.out / "frames").rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            for k, data in enumerate(row["images"]):
                yield Path(row["video"]).stem, k, data
