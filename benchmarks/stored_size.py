"""What the size and the quality of stored images cost, and what they take from training images.

Images of 1280 x 720 are stored in each form, read, and augmented as for training (crop, flip,
jitter, to 288 x 288); the same crop, with the same jitter, is taken from the source image.

    KiB       of a stored image
    decode    ms per image on one core, the processor's time
    error     mean absolute difference of the two training images, in steps of 255
    plain     the same with what the 288 pixels of the evaluation view show, without augmentation

Images are made, with the 1 / frequency spectrum of natural scenes, or taken from videos that are
named. A crop's box is in whole pixels of the stored image; the source's is the same box to a
fraction of a pixel, so that no difference is a shift.

    python benchmarks/stored_size.py [--pictures 12] [--views 8] [VIDEO ...]
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import render_torch
import torch
from made import scene
from numpy.typing import NDArray
from turns import in_turn, table

from avsc.features import jpeg
from avsc.features.images import frames_on_show, rgb
from avsc.features.specs import ImageSpec
from avsc.train.data import render_cpu
from avsc.train.data.augment import UNCHANGED, Augment, Axis, ImageInput, Window

IMAGE = ImageInput(288, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
SIDES, QUALITIES = (256, 320, 360, 480, 0), (80, 85, 90, 95)
HEIGHT, WIDTH = 720, 1280
Image = NDArray[np.uint8]


def from_video(path: Path) -> list[Image]:
    """Return the images that would be stored of a video, at its own size."""
    found = (image for _, image in frames_on_show(path))
    return [rgb(image) for image in found if isinstance(image, av.VideoFrame)]


def seen(image: Image, window: Window, drawn: Any) -> NDArray[np.float32]:
    out = np.empty((3, IMAGE.size, IMAGE.size), np.float32)
    render_cpu.render(image, window, drawn, IMAGE, out)
    return out


def of_source(source: Image, stored: Image, window: Window, drawn: Any) -> NDArray[np.float32]:
    """Return what the same window shows of the source."""
    ratios = (there / here for there, here in zip(source.shape, stored.shape, strict=True))
    axes = [
        Axis(ratio * axis.start, ratio * axis.length, axis.scaled, axis.offset)  # type: ignore[arg-type]
        for ratio, axis in zip(ratios, window, strict=False)
    ]
    planes = torch.from_numpy(source).permute(2, 0, 1)
    return render_torch.render([planes], [(axes[0], axes[1])], drawn[None], IMAGE)[0].numpy()


def difference(source: Image, stored: Image, augment: Augment, views: int) -> float:
    """Return the mean difference of training images from the stored and from the source."""
    drawn = augment.draw(np.random.default_rng(3), views)
    found = []
    for one in drawn:
        window = augment.window(one, *stored.shape[:2], IMAGE)
        wanted = of_source(source, stored, window, one)
        found.append(np.abs(seen(stored, window, one) - wanted).mean())
    return float(np.mean(found))


def report(sources: list[Image], views: int, rounds: int) -> None:
    forms = [ImageSpec(short_side=side, quality=quality) for side in SIDES for quality in QUALITIES]
    encoded = {spec: [jpeg.encode(source, spec) for source in sources] for spec in forms}

    def read(spec: ImageSpec) -> list[Image]:
        return [jpeg.decode(data) for data in encoded[spec]]

    ms = in_turn({spec: partial(read, spec) for spec in forms}, rounds)
    lines = []
    for spec in forms:
        stored = read(spec)
        errors = [
            np.mean([difference(*both, augment, n) for both in zip(sources, stored, strict=True)])
            for augment, n in ((Augment(), views), (UNCHANGED, 1))
        ]
        size = np.mean([len(data) for data in encoded[spec]]) / 1024
        lines.append(
            f"{spec.short_side or 'source'} | {spec.quality} | {size:.0f} | "
            f"{ms[spec] / len(sources):.2f} | {errors[0]:.2f} | {errors[1]:.2f}"
        )
    table("short side | quality | KiB | decode, ms | error | plain", *lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, help="take the images from these")
    parser.add_argument("--pictures", type=int, default=12, help="made, or of each video")
    parser.add_argument("--views", type=int, default=8, help="of each image")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    if options.videos:
        sources = [one for path in options.videos for one in from_video(path)[: options.pictures]]
    else:
        sources = [scene(rng, HEIGHT, WIDTH) for _ in range(options.pictures)]
    print(f"{len(sources)} images, {options.views} views of each\n")
    report(sources, options.views, options.rounds)


if __name__ == "__main__":
    main()
