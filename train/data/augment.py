"""Augmentation of images: what is drawn at random for each sample, and which part of it is seen.

The transforms are those of the paper's section 2.2.2 with torchvision's meaning (transforms v2,
0.29):

- ``crop``: RandomResizedCrop. Up to ten tries of an area (a uniform share of the image's) and an
  aspect ratio (log-uniform); the first that fits is placed uniformly. If none fits, the largest
  centre crop whose ratio is allowed. Without it, the evaluation view.
- ``flip``: RandomHorizontalFlip.
- ``jitter``: ColorJitter. Brightness, contrast and saturation are factors around 1, hue is a turn
  of the hue circle around 0, each uniform; the four are applied in an order drawn for each sample.

Draws depend neither on the images' sizes nor on which transforms are chosen: all are drawn, and
those not chosen are then made neutral, so that runs with and without one share the others.

A *window* is one `Axis` for the rows and one for the columns. Along an axis, the source pixels
[start, start + length) are scaled to `scaled` pixels (antialiased bilinear, as torchvision), of
which the [offset, offset + size) are seen, `size` being the network's. A training crop is scaled
to just that size; the evaluation view is the whole image, its short side scaled to `size`, and the
centre of it, in the arithmetic of torchvision's `Resize(size)` and `CenterCrop(size)`.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import SettingError

VIEWS = ("crop", "squash")
TRANSFORMS = ("crop", "flip", "jitter")
TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)

DRAWN = np.dtype(
    [
        ("area", np.float64, TRIES),  # share of the image's area, one for each try
        ("aspect", np.float64, TRIES),  # width / height, one for each try
        ("place", np.float64, 2),  # where the box lies down and across, in [0, 1)
        ("flip", np.bool_),
        ("order", np.int8, 4),  # the jitters in the order they are applied
        ("factor", np.float32, 4),  # of brightness, contrast, saturation; turn of hue
    ]
)


class Axis(NamedTuple):
    """What is seen along one axis of an image, in pixels.

    Attributes:
        start: first source pixel.
        length: number of source pixels.
        scaled: number of pixels that they are scaled to.
        offset: first of the scaled pixels that is seen.
    """

    start: int
    length: int
    scaled: int
    offset: int


Window = tuple[Axis, Axis]


@dataclass(frozen=True)
class ImageInput:
    """The input of a visual encoder.

    Attributes:
        size: height and width of its input, pixels.
        mean: mean of red, green, blue, as shares of full intensity; subtracted.
        std: standard deviation of red, green, blue, as shares of full intensity; divided by.
        view: evaluation view: ``"crop"``, the short side scaled to `size` and the middle of the
            long one; ``"squash"``, the whole image, its aspect ratio not kept.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    view: str = "crop"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingError(f"image size is {self.size}; 1 pixel or more.")
        if min(self.std) <= 0:
            raise SettingError(f"image std is {self.std}; three numbers > 0.")
        if self.view not in VIEWS:
            raise SettingError(f"image view is {self.view!r}; one of {', '.join(VIEWS)}.")


def evaluation_window(height: int, width: int, image_input: ImageInput) -> Window:
    """Return the evaluation view of an image of `height` by `width` pixels.

    >>> image_input = ImageInput(288, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> evaluation_window(320, 568, image_input)[1]
    Axis(start=0, length=568, scaled=511, offset=112)
    """
    if image_input.view == "squash":
        return crop_window((0, 0, height, width), image_input)
    short = min(height, width)
    rows, columns = (
        Axis(0, length, scaled, round((scaled - image_input.size) / 2))
        for length in (height, width)
        for scaled in (image_input.size * length // short,)
    )
    return rows, columns


def crop_window(box: tuple[int, int, int, int], image_input: ImageInput) -> Window:
    """Return the view of a box (top, left, height, width), scaled to the network's size."""
    top, left, height, width = box
    return Axis(top, height, image_input.size, 0), Axis(left, width, image_input.size, 0)


@dataclass(frozen=True)
class Augment:
    """Which transforms are used, and how strong they are.

    Attributes:
        transforms: of ``crop``, ``flip``, ``jitter``.
        scale: least and greatest share of the image's area in a crop.
        ratio: least and greatest width / height of a crop.
        flip: probability of a mirrored image.
        strength: greatest distance from neutral of brightness, contrast, saturation and hue.
    """

    transforms: frozenset[str] = frozenset(TRANSFORMS)
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    strength: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)

    def __post_init__(self) -> None:
        unknown = sorted(self.transforms - set(TRANSFORMS))
        if unknown:
            raise SettingError(
                f"augment: unknown part {unknown[0]!r}; any of {', '.join(TRANSFORMS)}, or none."
            )
        for name, (low, high), limit in (("scale", self.scale, 1.0), ("ratio", self.ratio, 1e6)):
            if not 0 < low <= high <= limit:
                raise SettingError(
                    f"augment: {name} is {low} to {high}; two rising numbers in (0, {limit:g}]."
                )
        if not 0 <= self.flip <= 1:
            raise SettingError(f"augment: flip is {self.flip}; a probability.")
        if min(self.strength) < 0 or max(self.strength[:HUE]) > 1 or self.strength[HUE] > 0.5:
            raise SettingError(
                f"augment: strength is {self.strength}; three numbers in [0, 1], one in [0, 0.5]."
            )

    @classmethod
    def named(cls, names: str) -> Self:
        """Make the augmentation of a list such as ``"crop,flip"``, or ``"none"``.

        ``crop:0.5`` crops at least half of the area.

        >>> sorted(Augment.named("flip, crop").transforms), sorted(Augment.named("none").transforms)
        (['crop', 'flip'], [])
        >>> Augment.named("crop:0.5,flip").scale
        (0.5, 1.0)
        """
        if names.strip() == "none":
            return cls(frozenset())
        given = {name.strip() for name in names.split(",")}
        least = next((name for name in given if re.fullmatch(r"crop:[01]?\.?\d+", name)), None)
        if least is None:
            return cls(frozenset(given))
        return cls(frozenset(given - {least} | {"crop"}), (float(least.removeprefix("crop:")), 1.0))

    def draw(self, generator: np.random.Generator, n: int) -> NDArray[np.void]:
        """Draw the parameters of `n` samples: a structured array [n] of the type `DRAWN`."""
        drawn = np.zeros(n, DRAWN)
        drawn["area"] = generator.uniform(*self.scale, (n, TRIES))
        low, high = (math.log(ratio) for ratio in self.ratio)
        drawn["aspect"] = np.exp(generator.uniform(low, high, (n, TRIES)))
        drawn["place"] = generator.random((n, 2))
        drawn["flip"] = generator.random(n) < self.flip
        drawn["order"] = generator.permuted(np.tile(np.arange(4), (n, 1)), axis=1)
        drawn["factor"] = NEUTRAL + generator.uniform(-1, 1, (n, 4)) * self.strength
        if "flip" not in self.transforms:
            drawn["flip"] = False
        if "jitter" not in self.transforms:
            drawn["factor"] = NEUTRAL
        return drawn

    def window(self, drawn: Any, height: int, width: int, image_input: ImageInput) -> Window:
        """Return the window of one sample in an image of `height` by `width` pixels.

        Args:
            drawn: one element of what `draw` returned.
            height: of the image, pixels.
            width: of the image, pixels.
            image_input: what the network takes.
        """
        if "crop" not in self.transforms:
            return evaluation_window(height, width, image_input)
        return crop_window(self._box(drawn, height, width), image_input)

    def _box(self, drawn: Any, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the crop's top, left, height and width by torchvision's rule."""
        pixels = height * width
        for area, aspect in zip(drawn["area"].tolist(), drawn["aspect"].tolist(), strict=True):
            wide = round(math.sqrt(area * pixels * aspect))
            high = round(math.sqrt(area * pixels / aspect))
            if 0 < wide <= width and 0 < high <= height:
                down, across = drawn["place"].tolist()
                top = int(down * (height - high + 1))
                return top, int(across * (width - wide + 1)), high, wide
        wide = min(width, round(height * self.ratio[1]))
        high = min(height, round(width / self.ratio[0]))
        return (height - high) // 2, (width - wide) // 2, high, wide


UNCHANGED = Augment(frozenset())  # the evaluation view of every image
