"""Batches: a run's samples, shuffled, augmented and cut into batches.

Everything random comes from generators keyed by purpose: the order of an epoch (see `samples`) by
(seed, epoch); the augmentation of a batch, its time shifts, how its samples are mixed and which
modalities they lose by (seed, epoch, batch). A batch is therefore the same whatever the number of
workers, and wherever in an epoch a run is resumed.

For a GPU whole batches are made and uploaded ahead, on a stream of their own (see `prefetch`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.manifests.errors import SettingError
from avsc.train.data.augment import UNCHANGED, Augment, ImageInput
from avsc.train.data.batch import Batch
from avsc.train.data.loader import ImageLoader, ImageRequest
from avsc.train.data.mixup import Mixup, mix
from avsc.train.data.modality_dropout import ModalityDropout
from avsc.train.data.prefetch import prefetch, upload
from avsc.train.data.samples import (
    BatchSlice,
    EpochOrder,
    Ints,
    Samples,
    share,
    shuffled,
    shuffled_together,
)
from avsc.train.data.source import Source
from avsc.train.data.time_shift import ClipImages, TimeShift

# What a generator is for: the first word of its key; 3 is for DROPOUT, in train/fit/trainer.
ORDER, AUGMENTATION, MODALITIES, SHIFT, MIXUP = 1, 2, 4, 5, 6

Key = tuple[int, tuple[int, int]]
"""Number of a batch, and which of its slices: the i-th of n."""


@dataclass(frozen=True)
class Preparation:
    """How batches are prepared.

    Attributes:
        image_input: the visual encoder's input; needed where there are encoded images.
        workers: threads that prepare images; 0 prepares none ahead.
        device: where the batches are wanted.
    """

    image_input: ImageInput | None
    workers: int
    device: torch.device

    @property
    def on_gpu(self) -> bool:
        """Whether batches have to be uploaded, which a thread then does ahead."""
        return self.device.type != "cpu"

    def loader(self, source: Source, augment: Augment) -> ImageLoader:
        """Return what prepares the images of a source.

        Raises:
            SettingError: the number of workers is negative.
        """
        if source.images is None or self.image_input is None:
            raise ValueError("batches of images need a source opened with them, and an image_input")
        if self.workers < 0:
            raise SettingError(f"workers is {self.workers}; 0 or more.")
        return ImageLoader(source.images, self.image_input, augment, self.workers, self.device)

    def rows(self, data: NDArray[np.float32], which: NDArray[np.int64]) -> Tensor:
        """Return rows of a matrix, on the device."""
        return upload(data[which], self.device)


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


@dataclass(frozen=True, kw_only=True)
class TrainingBatches:
    """The batches that a run is trained on, epoch by epoch.

    Attributes:
        source: what the samples refer to.
        samples: the run's training samples.
        batch_size: samples in a batch, over all shards.
        seed: the run's, 0 or more.
        preparation: how, and for which device.
        augment: augmentation of the images; without it, each is shown in its evaluation view.
        shard: (i, n) gives the i-th of n equal slices of each batch: the n shards of a batch are
            disjoint and, concatenated, the batch of an unsharded run.
        accumulate: slices in which a batch is returned, one after the other: with them, a shard is
            the i-th of n equal slices of each slice.
        together: samples of one image that share a view; without effect where the samples have no
            audio, so that there is one of each image, or read vectors in the images' place.
        modality_dropout: how samples lose a modality; None where they do not.
        time_shift: how far audio and image are apart; None where they are not. Samples that share
            a view are shifted alike.
        mixup: how samples are mixed; None where they are not. None may share a view then.
    """

    source: Source
    samples: Samples
    batch_size: int
    seed: int
    preparation: Preparation
    augment: Augment = UNCHANGED
    shard: tuple[int, int] = (0, 1)
    accumulate: int = 1
    together: int = 1
    modality_dropout: ModalityDropout | None = None
    time_shift: TimeShift | None = None
    mixup: Mixup | None = None

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """Return the batches of one epoch, each sample once at most; an incomplete last is dropped.

        Args:
            number: of the epoch, from 0.
            start_batch: first batch wanted, for a run that is resumed in the middle of an epoch.

        Raises:
            SettingError: fewer samples than one batch, or a batch that n does not divide.
        """
        count = batches_per_epoch(self.samples, self.batch_size)
        (i, parts), n = self.shard, self.shard[1] * self.accumulate
        if self.batch_size % n:
            raise SettingError(
                f"a batch of {self.batch_size} cannot be shared evenly by {self.shard[1]} "
                f"processes in {self.accumulate} slices."
            )
        order, shards = self._order(number), [(k * parts + i, n) for k in range(self.accumulate)]
        slices = {
            (b, shard): order.batch(b, self.batch_size, shard)
            for b in range(start_batch, count)
            for shard in shards
        }
        images = self._images(number, slices)
        batches = (
            self._mixed(self._batch(own, shown, self._missing(number, *key)), number, *key)
            for (key, own), shown in zip(slices.items(), images, strict=True)
        )
        device = self.preparation.device
        return prefetch(batches, device) if self.preparation.on_gpu else batches

    def _order(self, epoch: int) -> EpochOrder:
        generator = np.random.default_rng((ORDER, self.seed, epoch))
        image = self.samples.image
        shared = self.samples.frame is not None and self.source.visual is None
        if image is not None and shared and self.together > 1:
            return shuffled_together(image, self.together, generator)
        return shuffled(len(self.samples), generator)

    def _images(self, epoch: int, slices: Mapping[Key, BatchSlice]) -> Iterator[Tensor | None]:
        image, vectors = self.samples.image, self.source.visual
        if image is None:
            return repeat(None, len(slices))
        shown = self._shown(epoch, image)
        if vectors is not None:
            return (self.preparation.rows(vectors, shown(b, s)) for (b, _), s in slices.items())

        def request(key: Key) -> ImageRequest:
            (b, _), own = key, slices[key]
            generator = np.random.default_rng((AUGMENTATION, self.seed, epoch, b))
            drawn = self.augment.draw(generator, self.batch_size)
            return ImageRequest(shown(b, own), drawn[own.drawn])

        return self.preparation.loader(self.source, self.augment).load(map(request, slices))

    def _shown(self, epoch: int, image: Ints) -> Callable[[int, BatchSlice], Ints]:
        """Return what says which image each view of a slice of a batch shows."""
        shift, every = self.time_shift, self.source.image_samples
        if shift is None or every is None:
            return lambda b, own: image[own.sample[own.first]]
        images = ClipImages(every)

        def shown(b: int, own: BatchSlice) -> Ints:
            generator = np.random.default_rng((SHIFT, self.seed, epoch, b))
            seconds = shift.draw(generator, self.batch_size)[own.drawn]
            return images.later(self.samples.take(own.sample[own.first]), seconds)

        return shown

    def _missing(self, epoch: int, b: int, shard: tuple[int, int]) -> Tensor | None:
        """Return what the samples of a slice of a batch lose."""
        if self.modality_dropout is None:
            return None
        generator = np.random.default_rng((MODALITIES, self.seed, epoch, b))
        time = epoch + b / batches_per_epoch(self.samples, self.batch_size)
        missing = self.modality_dropout.draw(generator, time, self.batch_size)
        return upload(missing[share(self.batch_size, shard)], self.preparation.device)

    def _mixed(self, batch: Batch, epoch: int, b: int, shard: tuple[int, int]) -> Batch:
        """Mix the samples of a slice of a batch with each other."""
        if self.mixup is None:
            return batch
        generator = np.random.default_rng((MIXUP, self.seed, epoch, b))
        drawn = self.mixup.draw(generator, self.batch_size)[share(self.batch_size, shard)]
        own = upload(drawn, self.preparation.device)
        return replace(
            batch,
            acoustic=None if batch.acoustic is None else mix(batch.acoustic, own[:, 0]),
            images=None if batch.images is None else mix(batch.images, own[:, 1]),
            scene=self.mixup.labels(batch.scene, own, batch.modalities),
        )

    def _batch(self, own: BatchSlice, images: Tensor | None, missing: Tensor | None) -> Batch:
        samples, which, device = self.samples, own.sample, self.preparation.device
        acoustic = None
        if samples.frame is not None:
            assert self.source.acoustic is not None
            acoustic = self.preparation.rows(self.source.acoustic, samples.frame[which])
        shared = len(own.first) < len(which)
        return Batch(
            acoustic,
            images,
            upload(samples.scene[which], device),
            torch.from_numpy(which),
            upload(own.view, device) if shared else None,
            missing,
        )


def image_batches(
    source: Source, which: NDArray[np.int64], batch_size: int, preparation: Preparation
) -> Iterator[Tensor]:
    """Return the evaluation views of images, or the vectors in their place, in their order.

    None is dropped.

    Args:
        source: what the images are read from.
        which: record numbers, or rows of the vectors [images].
        batch_size: images in a batch; the last may hold fewer.
        preparation: how, and for which device.

    Returns:
        Normalised images, float32 [batch, 3, size, size] each, or vectors [batch, features].
    """
    if batch_size < 1:
        raise SettingError(f"batch size is {batch_size}; 1 or more.")
    cuts = (which[start : start + batch_size] for start in range(0, len(which), batch_size))
    vectors = source.visual
    if vectors is not None:
        return (preparation.rows(vectors, cut) for cut in cuts)
    neutral = UNCHANGED.draw(np.random.default_rng(0), batch_size)
    requests = (ImageRequest(cut, neutral[: len(cut)]) for cut in cuts)
    images = preparation.loader(source, UNCHANGED).load(requests)
    return prefetch(images, preparation.device) if preparation.on_gpu else images
