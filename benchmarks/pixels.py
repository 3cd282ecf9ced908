"""Time of the trainer's input path on one core: from a stored JPEG to an augmented network input.

Decode, RandomResizedCrop(288), horizontal flip, ColorJitter(0.4, 0.4, 0.4, 0.1), normalise; beside
torchvision's transforms v2 on PIL pictures and on tensors, and albumentations where installed. All
paths but albumentations', which draws its own, get the same parameters. The error is the mean
absolute difference, in steps of 255, to torchvision on float32 tensors. The paths run in turn, over
and over, so that what else the machine does falls on all of them; the figures are medians.

A second table gives the same work through the loader's threads, whole batches at a time.

    python benchmarks/pixels.py [--pictures 32] [--rounds 7] [--short-side 320] [--jpeg FOLDER]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from made import synthetic
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from avsc.features import jpeg
from avsc.features.store.reader import Records
from avsc.train.data import pixels_cpu, pixels_torch
from avsc.train.data.augment import Augment
from avsc.train.data.loader import PictureLoader, Request
from avsc.train.data.views import ImageInput

IMAGE = ImageInput(288, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
AUGMENT = Augment()
ADJUST = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
Path_ = Callable[[list[bytes], Any], torch.Tensor]


def ours(encoded: list[bytes], drawn: Any) -> torch.Tensor:
    out = np.empty((len(encoded), 3, IMAGE.size, IMAGE.size), np.float32)
    for data, one, place in zip(encoded, drawn, out, strict=True):
        picture = jpeg.decode(data)
        window = AUGMENT.window(one, *picture.shape[:2], IMAGE)
        pixels_cpu.render(picture, window, one, IMAGE, place)
    return torch.from_numpy(out)


def ours_torch(encoded: list[bytes], drawn: Any) -> torch.Tensor:
    pictures = [torch.from_numpy(jpeg.decode(data)).permute(2, 0, 1) for data in encoded]
    windows = [
        AUGMENT.window(one, *picture.shape[1:], IMAGE)
        for picture, one in zip(pictures, drawn, strict=True)
    ]
    return pixels_torch.render(pictures, windows, drawn, IMAGE)


def torchvision_path(decode: Callable[[bytes], Any]) -> Path_:
    def path(encoded: list[bytes], drawn: Any) -> torch.Tensor:
        return torch.stack(
            [torchvision_view(decode(data), one) for data, one in zip(encoded, drawn, strict=True)]
        )

    return path


def torchvision_view(picture: Any, drawn: Any) -> torch.Tensor:
    """What torchvision's transforms call, with given parameters."""
    height, width = tv.get_size(picture)
    rows, columns = AUGMENT.window(drawn, height, width, IMAGE)
    box = (rows.start, columns.start, rows.length, columns.length)
    seen = tv.resized_crop(picture, *box, [IMAGE.size] * 2, antialias=True)
    if drawn["flip"]:
        seen = tv.horizontal_flip(seen)
    for part in drawn["order"]:
        seen = ADJUST[part](seen, float(drawn["factor"][part]))
    seen = tv.to_dtype(tv.to_image(seen), torch.float32, scale=True)
    return tv.normalize(seen, list(IMAGE.mean), list(IMAGE.std))


def on_pil(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def on_uint8(data: bytes) -> torch.Tensor:
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return pixels_torch.decode_on_device([encoded], torch.device("cpu"))[0]


def on_float32(data: bytes) -> torch.Tensor:
    return on_uint8(data) / 255


def albumentations_path() -> Path_ | None:
    try:
        import albumentations
    except ImportError:
        return None
    view = albumentations.Compose(
        [
            albumentations.RandomResizedCrop((IMAGE.size, IMAGE.size)),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=1),
            albumentations.Normalize(IMAGE.mean, IMAGE.std),
        ]
    )

    def path(encoded: list[bytes], _: Any) -> torch.Tensor:
        views = (view(image=jpeg.decode(data))["image"].transpose(2, 0, 1) for data in encoded)
        return torch.from_numpy(np.stack(list(views)))

    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--short-side", type=int, default=320, help="of synthetic pictures")
    parser.add_argument("--jpeg", type=Path, help="folder of JPEGs to use instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    if arguments.jpeg:
        files = sorted(arguments.jpeg.glob("*.jp*g"))[: arguments.pictures]
        encoded = [file.read_bytes() for file in files]
    else:
        encoded = list(synthetic(rng, arguments.pictures, arguments.short_side))
    drawn = AUGMENT.draw(rng, len(encoded))
    paths: dict[str, Path_ | None] = {
        "avsc, CPU (numba)": ours,
        "avsc, torch on the CPU": ours_torch,
        "torchvision v2, tensors": torchvision_path(on_uint8),
        "torchvision v2, PIL": torchvision_path(on_pil),
        "albumentations": albumentations_path(),
    }
    reference = torchvision_path(on_float32)(encoded, drawn)
    step = torch.tensor(IMAGE.std).view(3, 1, 1) * 255
    runs = {name: path for name, path in paths.items() if path}
    errors = {name: ((run(encoded, drawn) - reference) * step).abs() for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run(encoded, drawn)
            times[name].append((time.perf_counter() - start) / len(encoded) * 1000)
    ours_ms = statistics.median(times["avsc, CPU (numba)"])
    size = sum(map(len, encoded)) / len(encoded) / 1024
    print(f"{len(encoded)} pictures of {size:.0f} KiB, one core, medians of {arguments.rounds}\n")
    print("| path | ms a picture | times ours | mean error | greatest |\n|---|---|---|---|---|")
    for name, path in paths.items():
        if path is None:
            print(f"| {name} | not installed | | | |")
            continue
        ms, error = statistics.median(times[name]), errors[name]
        apart = ("its own draws", "") if name == "albumentations" else (
            f"{error.mean():.3f}", f"{error.max():.1f}")  # fmt: skip
        print(f"| {name} | {ms:.2f} | {ms / ours_ms:.1f} | {apart[0]} | {apart[1]} |")
    print("\n| threads of the loader | ms a picture | times one |\n|---|---|---|")
    loading: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for workers, runs_ms in loading.items():
            runs_ms.append(loader_ms(encoded, workers))
    for workers, runs_ms in loading.items():
        ms, one = statistics.median(runs_ms), statistics.median(loading[1])
        print(f"| {workers} | {ms:.2f} | {one / ms:.2f} |")


def loader_ms(encoded: list[bytes], workers: int, batches: int = 5, batch: int = 256) -> float:
    """Milliseconds a picture through the loader."""
    loader = PictureLoader(
        cast(Records, InMemory(encoded)), IMAGE, AUGMENT, workers, torch.device("cpu"), False
    )
    drawn = AUGMENT.draw(np.random.default_rng(0), batch)
    request = Request(np.arange(batch) % len(encoded), drawn)
    start = time.perf_counter()
    count = sum(len(pictures) for pictures in loader.load([request] * batches))
    return (time.perf_counter() - start) / count * 1000


class InMemory:
    """Records that lie in memory, so that no disk is measured."""

    def __init__(self, encoded: list[bytes]) -> None:
        self._encoded = [np.frombuffer(data, np.uint8) for data in encoded]

    def read(self, record: int) -> np.ndarray:
        """Return the bytes of one JPEG."""
        return self._encoded[record]


if __name__ == "__main__":
    main()
