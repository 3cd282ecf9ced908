"""Time of a clip's pictures on one core, beside a full decode, and whether they are the same.

Streams are made for the purpose: 10 s of 1280 x 720 at 30 pictures a second, H.264 of x264's preset
medium at a given bit rate; a textured street under a hand-held camera (pan, zoom, small rotation),
things that cross it, and sensor grain. They differ in the distance of key frames and in B-pictures.
What may be left out depends on them: the pictures that no other refers to.

    full      every picture decoded with PyAV, one thread
    fast      the ten wanted pictures, as `features.pictures` decodes them
    stage     the same with conversion to RGB, scaling to short side 320, and JPEG of quality 90
    exact     wanted pictures whose planes are identical to the full decode's

The paths run in turn, over and over, so that what else the machine does falls on all of them; the
figures are medians.

    python benchmarks/pictures.py [--rounds 7] [--megabits 7] [VIDEO ...]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from avsc.features.jpeg import encode
from avsc.features.pictures import pictures, rgb
from avsc.features.specs import ImageSpec

SECONDS, RATE, HEIGHT, WIDTH = 10, 30, 720, 1280
STREAMS = {
    "GOP 250": {"g": "250"},
    "GOP 30": {"g": "30"},
    "GOP 250, two B": {"g": "250", "bf": "2"},
    "GOP 250, no pyramid": {"g": "250", "x264-params": "b-pyramid=none"},
    "GOP 30, open": {"g": "30", "x264-params": "open-gop=1"},
    "GOP 250, no B": {"g": "250", "bf": "0"},
}
SPEC = ImageSpec(short_side=320, quality=90)


def texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return uint8 RGB [height, width, 3] with detail of all sizes."""
    total = np.full((height, width, 3), 120.0, np.float32)
    for size, weight in ((1, 40), (4, 200), (16, 960), (50, 3000)):
        total += weight * cv2.GaussianBlur(
            rng.normal(0, 1, (height, width, 3)).astype(np.float32), (0, 0), size
        )
    return np.clip(total, 0, 255).astype(np.uint8)


def street(rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures of a clip, uint8 RGB [720, 1280, 3]."""
    ground = texture(rng, 1100, 1800)
    things = [texture(rng, *rng.integers([80, 60], [300, 240])) for _ in range(12)]
    places = rng.uniform([0, 200], [WIDTH, 420], (12, 2))
    speeds = rng.uniform([-9, -1], [9, 1], (12, 2))
    grain = rng.normal(0, 3, (8, HEIGHT + 64, WIDTH + 64, 1)).astype(np.float32)
    for i in range(SECONDS * RATE):
        camera = cv2.getRotationMatrix2D((900, 550), 1.5 * np.sin(i / 31), 1 + np.sin(i / 67) / 20)
        camera[:, 2] -= 260 + 180 * np.sin(i / 45), 190 + 60 * np.cos(i / 29)
        picture = cv2.warpAffine(ground, camera, (WIDTH, HEIGHT)).astype(np.float32)
        for thing, place, speed in zip(things, places, speeds, strict=True):
            height, width = thing.shape[:2]
            left, top = (place + speed * i).astype(int) % (WIDTH - width, HEIGHT - height)
            picture[top : top + height, left : left + width] = thing
        y, x = rng.integers(0, 64, 2)
        picture += grain[rng.integers(8), y : y + HEIGHT, x : x + WIDTH]
        yield np.clip(picture, 0, 255).astype(np.uint8)


def write(
    path: Path,
    scene: Iterable[NDArray[np.uint8]],
    options: dict[str, str],
    rate: int,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "medium", **options})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = rate
        for picture in scene:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode(None))
    return path


def full(path: Path) -> list[av.VideoFrame]:
    """Decode every picture; keep those on show at k + 0.5 s, by the definition."""
    chosen: dict[int, av.VideoFrame] = {}
    with av.open(path) as file:
        stream = file.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        zero, k = stream.start_time or 0, 0
        for frame in file.decode(stream):
            while (frame.pts - zero) * stream.time_base > k + Fraction(1, 2):
                k += 1
            chosen[k] = frame
    return [chosen[k] for k in sorted(chosen)]


def fast(path: Path) -> list[av.VideoFrame]:
    return [frame for _, frame in pictures(path) if isinstance(frame, av.VideoFrame)]


def stage(path: Path) -> list[bytes]:
    return [encode(rgb(frame, SPEC.short_side), SPEC) for frame in fast(path)]


def measured(path: Path, rounds: int) -> tuple[dict[str, float], str]:
    """Return milliseconds a clip by path, and how many of how many pictures are the same."""
    paths: dict[str, Callable[[Path], object]] = {"full": full, "fast": fast, "stage": stage}
    spent: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(rounds):
        for name, run in paths.items():
            begin = time.process_time()
            run(path)
            spent[name].append(1e3 * (time.process_time() - begin))
    wanted = {frame.pts: frame.to_ndarray() for frame in full(path)}
    found = fast(path)
    same = sum(
        frame.pts in wanted and np.array_equal(frame.to_ndarray(), wanted[frame.pts])
        for frame in found
    )
    return {name: statistics.median(times) for name, times in spent.items()}, f"{same}/{len(found)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, help="measure these in place of made ones")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabits", type=float, default=7.0, help="bit rate of the made streams")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = {path.name: path for path in options.videos}
        if not videos:
            scene = list(street(np.random.default_rng(7)))
            for i, (name, coding) in enumerate(STREAMS.items()):
                path = Path(folder) / f"{i}.mp4"
                videos[name] = write(path, scene, coding, round(1e6 * options.megabits))
            del scene
        print(
            f"{'stream':36}{'full':>8}{'fast':>8}{'ratio':>7}{'stage':>8}{'ratio':>7}{'exact':>8}"
        )
        for name, path in videos.items():
            ms, same = measured(path, options.rounds)
            print(
                f"{name[:35]:36}{ms['full']:8.0f}{ms['fast']:8.0f}{ms['fast'] / ms['full']:7.2f}"
                f"{ms['stage']:8.0f}{ms['stage'] / ms['full']:7.2f}{same:>8}",
                flush=True,
            )


if __name__ == "__main__":
    main()
