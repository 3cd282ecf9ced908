"""Daft: `read_video_frames`, which samples by itself; JPEG by a function of ours; Parquet.

It takes the first frame at or after 0, 1, 2 ... s, so the frames of half a second earlier. Each
video is a query of its own: with three in one, Daft 0.7.26 waits for ever on two cores (every
thread waits for frames, and opening a file needs one). Checkpoints need its Ray runner, and a
reader that takes them, which `read_video_frames` does not.
"""

from collections.abc import Iterator
from pathlib import Path

from peers.peer import SHORT_SIDE, Image, Job

PACKAGES = ("daft", "av")
ADVICE = "`read_video_frames(sample_interval_seconds=1)`, `write_parquet`"
RERUN = ""


def extract(job: Job) -> None:
    """Make Parquet files."""
    import av
    import daft

    with av.open(job.videos[0]) as file:
        width, height = file.streams.video[0].width, file.streams.video[0].height
    scale = 1 if job.raw else min(1, SHORT_SIDE / min(width, height))

    @daft.func(return_dtype=daft.DataType.binary())
    def encode(image):  # type: ignore[no-untyped-def]
        return job.encode(image)

    for video in job.videos:
        frames = daft.read_video_frames(
            str(video),
            image_height=round(height * scale),
            image_width=round(width * scale),
            sample_interval_seconds=1,
        )
        made = frames.select("path", "frame_time", encode(frames["data"]).alias("image"))
        made.write_parquet(str(job.out / "frames" / video.stem))


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    import pyarrow.parquet as pq

    for path in sorted((job.out / "frames").rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            yield Path(row["path"]).stem, round(row["frame_time"]), row["image"]
