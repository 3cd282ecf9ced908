"""Small folders of labelled images, in both layouts that avsc-fit places reads."""

import hashlib
from pathlib import Path

import numpy as np
import simplejpeg


def jpeg(label: int, draw: np.random.Generator, size: tuple[int, int] = (40, 56)) -> bytes:
    """Return a noisy image in which one of red, green and blue is bright."""
    image = draw.integers(0, 90, (*size, 3), dtype=np.uint8)
    image[..., label % 3] += 150
    return simplejpeg.encode_jpeg(image, quality=90, colorsubsampling="420")


def by_class(folder: Path, classes: int = 3, training: int = 24, validation: int = 8) -> Path:
    """Write train/CLASS/*.jpg and val/CLASS/*.jpg; so many images of each class."""
    draw = np.random.default_rng(0)
    for part, count in (("train", training), ("val", validation)):
        for label in range(classes):
            place = folder / part / f"place{label}"
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:03d}.jpg").write_bytes(jpeg(label, draw))
    return folder


def places365(folder: Path, size: str = "256", images: int = 4) -> dict[str, str]:
    """Write Places365 with three classes, laid out as torchvision unpacks it.

    Classes are listed in an order that is not alphabetical, so that the list's index counts.

    Returns:
        The MD5 of each list.
    """
    draw = np.random.default_rng(0)
    classes = ["/b/bus_interior", "/a/airfield", "/p/park/city"]
    lists: dict[str, list[str]] = {
        "categories_places365.txt": [f"{name} {label}" for label, name in enumerate(classes)],
        "places365_train_standard.txt": [
            f"{name}/{number:08d}.jpg {label}"
            for label, name in enumerate(classes)
            for number in range(1, images + 1)
        ],
        "places365_val.txt": [f"Places365_val_{n:08d}.jpg {n % 3}" for n in range(1, 7)],
    }
    folders = {
        "places365_train_standard.txt": f"data_{size}_standard",
        "places365_val.txt": f"val_{size}",
    }
    folder.mkdir(exist_ok=True)
    digests = {}
    for name, lines in lists.items():
        text = "".join(f"{line}\n" for line in lines).encode()
        (folder / name).write_bytes(text)
        digests[name] = hashlib.md5(text).hexdigest()
        for line in lines if name in folders else ():
            file, label = line.split()
            path = folder / folders[name] / file.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(int(label), draw))
    return digests
