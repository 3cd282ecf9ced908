"""Labelled images in files: Places365 as torchvision lays it out, or any folder of images.

    DIR/categories_places365.txt            Places365: torchvision.datasets.Places365 (0.29) reads
    DIR/places365_train_standard.txt        the lists and checks their MD5; images of 256 x 256
    DIR/places365_val.txt                   ("small") in the folders named here, larger ones
    DIR/data_256_standard/a/airfield/...    ("large") in data_large_standard and val_large
    DIR/val_256/...

    DIR/train/CLASS/NAME.jpg                any other, incl. Places365's "easy format"; CLASS
    DIR/val/CLASS/NAME.jpg                  names are class names, in alphabetical order

Images are JPEG. A file or folder that does not belong is an error that names it, before training
begins; nothing is omitted. An image that turns out to be damaged in training is an error, too.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError

JPEG = (".jpg", ".jpeg")
LAYOUTS = (
    "Wanted train/CLASS/*.jpg and val/CLASS/*.jpg, or Places365 as torchvision lays it out "
    "(categories_places365.txt, places365_train_standard.txt, places365_val.txt, and "
    "data_256_standard and val_256 or data_large_standard and val_large)."
)


@dataclass(frozen=True)
class ImageFolder:
    """Labelled images: those to train on, then those to validate on.

    Attributes:
        name: of the data set, for the origin of weights trained on it.
        classes: names in the order of their indices.
        files: their names below `path` [images].
        label: class index of each, int64 [images].
        training: how many of them, from the first, are for training.
    """

    path: Path
    name: str
    classes: tuple[str, ...]
    files: Sequence[str]
    label: NDArray[np.int64]
    training: int

    @property
    def digest(self) -> str:
        """SHA-256 of the names and labels of all images, not of their contents."""
        total = hashlib.sha256(f"{self.training} {' '.join(self.classes)}\n".encode())
        for file, label in zip(self.files, self.label.tolist(), strict=True):
            total.update(f"{label} {file}\n".encode())
        return total.hexdigest()

    def read(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of one image.

        Raises:
            AvscError: the file cannot be read.
        """
        try:
            return np.fromfile(self.path / self.files[record], np.uint8)
        except OSError as fault:
            raise AvscError(
                f"{self.where(record)}: cannot be read ({fault.strerror}). Put the image "
                "back, or start over without it."
            ) from fault

    def where(self, record: int) -> str:
        """Return the path of one image."""
        return str(self.path / self.files[record])


def open_image_folder(path: Path, size: str = "small", name: str | None = None) -> ImageFolder:
    """Find the images of a folder.

    Args:
        path: the folder, in either layout.
        size: which images of Places365, ``"small"`` or ``"large"``.
        name: of the set; None takes ``"Places365"`` in torchvision's layout, else the folder's.

    Raises:
        AvscError: neither layout, something that does not belong, or a class without images.
    """
    if (path / "categories_places365.txt").is_file() and not (path / "train").is_dir():
        return _places365(path, size, name or "Places365")
    return _by_class(path, name or path.resolve().name)


def _by_class(path: Path, name: str) -> ImageFolder:
    """Read the layout train/CLASS, val/CLASS."""
    parts = [_class_folders(path, part) for part in ("train", "val")]
    if parts[0] != parts[1]:
        odd = sorted(set(parts[0]) ^ set(parts[1]))[0]
        there, absent = ("train", "val") if odd in parts[0] else ("val", "train")
        raise AvscError(
            f"{path}: class {odd!r} is in {there} and not in {absent}. Wanted the same classes "
            "in both."
        )
    classes = tuple(parts[0])
    files: list[str] = []
    labels: list[int] = []
    ends = []
    for part in ("train", "val"):
        for number, class_name in enumerate(classes):
            names = _jpegs(path / part / class_name)
            files += (f"{part}/{class_name}/{file}" for file in names)
            labels += [number] * len(names)
        ends.append(len(files))
    return ImageFolder(path, name, classes, files, np.array(labels, np.int64), ends[0])


def _class_folders(path: Path, part: str) -> list[str]:
    if not (path / part).is_dir():
        raise AvscError(f"{path}: there is no folder {part}. {LAYOUTS}")
    entries = sorted((path / part).iterdir())
    for entry in entries:
        if not entry.is_dir():
            raise AvscError(f"{entry}: found a file where folders of classes are. Remove it.")
    if len(entries) < 2:
        raise AvscError(f"{path / part}: found {len(entries)} classes, wanted two or more.")
    return [entry.name for entry in entries]


def _jpegs(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if not (entry.is_file() and entry.name.lower().endswith(JPEG)):
            raise AvscError(
                f"{entry.path}: not a JPEG by its name (.jpg, .jpeg). Convert it, or remove it."
            )
    if not found:
        raise AvscError(f"{folder}: found no images. Wanted some, or no such class.")
    return sorted(entry.name for entry in found)


def _places365(path: Path, size: str, name: str) -> ImageFolder:
    """Read torchvision's layout by torchvision's own class."""
    from torchvision.datasets import Places365

    try:
        sets: list[Any] = [
            Places365(path, split, small=size == "small") for split in ("train-standard", "val")
        ]
    except (RuntimeError, OSError, ValueError) as fault:
        raise AvscError(
            f"{path}: the lists of Places365 cannot be read ({str(fault).rstrip('.')}). Unpack "
            "filelist_places365-standard.tar there again."
        ) from fault
    for part in sets:
        if not Path(part.images_dir).is_dir():
            raise AvscError(
                f"{part.images_dir}: there is no such folder, which holds the {size} images. "
                "Name the others by --size, or download these with torchvision."
            )
    files = [file.removeprefix(f"{part.root}/") for part in sets for file, _ in part.imgs]
    for file in files:
        if not file.lower().endswith(JPEG):
            raise AvscError(f"{path / file}: not a JPEG by its name (.jpg, .jpeg). Convert it.")
    index = sets[0].class_to_idx
    classes = tuple(sorted(index, key=lambda name: int(index[name])))
    label = np.array([label for part in sets for label in part.targets], np.int64)
    return ImageFolder(path, name, classes, files, label, len(sets[0].imgs))
