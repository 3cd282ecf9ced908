"""Kinds of sight: textures of stated fineness, direction and colour, under a moving camera.

A texture is a random field, as a sound is a random noise: its spectrum is a bell on the octave
scale around so many waves an image height, spread over all directions or gathered around some.
The field runs between a dark and a light tone of one hue. The hues lie 72 degrees apart, so that
they outlast a colour jitter of a tenth of the circle; fineness and direction outlast crops. Shots
have each a texture of their own, and differ in scale, tilt, hue and light, in where the camera
looks and in who passes by; none of that says anything of the kind.

How a sight is shown is its `Look`. It is drawn for each shot, or once for a location, so that
locations can be learned by heart: then it varies further, in what augmentation varies, too. Zoom
and the place of the light are those of other crops, tilt and the light's side change sign in a
mirror, and tint, colour, contrast and light are what jitter changes.
"""

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

GRAIN = 4.0
"""Standard deviation of the texture's grain, of 255."""
PASSERS = 2
"""How many people, grey upright boxes, cross each shot's image."""


@dataclass(frozen=True)
class SightKind:
    """What a kind of sight is made of.

    Attributes:
        hue: its colour, degrees.
        waves: waves of the texture in an image's height.
        octaves: standard deviation of the bell around them, octaves.
        directions: in which the texture varies, degrees from the horizontal (0 makes upright
            stripes); none for all.
    """

    hue: float
    waves: float
    octaves: float = 0.3
    directions: tuple[float, ...] = ()


SIGHTS = {
    "hall": SightKind(hue=40, waves=2.5),
    "green": SightKind(hue=112, waves=16, octaves=0.5),
    "carriage": SightKind(hue=184, waves=7, directions=(0,)),
    "tunnel": SightKind(hue=256, waves=7, directions=(90,)),
    "street": SightKind(hue=328, waves=10, directions=(45, 135)),
}


GRATINGS = {
    f"{name} {direction}": SightKind(hue=kind.hue, waves=6, directions=(degrees,))
    for name, kind in SIGHTS.items()
    for direction, degrees in (("upright", 0), ("level", 90))
}
"""Hues of `SIGHTS`, each with upright and with level stripes."""


@dataclass(frozen=True)
class Look:
    """How a sight is shown; it says nothing of the kind.

    Attributes:
        zoom: waves of the texture in an image's height, a factor.
        tilt: turn of its directions, degrees.
        tint: turn of the hue, degrees.
        light: factor of all intensities.
        colour: factor of the saturation.
        contrast: factor of the distance from the image's mean intensity.
        slope: intensity at the right edge less that at the left, a share of the mean one.
    """

    zoom: float
    tilt: float
    tint: float
    light: float
    colour: float = 1.0
    contrast: float = 1.0
    slope: float = 0.0

    @classmethod
    def of_shot(cls, draw: np.random.Generator) -> Self:
        """Draw the look of one shot."""
        zoom, tilt = draw.uniform(0.85, 1.18), draw.uniform(-6, 6)
        tint = draw.uniform(-10, 10)
        return cls(zoom, tilt, tint, light=draw.uniform(0.8, 1.2))

    @classmethod
    def of_location(cls, draw: np.random.Generator) -> Self:
        """Draw the look that all shots of a location share."""
        return cls(
            zoom=2 ** draw.uniform(-0.6, 0.6),
            tilt=draw.uniform(-20, 20),
            tint=draw.uniform(-15, 15),
            light=draw.uniform(0.65, 1.35),
            colour=draw.uniform(0.6, 1.2),
            contrast=draw.uniform(0.65, 1.35),
            slope=draw.uniform(-0.8, 0.8),
        )


def make_images(
    kind: SightKind,
    generator: np.random.Generator,
    count: int,
    size: tuple[int, int],
    look: Look | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield a shot's images, uint8 RGB [height, width, 3].

    Args:
        kind: what is to be seen.
        generator: of all else about it.
        count: number of images.
        size: (width, height), pixels.
        look: of its location; None for one of its own.
    """
    width, height = size
    reach = height // 4
    look = Look.of_shot(generator) if look is None else look
    scenery = _scenery(kind, look, generator, width + 2 * reach, height + 2 * reach)
    turns, phase = generator.uniform(0.1, 0.3, 2), generator.uniform(0, 2 * np.pi, 2)
    passers = [_Passer.draw(generator, width, height) for _ in range(PASSERS)]
    for k in range(count):
        y, x = (reach * (1 + np.sin(phase + 2 * np.pi * turns * k / count))).astype(int)
        image = scenery[y : y + height, x : x + width].copy()
        for passer in passers:
            passer.pass_by(image, k / count)
        yield image


@dataclass(frozen=True)
class _Passer:
    """A grey upright box: left edge at the start, way over the shot, size, height from below."""

    left: float
    way: float
    width: int
    height: int
    grey: int

    @classmethod
    def draw(cls, generator: np.random.Generator, width: int, height: int) -> "_Passer":
        return cls(
            left=generator.uniform(0, width),
            way=generator.choice([-1, 1]) * generator.uniform(0.05, 0.2) * width,
            width=round(generator.uniform(0.05, 0.12) * width),
            height=round(generator.uniform(0.3, 0.6) * height),
            grey=int(generator.integers(40, 215)),
        )

    def pass_by(self, image: NDArray[np.uint8], time: float) -> None:
        """Draw into an image at a time from 0 to 1."""
        left = int(self.left + self.way * time) % image.shape[1]
        image[-self.height :, left : left + self.width] = self.grey


def _scenery(
    kind: SightKind, look: Look, generator: np.random.Generator, width: int, height: int
) -> NDArray[np.uint8]:
    """Return all that the camera may look at, uint8 RGB [height, width, 3]."""
    hue = (kind.hue + look.tint) / 360 % 1
    # `reach` is a quarter of an image's height, so the scenery is one and a half of it high
    unit = look.zoom * 1.5 / height
    field = _field(kind, unit, np.deg2rad(look.tilt), generator, width, height)
    tone = (0.5 + 0.5 * np.tanh(1.5 * field))[:, :, None]
    dark, bright = (
        np.array(colorsys.hsv_to_rgb(hue, saturation * look.colour, value))
        for saturation, value in ((0.7, 0.3), (0.5, 0.8))
    )
    grain = GRAIN * generator.standard_normal((height, width, 1))
    painted = dark + (bright - dark) * tone
    if look.contrast != 1 or look.slope:  # as they are, they would change the last bit
        painted = painted.mean() + look.contrast * (painted - painted.mean())
        painted = painted * (1 + look.slope * np.linspace(-0.5, 0.5, width)[None, :, None])
    coloured = 255 * look.light * painted + grain
    scenery: NDArray[np.uint8] = np.clip(coloured, 0, 255).astype(np.uint8)
    return scenery


def _field(
    kind: SightKind,
    heights: float,
    tilt: float,
    generator: np.random.Generator,
    width: int,
    height: int,
) -> NDArray[np.float64]:
    """Return a Gaussian random field of variance 1, [height, width]; a pixel is `heights` high."""
    noise = np.fft.rfft2(generator.standard_normal((height, width)))
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(down, across) / heights
    radius[0, 0] = np.inf  # no constant part
    spectrum = np.exp(-0.5 * (np.log2(radius / kind.waves) / kind.octaves) ** 2) / radius
    if kind.directions:
        angle = np.arctan2(down, across) - tilt
        off = [np.angle(np.exp(2j * (angle - np.deg2rad(d)))) / 2 for d in kind.directions]
        spectrum = spectrum * np.exp(-0.5 * (np.array(off) / np.deg2rad(7)) ** 2).sum(axis=0)
    field = np.fft.irfft2(noise * spectrum, (height, width))
    return np.asarray(field / field.std())
