"""Evaluation on a CPU in batches that depend on the clip alone: ten whole seconds of one clip each.

The matrix products and convolutions of a CPU round differently for batches of another size: of
EfficientNetV2-S every size gives its own last bits, of a linear layer one, two and three rows do.
In batches of ten seconds a clip's probabilities do not depend on which clips it is evaluated with,
so that a recording on its own gets those of the same clip in a store, bit for bit (with the same
number of threads, on the same processor).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, repeat

import numpy as np
import torch
from torch import Tensor

from avsc.manifests.errors import AvscError
from avsc.train.data.augment import UNCHANGED, ImageInput
from avsc.train.data.loader import ImageLoader, ImageRequest
from avsc.train.data.samples import Ints, Samples
from avsc.train.data.source import Source

SECONDS = 10
"""As long as a clip of TAU2021, which is one batch."""

Compute = Callable[[Tensor | None, Tensor | None, Tensor | None], Tensor]
"""From acoustic frames [B, channels, bins], images [V, 3, S, S] and, for each sample, which of the
images is its own [B] to values of the samples [B, ...]; None where there is no such input."""


def cuts(samples: Samples) -> list[slice]:
    """Cut samples, ordered by clip and time, into those of ten seconds of one clip each.

    With several images a second, ten seconds are cut into parts of about as many images.
    """
    if not len(samples):
        return []
    step = max(1, SECONDS // samples.rate)  # as many images as ten seconds of one a second have
    batch = samples.second // SECONDS * SECONDS + samples.second % SECONDS // step
    new = (np.diff(samples.clip) != 0) | (np.diff(batch) != 0)
    bounds = [0, *(np.flatnonzero(new) + 1).tolist(), len(samples)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def compute_by_ten_seconds(
    compute: Compute,
    source: Source,
    samples: Samples,
    image_input: ImageInput | None,
    *,
    workers: int,
    device: torch.device,
) -> Iterator[Tensor]:
    """Yield what `compute` makes of the samples, ten seconds of a clip at a time, on the CPU.

    Args:
        compute: usually a network in evaluation mode; it is called without gradients.
        source: what the samples refer to.
        samples: ordered by clip and time.
        image_input: what the visual encoder sees; needed where there are encoded images.
        workers: threads that prepare images; 0 prepares none ahead of need.
    """
    parts = cuts(samples)
    views: list[tuple[Ints, Ints]] = []
    images: Iterator[Tensor | None] = repeat(None, len(parts))
    if samples.image is not None:
        views = [np.unique(samples.image[part], return_inverse=True) for part in parts]
        images = _images(source, [which for which, _ in views], image_input, workers, device)
    for number, (part, shown) in enumerate(zip(parts, images, strict=True)):
        frames, view = None, None
        if samples.frame is not None:
            assert source.acoustic is not None
            frames = torch.from_numpy(source.acoustic[samples.frame[part]]).to(device)
        if shown is not None:
            view = torch.from_numpy(views[number][1].reshape(-1)).to(device)
        with torch.no_grad():
            yield compute(frames, shown, view).cpu()


def _images(
    source: Source,
    which: Sequence[Ints],
    image_input: ImageInput | None,
    workers: int,
    device: torch.device,
) -> Iterator[Tensor | None]:
    if source.visual is not None:
        vectors = source.visual
        return (torch.from_numpy(vectors[rows]).to(device) for rows in which)
    if source.images is None or image_input is None:
        raise AvscError("the samples have images, and the network takes none")
    neutral = UNCHANGED.draw(np.random.default_rng(0), max(map(len, which), default=0))
    requests = (ImageRequest(rows, neutral[: len(rows)]) for rows in which)
    loader = ImageLoader(source.images, image_input, UNCHANGED, workers, device)
    return iter(loader.load(requests))
