"""Time of the trainer's input path on one core: from a stored JPEG to an augmented network input.

Decode, RandomResizedCrop(288), horizontal flip, ColorJitter(0.4, 0.4, 0.4, 0.1), normalise; beside
torchvision's transforms v2 on PIL images and on tensors, albumentations and DALI on the CPU; the
last comes with no extra of ours (nvidia-dali-cuda120). All get the same parameters in the same
order, but for DALI, whose order is fixed and whose hue is turned by a matrix and not in HSV. The
error is the mean absolute difference, in steps of 255, to torchvision on float32 tensors. Figures
are the processor's time, as `turns` has it.

A second table gives the same work through the loader's threads, whole batches at a time.

    python benchmarks/pixels.py [--pictures 32] [--rounds 7] [--short-side 320] [--jpeg FOLDER]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import render_torch
import torch
from made import synthetic
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as tv
from turns import in_turn, table

from avsc.features import jpeg
from avsc.features.store.reader import Records
from avsc.train.data import render_cpu
from avsc.train.data.augment import Augment, ImageInput
from avsc.train.data.loader import ImageLoader, ImageRequest

IMAGE = ImageInput(288, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
AUGMENT = Augment()
ADJUST = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
Path_ = Callable[[list[bytes], Any], torch.Tensor]


def ours(encoded: list[bytes], drawn: Any) -> torch.Tensor:
    out = np.empty((len(encoded), 3, IMAGE.size, IMAGE.size), np.float32)
    for data, one, place in zip(encoded, drawn, out, strict=True):
        image = jpeg.decode(data)
        window = AUGMENT.window(one, *image.shape[:2], IMAGE)
        render_cpu.render(image, window, one, IMAGE, place)
    return torch.from_numpy(out)


def ours_torch(encoded: list[bytes], drawn: Any) -> torch.Tensor:
    images = [torch.from_numpy(jpeg.decode(data)).permute(2, 0, 1) for data in encoded]
    windows = [
        AUGMENT.window(one, *image.shape[1:], IMAGE)
        for image, one in zip(images, drawn, strict=True)
    ]
    return render_torch.render(images, windows, drawn, IMAGE)


def torchvision_path(decode: Callable[[bytes], Any]) -> Path_:
    def path(encoded: list[bytes], drawn: Any) -> torch.Tensor:
        return torch.stack(
            [torchvision_view(decode(data), one) for data, one in zip(encoded, drawn, strict=True)]
        )

    return path


def torchvision_view(image: Any, drawn: Any) -> torch.Tensor:
    """What torchvision's transforms call, with given parameters."""
    height, width = tv.get_size(image)
    rows, columns = AUGMENT.window(drawn, height, width, IMAGE)
    box = (rows.start, columns.start, rows.length, columns.length)
    seen = tv.resized_crop(image, *box, [IMAGE.size] * 2, antialias=True)
    if drawn["flip"]:
        seen = tv.horizontal_flip(seen)
    for part in drawn["order"]:
        seen = ADJUST[part](seen, float(drawn["factor"][part]))
    seen = tv.to_dtype(tv.to_image(seen), torch.float32, scale=True)
    return tv.normalize(seen, list(IMAGE.mean), list(IMAGE.std))


def on_pil(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def on_uint8(data: bytes) -> torch.Tensor:
    encoded = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    return cast(torch.Tensor, decode_jpeg(encoded, ImageReadMode.RGB))


def on_float32(data: bytes) -> torch.Tensor:
    return on_uint8(data) / 255


def albumentations_path() -> Path_ | None:
    """Return what albumentations' transforms call, with given parameters."""
    try:
        import albumentations
        from albumentations.augmentations.pixel import functional
    except ImportError:
        return None
    names = ("brightness", "contrast", "saturation", "hue")
    adjust = [getattr(functional, f"adjust_{name}_torchvision") for name in names]
    normalise = albumentations.Normalize(IMAGE.mean, IMAGE.std)

    def view(data: bytes, one: Any) -> np.ndarray:
        image = jpeg.decode(data)
        rows, columns = AUGMENT.window(one, *image.shape[:2], IMAGE)
        seen = image[rows.start :, columns.start :][: rows.length, : columns.length]
        seen = cv2.resize(seen, (IMAGE.size, IMAGE.size), interpolation=cv2.INTER_LINEAR)
        if one["flip"]:
            seen = cv2.flip(seen, 1)
        for part in one["order"]:
            seen = adjust[part](seen, float(one["factor"][part]))
        seen = normalise.apply(np.ascontiguousarray(seen))
        return np.ascontiguousarray(seen.transpose(2, 0, 1))

    def path(encoded: list[bytes], drawn: Any) -> torch.Tensor:
        views = [view(data, one) for data, one in zip(encoded, drawn, strict=True)]
        return torch.from_numpy(np.stack(views))

    return path


def dali_path(count: int) -> Path_ | None:
    try:
        from nvidia.dali import fn, pipeline_def, types
    except ImportError:
        return None
    feed: dict[str, list[np.ndarray]] = {}

    def given(name: str, kind: Any) -> Any:
        return fn.external_source(source=lambda: feed[name], dtype=kind)

    @pipeline_def(batch_size=count, num_threads=1, device_id=None)  # type: ignore[untyped-decorator]
    def pipeline() -> Any:
        seen = fn.decoders.image(given("jpeg", types.UINT8), device="cpu")
        box = given("start", types.INT32), given("length", types.INT32)
        seen = fn.slice(seen, *box, axes=(0, 1))
        seen = fn.resize(seen, size=(IMAGE.size, IMAGE.size), antialias=True)
        names = ("brightness", "contrast", "saturation", "hue")
        seen = fn.color_twist(seen, **{name: given(name, types.FLOAT) for name in names})
        mean, std = ([255 * value for value in three] for three in (IMAGE.mean, IMAGE.std))
        return fn.crop_mirror_normalize(
            seen, mirror=given("flip", types.INT32), mean=mean, std=std, output_layout="CHW"
        )

    running = pipeline(prefetch_queue_depth=1)
    running.build()

    def path(encoded: list[bytes], drawn: Any) -> torch.Tensor:
        windows = [
            AUGMENT.window(one, *jpeg.shape(data), IMAGE)
            for data, one in zip(encoded, drawn, strict=True)
        ]
        feed["jpeg"] = [np.frombuffer(data, np.uint8) for data in encoded]
        feed["start"] = [np.array([axis.start for axis in both], np.int32) for both in windows]
        feed["length"] = [np.array([axis.length for axis in both], np.int32) for both in windows]
        feed["flip"] = list(drawn["flip"].astype(np.int32))
        for part, name in enumerate(("brightness", "contrast", "saturation")):
            feed[name] = list(drawn["factor"][:, part])
        feed["hue"] = list(np.float32(360) * drawn["factor"][:, 3])
        (views,) = running.run()
        return torch.from_numpy(np.stack([np.asarray(views[n]) for n in range(len(encoded))]))

    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--short-side", type=int, default=320, help="of synthetic images")
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
        "DALI, CPU": dali_path(len(encoded)),
    }
    reference = torchvision_path(on_float32)(encoded, drawn)
    step = torch.tensor(IMAGE.std).view(3, 1, 1) * 255
    runs = {name: path for name, path in paths.items() if path}
    errors = {name: ((run(encoded, drawn) - reference) * step).abs() for name, run in runs.items()}
    times = in_turn(
        {name: partial(run, encoded, drawn) for name, run in runs.items()}, arguments.rounds
    )
    size = sum(map(len, encoded)) / len(encoded) / 1024
    print(f"{len(encoded)} images of {size:.0f} KiB, one core, medians of {arguments.rounds}\n")
    lines = []
    for name, path in paths.items():
        if path is None:
            lines.append(f"{name} | not installed | | | ")
            continue
        ms, error = times[name] / len(encoded), errors[name]
        ratio = times[name] / times["avsc, CPU (numba)"]
        lines.append(f"{name} | {ms:.2f} | {ratio:.1f} | {error.mean():.2f} | {error.max():.0f}")
    table("path | ms per image | times ours | mean error | maximum", *lines)
    print("\n| loader threads | ms per image | times one |\n|---|---|---|")
    loading: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for workers, runs_ms in loading.items():
            runs_ms.append(loader_ms(encoded, workers))
    for workers, runs_ms in loading.items():
        ms, one = statistics.median(runs_ms), statistics.median(loading[1])
        print(f"| {workers} | {ms:.2f} | {one / ms:.2f} |")


def loader_ms(encoded: list[bytes], workers: int, batches: int = 5, batch: int = 256) -> float:
    """Milliseconds an image through the loader."""
    loader = ImageLoader(
        cast(Records, InMemory(encoded)), IMAGE, AUGMENT, workers, torch.device("cpu")
    )
    drawn = AUGMENT.draw(np.random.default_rng(0), batch)
    request = ImageRequest(np.arange(batch) % len(encoded), drawn)
    start = time.perf_counter()
    count = sum(len(images) for images in loader.load([request] * batches))
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
