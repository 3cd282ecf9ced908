"""Samples: which acoustic frame, which image and which scene belong together.

A *pair* is (acoustic frame i, the image of second floor(t_i), the clip's scene), t_i being the
frame's centre (section 2.3 of the paper). Frames are rows of the acoustic matrix, in which the
frames of all records follow one another; images are records of the product ``images``. Whatever
is drawn later, samples themselves come in a fixed order: by clip, then by frame or second.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.specs import AcousticSpec

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
        second: second k of the clip that the sample is centred in.
        strict: bool [samples]; the frame's window lies wholly inside its second. True for
            images alone.
    """

    frame: Ints | None
    image: Ints | None
    scene: Ints
    clip: Ints
    second: Ints
    strict: Bools

    def __len__(self) -> int:
        return len(self.scene)

    def take(self, which: Ints | Bools) -> "Samples":
        """Return the samples that an index or mask selects, in its order."""
        return Samples(
            None if self.frame is None else self.frame[which],
            None if self.image is None else self.image[which],
            self.scene[which],
            self.clip[which],
            self.second[which],
            self.strict[which],
        )


def frame_samples(clip: Ints, frames: Ints, scene: Ints, spec: AcousticSpec) -> Samples:
    """Return every frame of an acoustic product as a sample.

    Args:
        clip: clip of each record, rising [records].
        frames: number of frames of each record [records].
        scene: class index of each clip of the store [clips].
        spec: the product's spec, for the frames' times.
    """
    row = np.arange(frames.sum())
    within = row - np.repeat(np.cumsum(frames) - frames, frames)
    clip = np.repeat(clip, frames)
    second = np.asarray(framing.second(within, spec), np.int64)
    strict = np.asarray(framing.inside(within, spec), np.bool_)
    return Samples(row, None, scene[clip], clip, second, strict)


def image_samples(clip: Ints, second: Ints, scene: Ints) -> Samples:
    """Return every image as a sample.

    Args:
        clip: clip of each image, rising [records].
        second: second of each image, rising within a clip [records].
        scene: class index of each clip of the store [clips].
    """
    record = np.arange(len(clip))
    return Samples(None, record, scene[clip], clip, second, np.ones(len(clip), np.bool_))


def pair(frames: Samples, images: Samples) -> Samples:
    """Return every frame with the image of its second; frames without one are left out."""
    assert images.image is not None
    span = 1 + max(frames.second.max(initial=0), images.second.max(initial=0))
    wanted = frames.clip * span + frames.second
    there = images.clip * span + images.second
    place = np.searchsorted(there, wanted)
    found = place < len(there)
    found[found] = there[place[found]] == wanted[found]
    kept = frames.take(found)
    return Samples(
        kept.frame, images.image[place[found]], kept.scene, kept.clip, kept.second, kept.strict
    )
