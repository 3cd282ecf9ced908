"""Scaling and JPEG: the one place that encodes or decodes JPEG on the CPU.

Conventions. Images are uint8 RGB [height, width, 3]. JPEG is baseline, full-range BT.601 YCbCr,
4:2:0, as JFIF has it. Scaling takes the mean over each new pixel's area; nothing is ever enlarged.
The same image gives the same bytes in one environment on one kind of processor (libjpeg-turbo's
accurate integer transform, one thread).

Source: JFIF 1.02; libjpeg-turbo, through simplejpeg. The decoder's own YUV planes could be encoded
without RGB in between, but they are limited-range and often BT.709: a reader of JPEG would see
other colours.
"""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from avsc.features.limits import MAX_JPEG_PIXELS
from avsc.features.specs import ImageSpec
from avsc.manifests.errors import MediaError

MAX_SIDE = 65_500
"""Pixels that libjpeg can write in a row or a column."""


def fitted(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return the (height, width) of an image scaled down to a short side; 0 keeps its size.

    >>> fitted(720, 1280, 320), fitted(1280, 720, 320), fitted(225, 400, 320), fitted(720, 1280, 0)
    ((320, 569), (569, 320), (225, 400), (720, 1280))
    """
    short = min(height, width)
    if short_side == 0 or short <= short_side:
        return height, width
    return round(height * short_side / short), round(width * short_side / short)


def encode(image: NDArray[np.uint8], spec: ImageSpec) -> bytes:
    """Return an image (uint8 RGB [height, width, 3]) as JPEG, scaled down to the spec's size.

    Raises:
        MediaError: ``"too-large"`` for an image longer than a JPEG can be.
    """
    height, width = fitted(image.shape[0], image.shape[1], spec.short_side)
    if max(height, width) > MAX_SIDE:
        raise MediaError(
            "too-large",
            f"an image of {width} x {height}; at most {MAX_SIDE} pixels a side: cut the video.",
        )
    if (height, width) != image.shape[:2]:
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image),
        quality=spec.quality,
        colorspace="RGB",
        colorsubsampling="420",
        fastdct=False,
    )
    return jpeg


def shape(data: bytes | NDArray[np.uint8]) -> tuple[int, int]:
    """Return the (height, width) that a JPEG's header names.

    Raises:
        MediaError: ``"undecodable"`` when it is no JPEG, or has colours other than YCbCr, RGB or
            grey; ``"too-large"`` above `MAX_JPEG_PIXELS`.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _undecodable(data, error) from error
    if colours not in ("YCbCr", "RGB", "Gray"):
        raise _undecodable(data, f"its colours are {colours}")
    if height * width > MAX_JPEG_PIXELS:
        raise MediaError(
            "too-large",
            f"a JPEG of {width} x {height}; at most {MAX_JPEG_PIXELS} pixels: scale it down.",
        )
    return height, width


def decode(data: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image of a JPEG, uint8 RGB [height, width, 3].

    Raises:
        MediaError: as `shape`; ``"undecodable"`` too when the data end early or are damaged.
    """
    shape(data)
    try:
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except ValueError as error:
        raise _undecodable(data, error) from error
    return image


def _undecodable(data: bytes | NDArray[np.uint8], reason: object) -> MediaError:
    return MediaError(
        "undecodable",
        f"{len(data)} bytes are not a JPEG that can be decoded ({reason}); make the image again.",
    )
