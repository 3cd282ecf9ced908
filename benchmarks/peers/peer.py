"""What every peer is asked to do, and how it is told: one module a peer, `peers.with_NAME`.

Extraction: one image a second of each video, as JPEG of short side 320, in the peer's own format,
by the way its own documentation advises. A module has

    PACKAGES    distributions whose versions stand in the table
    ADVICE      what of the peer is used
    RERUN       what its documentation says to do after a kill; empty if it says nothing
    extract     makes what is missing of a job
    images      reads back what was made: (video's name, number in the clip, bytes)

Each runs in a process of its own: `python -m peers.work NAME extract|images JOB`, JOB being JSON.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SHORT_SIDE, QUALITY = 320, 90
Image = tuple[str, int, bytes]


@dataclass(frozen=True)
class Job:
    """Videos to make images of.

    Attributes:
        folder: which holds them, and nothing else.
        out: folder for all that the peer writes.
        workers: processes.
        unit: videos that are kept, or lost, together.
        raw: keep RGB of the source's size instead of JPEG: to see which frames came out.
    """

    folder: Path
    out: Path
    workers: int = 1
    unit: int = 8
    raw: bool = False

    def encoded(self) -> str:
        """Return the job as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def parse(cls, text: str) -> "Job":
        """Return the job that `encoded` gave."""
        values = json.loads(text)
        return cls(Path(values.pop("folder")), Path(values.pop("out")), **values)

    @property
    def videos(self) -> list[Path]:
        """The videos, in order of their names."""
        return sorted(self.folder.glob("*.mp4"))

    def encode(self, rgb: NDArray[np.uint8]) -> bytes:
        """Return what is kept of an image [height, width, 3]."""
        import cv2
        import simplejpeg

        if self.raw:
            return rgb.tobytes()
        height, width, _ = rgb.shape
        scale = SHORT_SIDE / min(height, width)
        if scale < 1:
            size = round(width * scale), round(height * scale)
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        rgb = np.ascontiguousarray(rgb)
        return bytes(simplejpeg.encode_jpeg(rgb, quality=QUALITY, colorsubsampling="420"))


class Extractor(Protocol):
    """A peer that extracts."""

    PACKAGES: tuple[str, ...]
    ADVICE: str
    RERUN: str

    def extract(self, job: Job) -> None:
        """Make what is missing."""
        ...

    def images(self, job: Job) -> Iterator[Image]:
        """Yield what was made."""
        ...


def peer(name: str) -> Any:
    """Return a peer's module."""
    return import_module(f"peers.with_{name}")


def versions(packages: Iterable[str]) -> str:
    """Return packages with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


def by_pyav(video: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the first frame at or after each k + 0.5 s: what one writes with PyAV."""
    import av

    with av.open(video) as file:
        k = 0
        for frame in file.decode(video=0):
            if frame.pts * frame.time_base >= k + Fraction(1, 2):
                yield frame.to_ndarray(format="rgb24")
                k += 1


def write_loose(job: Job, video: Path, images: Iterable[NDArray[np.uint8]]) -> None:
    """Write images as files, a folder a video."""
    folder = job.out / video.stem
    folder.mkdir(parents=True, exist_ok=True)
    for k, rgb in enumerate(images):
        (folder / f"{k:02d}").write_bytes(job.encode(rgb))


def read_loose(job: Job) -> Iterator[Image]:
    """Yield what `write_loose` wrote."""
    for path in sorted(job.out.glob("*/*")):
        yield path.parent.name, int(path.name), path.read_bytes()
