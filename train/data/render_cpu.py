"""Images to network input on the CPU: crop, antialiased resize, flip, jitter, normalise.

One image at a time, uint8 [height, width, 3] in, float32 [3, size, size] out, written straight
into the caller's array, which is also the only working space. Intensities are float in [0, 255]
until they are normalised; nothing is rounded in between.

The meaning of every step is torchvision's (transforms v2, 0.29, on tensors): bilinear with
antialiasing (a triangle of half-width max(1, source / scaled) pixels, its weights normalised to
sum 1), grey = 0.2989 R + 0.587 G + 0.114 B, contrast towards the mean grey of the image as it is
at that step, hue turned in HSV, clipping after each blend. On float images torchvision gives
the same to within float rounding. On uint8 it rounds after the resize (mean difference 0.3 of 255)
and cuts to whole numbers after each jitter, which makes its images darker by 1.2 of 255 on
average (both measured by `tests/train/test_render.py`).

Compiled by numba for this machine's processor, without fast-math, when the module is first
called, and cached; it releases the interpreter lock.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from avsc.train.data.augment import BRIGHTNESS, CONTRAST, HUE, Axis, ImageInput, Window

RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
F = TypeVar("F", bound=Callable[..., Any])
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def compiled(function: F) -> F:
    """Compile a function with numba: cached, without the lock, IEEE division, no fast-math."""
    try:
        return cast(F, numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:  # no folder for a cache can be written
        return cast(F, numba.njit(nogil=True, error_model="numpy")(function))


@compiled
def taps(axis: Axis, size: int, flip: bool) -> tuple[Ints, Floats]:
    """Return the first source pixel [size] and the weights [size, taps] of each output pixel.

    There are as many taps as the widest needs, two at least; the others' weights end in zeros,
    which may lie beyond the source.
    """
    scale = axis.length / axis.scaled
    reach = max(scale, 1.0)
    first = np.empty(size, np.int64)
    weight = np.zeros((size, 2 * int(np.ceil(reach)) + 1), np.float32)
    most = 2
    for i in range(size):
        at = size - 1 - i if flip else i
        centre = (axis.offset + i + 0.5) * scale
        low = max(int(centre - reach + 0.5), 0)
        high = min(int(centre + reach + 0.5), axis.length)
        total = 0.0
        for k in range(low, high):
            total += max(0.0, 1 - abs(k + 0.5 - centre) / reach)
        for k in range(low, high):
            weight[at, k - low] = max(0.0, 1 - abs(k + 0.5 - centre) / reach) / total
        first[at] = axis.start + low
        most = max(most, high - low)
    return first, weight[:, :most].copy()


@compiled
def resize(
    image: Bytes, rows: tuple[Ints, Floats], columns: tuple[Ints, Floats], out: Floats
) -> None:
    """Scale a part of an image: an output row is a sum of source rows, a pixel one of its pixels.

    Across, a tap is added along the whole row before the next one, the first two at once: faster
    than a short loop over taps inside the loop over pixels.
    """
    row_first, row_weight = rows
    first, weight = columns
    left = first.min() * 3
    right = min(first.max() + weight.shape[1], image.shape[1]) * 3
    at = first * 3 - left
    flat = image.reshape(image.shape[0], -1)
    line = np.zeros(at.max() + weight.shape[1] * 3, np.float32)
    for y in range(out.shape[1]):
        line[:] = 0
        for k in range(row_weight.shape[1]):
            w = row_weight[y, k]
            if w > 0:
                source = flat[row_first[y] + k, left:right]
                for x in range(source.size):
                    line[x] += w * np.float32(source[x])
        r, g, b = out[0, y], out[1, y], out[2, y]
        for x in range(r.size):
            i, v, w = at[x], weight[x, 0], weight[x, 1]
            r[x] = v * line[i] + w * line[i + 3]
            g[x] = v * line[i + 1] + w * line[i + 4]
            b[x] = v * line[i + 2] + w * line[i + 5]
        for k in range(2, weight.shape[1]):
            for x in range(r.size):
                i, w = at[x] + 3 * k, weight[x, k]
                r[x] += w * line[i]
                g[x] += w * line[i + 1]
                b[x] += w * line[i + 2]


@compiled
def blend(out: Floats, share: np.float32, grey_share: np.float32, constant: np.float32) -> None:
    """Replace each pixel by share * pixel + grey_share * its grey + constant, clipped."""
    low, high = np.float32(0), np.float32(255)
    for y in range(out.shape[1]):
        r, g, b = out[0, y], out[1, y], out[2, y]
        for x in range(r.size):
            other = grey_share * (RED * r[x] + GREEN * g[x] + BLUE * b[x]) + constant
            r[x] = min(max(share * r[x] + other, low), high)
            g[x] = min(max(share * g[x] + other, low), high)
            b[x] = min(max(share * b[x] + other, low), high)


@compiled
def mean_grey(out: Floats) -> np.float32:
    """Return the mean grey of an image; summed by columns first, in a fixed order."""
    total = np.zeros(out.shape[2], np.float32)
    for y in range(out.shape[1]):
        r, g, b = out[0, y], out[1, y], out[2, y]
        for x in range(total.size):
            total[x] += RED * r[x] + GREEN * g[x] + BLUE * b[x]
    return np.float32(total.mean() / np.float32(out.shape[1]))


@compiled
def turn_hue(out: Floats, turn: np.float32) -> None:
    """Turn the hue by a share of the full circle, saturation and value (HSV) kept.

    With the hue h in sixths of the circle, a channel is value - range * min(1, max(0, min(k,
    4 - k))), where k = (n + h) mod 6 and n = 5, 3, 1 for red, green, blue.
    """
    zero, one, four, six = np.float32(0), np.float32(1), np.float32(4), np.float32(6)
    turn = np.float32(turn * 6 + 6)
    for y in range(out.shape[1]):
        r, g, b = out[0, y], out[1, y], out[2, y]
        for x in range(r.size):
            red, green, blue = r[x], g[x], b[x]
            value = max(red, max(green, blue))
            span = value - min(red, min(green, blue))
            safe = span if span > zero else one
            if value == red:
                hue = (green - blue) / safe
            elif value == green:
                hue = (blue - red) / safe + np.float32(2)
            else:
                hue = (red - green) / safe + four
            hue += turn
            k = hue + np.float32(5)
            k -= six * np.floor(k / six)
            r[x] = value - span * min(one, max(zero, min(k, four - k)))
            k = hue + np.float32(3)
            k -= six * np.floor(k / six)
            g[x] = value - span * min(one, max(zero, min(k, four - k)))
            k = hue + one
            k -= six * np.floor(k / six)
            b[x] = value - span * min(one, max(zero, min(k, four - k)))


@compiled
def jitter(out: Floats, order: NDArray[np.int8], factor: Floats) -> None:
    """Apply the four colour jitters in their order."""
    nothing = np.float32(0)
    for part in order:
        amount = factor[part]
        rest = np.float32(1) - amount
        if part == HUE:
            if amount != 0:
                turn_hue(out, amount)
        elif rest == 0:
            continue
        elif part == BRIGHTNESS:
            blend(out, amount, nothing, nothing)
        elif part == CONTRAST:
            blend(out, amount, nothing, rest * mean_grey(out))
        else:
            blend(out, amount, rest, nothing)


@compiled
def _render(
    image: Bytes,
    rows: Axis,
    columns: Axis,
    flip: bool,
    order: NDArray[np.int8],
    factor: Floats,
    gain: Floats,
    offset: Floats,
    out: Floats,
) -> None:
    size = out.shape[1]
    resize(image, taps(rows, size, False), taps(columns, size, flip), out)
    jitter(out, order, factor)
    for c in range(3):
        for y in range(size):
            line = out[c, y]
            for x in range(size):
                line[x] = line[x] * gain[c] + offset[c]


def normalisation(image_input: ImageInput) -> tuple[Floats, Floats]:
    """Return gain and offset [3] that turn intensities in [0, 255] into normalised ones."""
    std = np.array(image_input.std)
    gain, offset = 1 / (255 * std), (-np.array(image_input.mean) / std)
    return gain.astype(np.float32), offset.astype(np.float32)


def render(
    image: Bytes,
    window: Window,
    drawn: Any,
    image_input: ImageInput,
    out: Floats,
) -> None:
    """Write what a network sees of one image.

    Args:
        image: RGB, uint8 [height, width, 3], contiguous.
        window: the part that is seen, inside the image.
        drawn: one element of `Augment.draw`.
        image_input: the network's input.
        out: float32 [3, size, size], contiguous, overwritten; normalised red, green, blue.
    """
    rows, columns = window
    for axis, length in ((rows, image.shape[0]), (columns, image.shape[1])):
        if not 0 <= axis.start <= axis.start + axis.length <= length:
            raise ValueError(f"window {axis} leaves an image of {length} pixels")
    if out.shape != (3, image_input.size, image_input.size) or not out.flags.c_contiguous:
        raise ValueError(
            f"out is {out.shape}; contiguous [3, {image_input.size}, {image_input.size}]"
        )
    gain, offset = normalisation(image_input)
    _render(
        image,
        rows,
        columns,
        bool(drawn["flip"]),
        drawn["order"],
        drawn["factor"],
        gain,
        offset,
        out,
    )
