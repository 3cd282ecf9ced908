"""Labelled images of the world's own kind, to train an image model on.

    OUT/synth.json               what was asked for; written first
    OUT/train/SIGHT/000.jpg      a class is a kind of sight
    OUT/val/SIGHT/000.jpg        a fifth as many; put there last, so that half a set is no set

They are drawn as the images of clips are, from random numbers of their own: no image is one of
a clip's, whatever the seeds. What `avsc-fit places` learns from them is the sights, never a scene.
Where locations have looks, each labelled image has the look of a location of its own.
"""

from pathlib import Path

import numpy as np

from avsc.features.jpeg import encode
from avsc.features.specs import ImageSpec
from avsc.manifests.errors import SettingError
from avsc.manifests.files import flush_folder, publish
from avsc.preprocess.synth.design import SceneDesign
from avsc.preprocess.synth.settings_file import claim
from avsc.preprocess.synth.sights import SIGHTS, Look, make_images

LABELLED = 101
"""Keys their generators; those of media have smaller numbers."""
AS_STORED = ImageSpec(short_side=0)


def write_labelled(
    out: Path, design: SceneDesign, *, per_class: int, seed: int, size: tuple[int, int]
) -> int:
    """Make what a folder of labelled images is missing; return how many it holds.

    Args:
        out: a folder that does not exist, is empty, or holds images of the same settings.
        design: whose sights they show.
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
    kind = "pictures" if design.sights is SIGHTS else f"pictures of {design.name}"
    claim(out, kind, {"per_class": per_class, "seed": seed, "size": size})
    validating = per_class // 5
    if not (out / "val").exists():
        for part, (folder, count) in enumerate({"train": per_class, ".val": validating}.items()):
            for order, (name, sight) in enumerate(design.sights.items()):
                for number in range(count):
                    path = out / folder / name.replace(" ", "_") / f"{number:03d}.jpg"
                    if not path.exists():
                        generator = np.random.default_rng([seed, LABELLED, part, order, number])
                        look = Look.of_location(generator) if design.looks_stay else None
                        image = next(make_images(sight, generator, 1, size, look))
                        publish(path, encode(image, AS_STORED))
        (out / ".val").rename(out / "val")
        flush_folder(out)
    return len(design.sights) * (per_class + validating)
