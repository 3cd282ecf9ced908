"""Images to network input by torch, a whole batch at a time, on any device: a second way.

The same parameters and the same meaning as `train/data/render_cpu`, step by step: crop and
antialiased bilinear resize, flip, the four jitters in each sample's own order, normalisation. The
resize is two batched matrix products with each sample's own weights (rows, then columns), so that
images of different sizes and crops go through one call.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.train.data.augment import CONTRAST, HUE, NEUTRAL, SATURATION, Axis, ImageInput, Window
from avsc.train.data.prefetch import upload

GREY = (0.2989, 0.587, 0.114)


def resize_weights(
    axes: Sequence[Axis], flip: NDArray[np.bool_], size: int, source: int, device: torch.device
) -> Tensor:
    """Return the weight of each source pixel in each output pixel, float32 [batch, size, source].

    A triangle of half-width max(1, length / scaled) around each output pixel's centre, cut at the
    ends of the axis's source pixels; the weights of an output pixel sum to 1.

    Args:
        axes: one for each sample.
        flip: samples whose outputs are in reverse order [batch].
        size: number of output pixels.
        source: number of source pixels of the (padded) images.
        device: where the weights are wanted.
    """
    start, length, scaled, offset = np.array(axes, dtype=np.float64).T[..., None]
    seen = np.arange(size)
    seen = np.where(flip[:, None], seen[::-1], seen)
    scale = length / scaled
    middle = start + (offset + seen + 0.5) * scale
    placed = np.stack(
        np.broadcast_arrays(middle, np.maximum(scale, 1), start, start + length), dtype=np.float32
    )
    centre, reach, low, high = upload(placed, device)[..., None]
    pixel = torch.arange(source, device=device) + 0.5
    weight: Tensor = (1 - (pixel - centre).abs() / reach).clamp_(min=0)
    weight *= (pixel > low) & (pixel < high)
    weight /= weight.sum(2, keepdim=True)
    return weight


def turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the full circle; saturation and value (HSV) are kept.

    Args:
        images: [batch, 3, height, width], any range.
        turn: [batch, 1, 1, 1].
    """
    red, green, blue = (images[:, c : c + 1] for c in range(3))
    value = images.amax(1, keepdim=True)
    span = value - images.amin(1, keepdim=True)
    safe = torch.where(span > 0, span, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    k = torch.cat([corner + sixths + turn * 6 for corner in (5, 3, 1)], dim=1) % 6
    return value - span * torch.minimum(k, 4 - k).clamp_(0, 1)


def jitter(images: Tensor, order: NDArray[np.int8], factor: NDArray[np.float32]) -> Tensor:
    """Apply the four colour jitters, each sample in its own order; may overwrite `images`.

    Args:
        images: intensities in [0, 255], [batch, 3, height, width].
        order: parts in the order they are applied [batch, 4].
        factor: of brightness, contrast, saturation; turn of hue [batch, 4].
    """
    if (factor == np.array(NEUTRAL, np.float32)).all():
        return images
    device = images.device
    amount = np.take_along_axis(factor, order.astype(np.int64), axis=1)
    rest = 1 - amount
    # What each step makes of a pixel: shares of itself, its own grey and the image's mean grey.
    shares = np.stack([np.where(order == HUE, 1, amount), rest * (order == SATURATION),
                       rest * (order == CONTRAST)]).astype(np.float32)  # fmt: skip
    own, grey_share, mean_share = upload(shares, device)[..., None, None, None]
    turns = upload(amount, device)[..., None, None, None]
    for step in range(order.shape[1]):
        red, green, blue = (images[:, c : c + 1] for c in range(3))
        grey = GREY[0] * red + GREY[1] * green + GREY[2] * blue
        other = grey * grey_share[:, step] + grey.mean((2, 3), keepdim=True) * mean_share[:, step]
        images = torch.addcmul(other, images, own[:, step]).clamp_(0, 255)
        turned = np.flatnonzero(order[:, step] == HUE)
        if turned.size:
            which = upload(turned, device)
            images[which] = turn_hue(images[which], turns[which, step])
    return images


def render(
    images: Sequence[Tensor],
    windows: Sequence[Window],
    drawn: NDArray[np.void],
    image_input: ImageInput,
) -> Tensor:
    """Return what a network sees of a batch of images.

    Args:
        images: RGB, uint8 [3, height, width] each, all on one device; sizes may differ.
        windows: the part of each that is seen.
        drawn: from `Augment.draw` [batch].
        image_input: the network's input.

    Returns:
        Normalised images, float32 [batch, 3, size, size], on the images' device.
    """
    device = images[0].device
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    padded = torch.zeros(len(images), 3, height, width, dtype=torch.uint8, device=device)
    for place, image in zip(padded, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    rows, columns = zip(*windows, strict=True)
    down = resize_weights(rows, np.zeros(len(rows), bool), image_input.size, height, device)
    across = resize_weights(columns, drawn["flip"], image_input.size, width, device)
    seen = down[:, None] @ padded.float() @ across.mT[:, None]
    seen = jitter(seen, drawn["order"], drawn["factor"])
    moments = np.array([image_input.mean, image_input.std], np.float32)
    mean, std = upload(moments, device)[..., None, None]
    normalised: Tensor = (seen / 255 - mean) / std
    return normalised
