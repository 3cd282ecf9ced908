"""Labelled images of the world's own kind, to train an image model on.

    OUT/synth.json               what was asked for; written first
    OUT/train/SIGHT/000.jpg      a class is a kind of sight
    OUT/val/SIGHT/000.jpg        a fifth as many; put there last, so that half a set is no set

They are drawn as the images of clips are, from random numbers of their own: no image is one of
a clip's, whatever the seeds. What `avsc-fit places` learns from them is the sights, never a scene.
"""

from pathlib import Path

import numpy as np

from avsc.features.jpeg import encode
from avsc.features.specs import ImageSpec
from avsc.manifests.errors import SettingError
from avsc.manifests.files import flush_folder, publish
from avsc.preprocess.synth.settings_file import claim
from avsc.preprocess.synth.sights import SIGHTS, make_images

LABELLED = 101
"""Keys their generators; those of media have smaller numbers."""
AS_STORED = ImageSpec(short_side=0)


def write_labelled(out: Path, *, per_class: int, seed: int, size: tuple[int, int]) -> int:
    """Make what a folder of labelled images is missing; return how many it holds.

    Args:
        out: a folder that does not exist, is empty, or holds images of the same settings.
        per_class: images to train on of each kind of sight, at least 5.
        seed: of everything drawn.
        size: (width, height) of the images, pixels.

    Raises:
        SettingError: too few images.
        ManifestError: `out` holds something else.
        AvscError: a file could not be written.
    """
    if per_class < 5:
        raise SettingError(f"--pictures-per-class {per_class}: at least 5, one of which validates.")
    claim(out, "pictures", {"per_class": per_class, "seed": seed, "size": size})
    validating = per_class // 5
    if not (out / "val").exists():
        _write_part(out / "train", 0, per_class, seed, size)
        _write_part(out / ".val", 1, validating, seed, size)
        (out / ".val").rename(out / "val")
        flush_folder(out)
    return len(SIGHTS) * (per_class + validating)


def _write_part(folder: Path, part: int, count: int, seed: int, size: tuple[int, int]) -> None:
    for order, (name, kind) in enumerate(SIGHTS.items()):
        for number in range(count):
            path = folder / name / f"{number:03d}.jpg"
            if not path.exists():
                generator = np.random.default_rng([seed, LABELLED, part, order, number])
                publish(path, encode(next(make_images(kind, generator, 1, size)), AS_STORED))
