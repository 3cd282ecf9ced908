"""PyAV in a loop: every frame decoded, the wanted ones kept. One process, no rerun."""

from collections.abc import Iterator

from peers.peer import Image, Job, by_pyav, read_loose, write_loose

PACKAGES = ("av",)
ADVICE = "`container.decode` in a loop"
RERUN = ""


def extract(job: Job) -> None:
    """Make loose files."""
    for video in job.videos:
        write_loose(job, video, by_pyav(video))


def images(job: Job) -> Iterator[Image]:
    """Yield what was made."""
    return read_loose(job)
