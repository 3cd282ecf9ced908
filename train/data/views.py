"""Views: which part of a stored picture a network sees, and at what size.

A *window* is one `Axis` for the rows and one for the columns. Along an axis, the source pixels
[start, start + length) are scaled to `scaled` pixels (antialiased bilinear, as torchvision), of
which the [offset, offset + size) are seen, `size` being the network's. A training crop is scaled
to just that size; the evaluation view is the whole picture, its short side scaled to `size`, and
the middle of it, in the arithmetic of torchvision's `Resize(size)` and `CenterCrop(size)`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from avsc.manifests.errors import SettingError

VIEWS = ("crop", "squash")


class Axis(NamedTuple):
    """What is seen along one axis of a picture, in pixels.

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
    """What a visual encoder wants to see.

    Attributes:
        size: height and width of its input, pixels.
        mean: mean of red, green, blue, as shares of full intensity; subtracted.
        std: deviation of red, green, blue, as shares of full intensity; divided by.
        view: evaluation view: ``"crop"``, the short side scaled to `size` and the middle of the
            long one; ``"squash"``, the whole picture, its proportions not kept.
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


def evaluation_window(height: int, width: int, image: ImageInput) -> Window:
    """Return the evaluation view of a picture of `height` by `width` pixels.

    >>> image = ImageInput(288, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> evaluation_window(320, 568, image)[1]
    Axis(start=0, length=568, scaled=511, offset=112)
    """
    if image.view == "squash":
        return crop_window((0, 0, height, width), image)
    short = min(height, width)
    rows, columns = (
        Axis(0, length, scaled, round((scaled - image.size) / 2))
        for length in (height, width)
        for scaled in (image.size * length // short,)
    )
    return rows, columns


def crop_window(box: tuple[int, int, int, int], image: ImageInput) -> Window:
    """Return the view of a box (top, left, height, width), scaled to the network's size."""
    top, left, height, width = box
    return Axis(top, height, image.size, 0), Axis(left, width, image.size, 0)
