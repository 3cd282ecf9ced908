"""Samples: which acoustic frame, image and scene belong together, and their order in an epoch.

A *pair* is (acoustic frame i, the image of second floor(t_i), the label of that second), t_i being
the frame's centre (section 2.3 of the paper); all seconds of a clip of one scene have its label.
With N images a second, it is image floor(N t_i), whose interval [k / N, (k + 1) / N) t_i lies in.
Frames are rows of the acoustic matrix, the concatenated frames of all records; images are records
of the product ``images``. Samples themselves come in a
fixed order: by clip, then by frame or second.

Four to six acoustic frames share the image of their second where there is one. In the paper's
training each of the pairs sees it augmented for itself. Where N of them are to share one view,
samples of one image are split at random into groups of N (the last may be smaller); groups are
shuffled, concatenated and cut into batches, which hold as many samples as without. A group that
straddles two batches gets one view in each.

Processes that train together take equal, consecutive slices of a batch, so that hardly an image is
prepared by two of them.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.specs import AcousticSpec
from avsc.features.store.labels import Labels
from avsc.train.systems import Modality

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """Samples, one an element of each array; int64 [samples] unless said otherwise.

    Attributes:
        frame: row of the acoustic matrix; None for images alone.
        image: record number of the image; None for sound alone.
        scene: class index.
        clip: row of the clip in the store's clip table.
        time: where in the clip the sample is centred, in ticks [time, time + 1).
        strict: bool [samples]; the frame's window lies wholly inside its second. True for
            images alone.
        rate: ticks a second; of images, and of frames with images, the number of images a second.
    """

    frame: Ints | None
    image: Ints | None
    scene: Ints
    clip: Ints
    time: Ints
    strict: Bools
    rate: int = 1

    @cached_property
    def second(self) -> Ints:
        """Second k of the clip that each sample is centred in."""
        return self.time // self.rate

    def __len__(self) -> int:
        return len(self.scene)

    def take(self, which: Ints | Bools) -> "Samples":
        """Return the samples that an index or mask selects, in its order."""
        return Samples(
            None if self.frame is None else self.frame[which],
            None if self.image is None else self.image[which],
            self.scene[which],
            self.clip[which],
            self.time[which],
            self.strict[which],
            self.rate,
        )

    def at_rate(self, rate: int) -> "Samples":
        """Return the samples with coarser ticks, so many a second."""
        return replace(self, time=self.time * rate // self.rate, rate=rate)

    def without(self, modality: Modality) -> "Samples":
        """Return the samples without their frames, or without their images."""
        audio = modality == "audio"
        return replace(self, frame=None) if audio else replace(self, image=None)


def frame_samples(clip: Ints, frames: Ints, labels: Labels, spec: AcousticSpec) -> Samples:
    """Return every frame of an acoustic product as a sample.

    Args:
        clip: clip of each record, rising [records].
        frames: number of frames of each record [records].
        labels: of the store's clips.
        spec: the product's spec, for the frames' times.
    """
    row = np.arange(frames.sum())
    within = row - np.repeat(np.cumsum(frames) - frames, frames)
    clip = np.repeat(clip, frames)
    time = np.asarray(framing.centre_sample(within, spec), np.int64)
    strict = np.asarray(framing.inside(within, spec), np.bool_)
    scene = labels.at(clip, time // spec.sample_rate)
    return Samples(row, None, scene, clip, time, strict, spec.sample_rate)


def image_samples(clip: Ints, key: Ints, labels: Labels, per_second: int = 1) -> Samples:
    """Return every image as a sample.

    Args:
        clip: clip of each image, rising [records].
        key: number of each image in its clip, rising within a clip [records].
        labels: of the store's clips.
        per_second: images a second.
    """
    record = np.arange(len(clip))
    strict = np.ones(len(clip), np.bool_)
    scene = labels.at(clip, key // per_second)
    return Samples(None, record, scene, clip, key, strict, per_second)


def images_at(clip: Ints, key: Ints, images: Samples) -> tuple[Ints, Bools]:
    """Return some images of clips, and whether they are there.

    Args:
        clip: row of the clip of each [n].
        key: number of the image in it [n].
        images: every image, by clip, then by time.

    Returns:
        Records, int64 [n], of no meaning where there is none; and bool [n].
    """
    assert images.image is not None
    if not len(images):
        return np.zeros_like(clip), np.zeros(len(clip), np.bool_)
    span = 1 + max(key.max(initial=0), images.time.max(initial=0))
    wanted = clip * span + key
    there = images.clip * span + images.time
    place = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return images.image[place], there[place] == wanted


def pair(frames: Samples, images: Samples) -> Samples:
    """Return every frame with the image of its time; frames without one are left out."""
    frames = frames.at_rate(images.rate)
    image, there = images_at(frames.clip, frames.time, images)
    return replace(frames, image=image).take(there)


@dataclass(frozen=True)
class BatchSlice:
    """A batch, or what one of several processes has of it.

    Attributes:
        sample: the samples, int64 [n].
        view: number of the view that each sees, from 0, int64 [n].
        first: first of the n samples that sees each view, int64 [views].
        drawn: row of the whole batch, whose augmentation each view has, int64 [views].
    """

    sample: Ints
    view: Ints
    first: Ints
    drawn: Ints


@dataclass(frozen=True)
class EpochOrder:
    """The order of an epoch.

    Attributes:
        sample: samples in the order in which they are seen, int64 [samples].
        group: what they share a view by; equal ones lie side by side, int64 [samples].
    """

    sample: Ints
    group: Ints

    def batch(self, number: int, size: int, shard: tuple[int, int] = (0, 1)) -> BatchSlice:
        """Return a batch of `size` samples, or the i-th of the n equal runs that it is cut into.

        Args:
            number: of the batch, from 0.
            size: samples in a batch; a multiple of n.
            shard: (i, n).
        """
        rows = slice(number * size, (number + 1) * size)
        sample, begins = self.sample[rows], np.diff(self.group[rows], prepend=-1) != 0
        which, own = np.cumsum(begins) - 1, share(size, shard)
        views, first, view = np.unique(which[own], return_index=True, return_inverse=True)
        return BatchSlice(sample[own], view, first, np.flatnonzero(begins)[views])


def share(size: int, shard: tuple[int, int]) -> slice:
    """Return the rows of a batch that the i-th of n processes takes; `shard` is (i, n)."""
    i, n = shard
    return slice(i * size // n, (i + 1) * size // n)


def shuffled(count: int, generator: np.random.Generator) -> EpochOrder:
    """Return an order in which each of `count` samples has a view of its own."""
    order = generator.permutation(count)
    return EpochOrder(order, order)


def shuffled_together(
    image: NDArray[np.int64], together: int, generator: np.random.Generator
) -> EpochOrder:
    """Return an order in which up to `together` samples of an image share a view.

    Args:
        image: image of each sample [samples].
        together: 1 or more.
        generator: of all that is random.
    """
    sample = generator.permutation(len(image))
    sample = sample[np.argsort(image[sample], kind="stable")]
    rows, begins = np.arange(len(sample)), np.diff(image[sample], prepend=-1) != 0
    within = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    group = np.cumsum(within % together == 0) - 1
    place = generator.permutation(group.max(initial=-1) + 1)[group]
    order = np.argsort(place, kind="stable")
    return EpochOrder(sample[order], place[order])
