"""Batches: a run's samples, shuffled, augmented and cut into batches.

Everything random comes from generators keyed by what it is for: the order of an epoch (see
`epoch_order`) by (seed, epoch), the augmentation of a batch by (seed, epoch, batch). A batch is
therefore the same whatever the number of workers, and wherever in an epoch a run is taken up again.

For a GPU a whole batch is made ahead of need, on a stream of its own (see `prefetch`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.manifests.errors import SettingError
from avsc.train.data.augment import UNCHANGED, Augment
from avsc.train.data.epoch_order import BatchSlice, shuffled, shuffled_together
from avsc.train.data.loader import ImageLoader, Request
from avsc.train.data.prefetch import ahead, upload
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.data.views import ImageInput

ORDER, AUGMENTATION = 1, 2  # what a generator is for: the first word of its key


@dataclass(frozen=True)
class Batch:
    """Samples that a training step sees together, on the run's device.

    Attributes:
        acoustic: frames, float32 [batch, channels, bins], or vectors [batch, features]; None
            without sound.
        images: normalised, float32 [views, 3, size, size], or vectors [batch, features]; None
            without images.
        scene: class indices, int64 [batch].
        index: which of the run's samples these are, int64 [batch].
        view: which of the images each sample sees, int64 [batch]; None where each has its own.
    """

    acoustic: Tensor | None
    images: Tensor | None
    scene: Tensor
    index: Tensor
    view: Tensor | None = None


def batches_per_epoch(samples: Samples, batch_size: int) -> int:
    """Return the number of whole batches in an epoch; what is left over is not trained on.

    Raises:
        SettingError: there is not one.
    """
    if batch_size < 1:
        raise SettingError(f"batch size is {batch_size}; 1 or more.")
    if len(samples) < batch_size:
        raise SettingError(
            f"there are {len(samples)} training samples, fewer than one batch of {batch_size}; "
            f"lower the batch size to {max(1, len(samples))} or less, or train on more clips."
        )
    return len(samples) // batch_size


def training_batches(
    source: Source,
    samples: Samples,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    image_input: ImageInput | None,
    augment: Augment | None,
    workers: int,
    device: torch.device,
    shard: tuple[int, int] = (0, 1),
    together: int = 1,
) -> Iterator[Batch]:
    """Return the batches of one epoch, each sample once at most, the last incomplete one dropped.

    Args:
        source: what the samples refer to.
        samples: the run's training samples.
        batch_size: samples in a batch, over all shards.
        seed: the run's, 0 or more.
        epoch: counted from 0.
        start_batch: first batch wanted, for a run that is taken up in the middle of an epoch.
        image_input: the visual encoder's input; needed where the samples have encoded images.
        augment: of the images; None shows each in its evaluation view.
        workers: threads that prepare images; 0 prepares none ahead of need.
        device: where the batches are wanted.
        shard: (i, n) gives the i-th of n equal runs of each batch's samples: the n shards of a
            batch are disjoint and, one after the other, the batch of an unsharded run.
        together: samples of one image that share a view; without effect where the samples have
            no sound, so that there is one of each image, or read vectors in the images' place.

    Raises:
        SettingError: fewer samples than one batch, or a batch that n does not divide.
    """
    count = batches_per_epoch(samples, batch_size)
    if batch_size % shard[1]:
        raise SettingError(
            f"a batch of {batch_size} cannot be shared evenly by {shard[1]} processes."
        )
    augment = augment or UNCHANGED
    generator = np.random.default_rng((ORDER, seed, epoch))
    shared = samples.frame is not None and source.visual is None and together > 1
    if shared and samples.image is not None:
        order = shuffled_together(samples.image, together, generator)
    else:
        order = shuffled(len(samples), generator)
    numbers = range(start_batch, count)
    parts = {b: order.batch(b, batch_size, shard) for b in numbers}

    def request(b: int) -> Request:
        assert samples.image is not None
        drawn = augment.draw(np.random.default_rng((AUGMENTATION, seed, epoch, b)), batch_size)
        part = parts[b]
        return Request(samples.image[part.sample[part.first]], drawn[part.drawn])

    images: Iterator[Tensor | None]
    if samples.image is None:
        images = iter([None] * len(numbers))
    elif source.visual is not None:
        vectors, rows = source.visual, samples.image
        images = (_rows(vectors, rows[parts[b].sample], device) for b in numbers)
    else:
        images = _loader(source, image_input, augment, workers, device).load(map(request, numbers))
    batches = (
        _batch(source, samples, parts[b], shown, device)
        for b, shown in zip(numbers, images, strict=True)
    )
    return ahead(batches, device) if _whole(device) else batches


def image_batches(
    source: Source,
    which: NDArray[np.int64],
    *,
    batch_size: int,
    image_input: ImageInput | None,
    workers: int,
    device: torch.device,
) -> Iterator[Tensor]:
    """Return the evaluation views of images, or the vectors in their place, in their order.

    None is dropped.

    Args:
        source: what the images are read from.
        which: record numbers, or rows of the vectors [images].
        batch_size: images in a batch; the last may hold fewer.
        image_input: the visual encoder's input; needed where there are encoded images.
        workers: threads that prepare images; 0 prepares none ahead of need.
        device: where the images are wanted.

    Returns:
        Normalised images, float32 [batch, 3, size, size] each, or vectors [batch, features].
    """
    if batch_size < 1:
        raise SettingError(f"batch size is {batch_size}; 1 or more.")
    cuts = (which[start : start + batch_size] for start in range(0, len(which), batch_size))
    vectors = source.visual
    if vectors is not None:
        return (_rows(vectors, cut, device) for cut in cuts)
    neutral = UNCHANGED.draw(np.random.default_rng(0), batch_size)
    requests = (Request(cut, neutral[: len(cut)]) for cut in cuts)
    images = _loader(source, image_input, UNCHANGED, workers, device).load(requests)
    return ahead(images, device) if _whole(device) else images


def _loader(
    source: Source,
    image_input: ImageInput | None,
    augment: Augment,
    workers: int,
    device: torch.device,
) -> ImageLoader:
    if source.images is None or image_input is None:
        raise ValueError("batches of images need a source opened with them, and an image_input")
    if workers < 0:
        raise SettingError(f"workers is {workers}; 0 or more.")
    return ImageLoader(source.images, image_input, augment, workers, device, _whole(device))


def _whole(device: torch.device) -> bool:
    """Whether whole batches are made on the device, rather than image by image in threads."""
    return device.type != "cpu"


def _rows(data: NDArray[np.float32], which: NDArray[np.int64], device: torch.device) -> Tensor:
    return upload(data[which], device)


def _batch(
    source: Source,
    samples: Samples,
    part: BatchSlice,
    images: Tensor | None,
    device: torch.device,
) -> Batch:
    which, acoustic = part.sample, None
    if samples.frame is not None:
        assert source.acoustic is not None
        acoustic = _rows(source.acoustic, samples.frame[which], device)
    shared = len(part.first) < len(which)
    return Batch(
        acoustic,
        images,
        upload(samples.scene[which], device),
        upload(which, device),
        upload(part.view, device) if shared else None,
    )
