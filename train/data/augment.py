"""Augmentation of pictures: what is drawn at random for each sample.

The parts are those of the paper's section 2.2.2 with torchvision's meaning (transforms v2, 0.29):

- ``crop``: RandomResizedCrop. Up to ten tries of an area (a uniform share of the picture's) and an
  aspect ratio (log-uniform), the first that fits is placed uniformly; when none fits, the largest
  middle part whose ratio is allowed. Without it, the evaluation view (see `views`).
- ``flip``: RandomHorizontalFlip.
- ``jitter``: ColorJitter. Brightness, contrast and saturation are factors around 1, hue is a turn
  of the hue circle around 0, each uniform; the four are applied in an order drawn anew for each
  sample.

Draws do not depend on the pictures' sizes, nor on which parts are chosen: every part is drawn and
those not chosen are then made neutral, so that runs with and without a part share the others.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import SettingError
from avsc.train.data.views import ImageInput, Window, crop_window, evaluation_window

TRANSFORMS = ("crop", "flip", "jitter")
TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)

DRAWN = np.dtype(
    [
        ("area", np.float64, TRIES),  # share of the picture's area, one for each try
        ("aspect", np.float64, TRIES),  # width / height, one for each try
        ("place", np.float64, 2),  # where the box lies down and across, in [0, 1)
        ("flip", np.bool_),
        ("order", np.int8, 4),  # the jitters in the order they are applied
        ("factor", np.float32, 4),  # of brightness, contrast, saturation; turn of hue
    ]
)


@dataclass(frozen=True)
class Augment:
    """Which parts of the augmentation are used, and how far they go.

    Attributes:
        parts: of ``crop``, ``flip``, ``jitter``.
        scale: least and greatest share of the picture's area in a crop.
        ratio: least and greatest width / height of a crop.
        flip: probability of a mirrored picture.
        strength: greatest distance from neutral of brightness, contrast, saturation and hue.
    """

    parts: frozenset[str] = frozenset(TRANSFORMS)
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    strength: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)

    def __post_init__(self) -> None:
        unknown = sorted(self.parts - set(TRANSFORMS))
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
        """Make the augmentation of the parts in a list such as ``"crop,flip"``, or ``"none"``.

        >>> sorted(Augment.named("flip, crop").parts), sorted(Augment.named("none").parts)
        (['crop', 'flip'], [])
        """
        if names.strip() == "none":
            return cls(frozenset())
        return cls(frozenset(name.strip() for name in names.split(",")))

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
        if "flip" not in self.parts:
            drawn["flip"] = False
        if "jitter" not in self.parts:
            drawn["factor"] = NEUTRAL
        return drawn

    def window(self, drawn: Any, height: int, width: int, image: ImageInput) -> Window:
        """Return what one sample shows of a picture of `height` by `width` pixels.

        Args:
            drawn: one element of what `draw` returned.
            height: of the picture, pixels.
            width: of the picture, pixels.
            image: the network's input.
        """
        if "crop" not in self.parts:
            return evaluation_window(height, width, image)
        return crop_window(self._box(drawn, height, width), image)

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


UNCHANGED = Augment(frozenset())  # the evaluation view of every picture
