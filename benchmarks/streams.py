"""Videos made for the benchmarks: a street, and how it is encoded.

A clip is 10 s of 1280 x 720 at 30 frames a second, H.264 of x264's preset medium at a given bit
rate; a textured street under a hand-held camera (pan, zoom, small rotation), things that cross it,
and sensor grain. Streams differ in the distance of key frames and in B-pictures: what may be left
out in decoding depends on them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

SECONDS, RATE, HEIGHT, WIDTH = 10, 30, 720, 1280
MEGABITS = 7.0
STREAMS = {
    "GOP 250": {"g": "250"},
    "GOP 60": {"g": "60"},
    "GOP 30": {"g": "30"},
    "GOP 250, two B": {"g": "250", "bf": "2"},
    "GOP 250, no pyramid": {"g": "250", "x264-params": "b-pyramid=none"},
    "GOP 30, open": {"g": "30", "x264-params": "open-gop=1"},
    "GOP 250, no B": {"g": "250", "bf": "0"},
}


def texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return uint8 RGB [height, width, 3] with detail of all sizes."""
    total = np.full((height, width, 3), 120.0, np.float32)
    for size, weight in ((1, 40), (4, 200), (16, 960), (50, 3000)):
        total += weight * cv2.GaussianBlur(
            rng.normal(0, 1, (height, width, 3)).astype(np.float32), (0, 0), size
        )
    return np.clip(total, 0, 255).astype(np.uint8)


def street(rng: np.random.Generator, seconds: int = SECONDS) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a clip, uint8 RGB [720, 1280, 3]."""
    ground = texture(rng, 1100, 1800)
    things = [texture(rng, *rng.integers([80, 60], [300, 240])) for _ in range(12)]
    places = rng.uniform([0, 200], [WIDTH, 420], (12, 2))
    speeds = rng.uniform([-9, -1], [9, 1], (12, 2))
    grain = rng.normal(0, 3, (8, HEIGHT + 64, WIDTH + 64, 1)).astype(np.float32)
    for i in range(seconds * RATE):
        camera = cv2.getRotationMatrix2D((900, 550), 1.5 * np.sin(i / 31), 1 + np.sin(i / 67) / 20)
        camera[:, 2] -= 260 + 180 * np.sin(i / 45), 190 + 60 * np.cos(i / 29)
        frame = cv2.warpAffine(ground, camera, (WIDTH, HEIGHT)).astype(np.float32)
        for thing, place, speed in zip(things, places, speeds, strict=True):
            height, width = thing.shape[:2]
            left, top = (place + speed * i).astype(int) % (WIDTH - width, HEIGHT - height)
            frame[top : top + height, left : left + width] = thing
        y, x = rng.integers(0, 64, 2)
        frame += grain[rng.integers(8), y : y + HEIGHT, x : x + WIDTH]
        yield np.clip(frame, 0, 255).astype(np.uint8)


def write(
    path: Path,
    scene: Iterable[NDArray[np.uint8]],
    options: dict[str, str],
    size: tuple[int, int] = (WIDTH, HEIGHT),
    megabits: float = MEGABITS,
) -> Path:
    """Encode frames, scaled to a size (width, height), as a video."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "medium", **options})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = round(1e6 * megabits)
        for frame in scene:
            scaled = frame if frame.shape[1::-1] == size else cv2.resize(frame, size)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(scaled, "rgb24")))
        file.mux(stream.encode(None))
    return path
