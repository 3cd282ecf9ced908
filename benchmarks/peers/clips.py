"""The clips that peers are set beside each other on, and the truth about their frames.

They are synthetic, as those of `avsc-prep synth`: 4 s of 320 x 180 for many, 10 s of 1280 x 720 at
30 frames a second for few; or they are the MP4 files of a folder of the user's.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.files import publish

RATE = 30  # images a second


def make(out: Path, count: int, size: tuple[int, int], seconds: int) -> list[Path]:
    """Return so many synthetic videos; make those that are missing."""
    from avsc.preprocess.synth.render import encode_mp4
    from avsc.preprocess.synth.sights import SIGHTS, make_images

    out.mkdir(parents=True, exist_ok=True)
    videos = [out / f"{number:03d}.mp4" for number in range(count)]
    for number, video in enumerate(videos):
        if not video.exists():
            kind = list(SIGHTS.values())[number % len(SIGHTS)]
            shots = (
                make_images(kind, np.random.default_rng([number, shot]), RATE, size)
                for shot in range(seconds)
            )
            publish(video, encode_mp4(chain.from_iterable(shots), size, RATE))
    return videos


def gather(folder: Path, videos: list[Path]) -> Path:
    """Return a folder with these videos and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for video in videos:
        link = folder / video.name
        link.unlink(missing_ok=True)
        link.hardlink_to(video)
    return folder


@dataclass(frozen=True)
class Truth:
    """Every frame of a clip, as PyAV decodes and converts it.

    Attributes:
        times: of the frames, seconds.
        digests: of their RGB bytes at the source's size.
        small: uint8 [frames, height / 8, width / 8], to find the nearest by.
    """

    times: list[Fraction]
    digests: dict[str, int]
    small: NDArray[np.uint8]
    shape: tuple[int, int]

    @classmethod
    def of(cls, video: Path) -> "Truth":
        """Decode a clip."""
        import av

        times, digests, small, shape = [], {}, [], (0, 0)
        with av.open(video) as file:
            zero = file.streams.video[0].start_time or 0
            for number, frame in enumerate(file.decode(video=0)):
                rgb = frame.to_ndarray(format="rgb24")
                times.append((frame.pts - zero) * frame.time_base)
                digests.setdefault(hashlib.sha256(rgb.tobytes()).hexdigest(), number)
                small.append(rgb[::8, ::8, 1])
                shape = rgb.shape[:2]
        return cls(times, digests, np.array(small), shape)

    def on_show(self, second: Fraction) -> int:
        """Return the number of the frame on show at a time."""
        return max(number for number, time in enumerate(self.times) if time <= second)

    def find(self, rgb: bytes) -> tuple[int, bool]:
        """Return which frame these bytes are, or are nearest to, and whether they are equal."""
        if (number := self.digests.get(hashlib.sha256(rgb).hexdigest())) is not None:
            return number, True
        image = np.frombuffer(rgb, np.uint8).reshape(*self.shape, 3)[::8, ::8, 1]
        differences = np.abs(self.small.astype(np.int16) - image).mean((1, 2))
        return int(differences.argmin()), False
