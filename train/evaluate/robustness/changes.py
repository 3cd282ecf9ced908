"""Changes of what a classifier reads: a modality missing, late, or of another clip.

Each is a small value: given the inputs of a classifier, it says which rows of them the samples read
instead, so that nothing is computed or copied but indices.

*Missing*: the place of the modality's embedding has the vector that the network learned for it, or
zeros where it learned none; in all segments, or in a share of them drawn at random. The smaller
share is part of the larger, and the same segments lack audio and images.

*Shifted*: audio that is s seconds late: the frames of second k meet the image of second k + s.
Clips are cyclic, so that each segment has an image of its own clip: where k + s is beyond the last
second, counting continues from the first. An image that the store lacks is missing, as above. With
two images a second, it is the one at the same place in its second.

*Of another clip*: the images of another of the evaluated clips, at the same second (counted
cyclically where it is shorter), drawn uniformly among those of the same scene, or of the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from avsc.train.data.samples import Bools, Ints, Samples
from avsc.train.evaluate.robustness.alterations import UndefinedError
from avsc.train.evaluate.robustness.classifier_inputs import ClassifierInputs, rows_of, with_rows
from avsc.train.systems import Modality

SHARE, DONOR = 1, 2  # what a generator is for: the first word of its key
MOST_PER_SECOND = 2
"""Images a second of which each meets an acoustic frame, and so is embedded."""


@dataclass(frozen=True)
class Altered:
    """What the samples read under a condition.

    Attributes:
        samples: with the rows that they read.
        without: of which samples a modality was taken away, bool [samples].
        lacking: that modality; None where none can be.
        donor: by the clip's row, the row of the clip whose images it has; empty as a rule.
    """

    samples: Samples
    without: Bools
    lacking: Modality | None = None
    donor: dict[int, int] = field(default_factory=dict)


Change = Callable[[ClassifierInputs, int], Altered]
"""From the inputs of a classifier and a seed to what the samples read."""


@dataclass(frozen=True)
class Missing:
    """A modality is missing in a share of the segments, 0 to 1."""

    modality: Modality
    share: float = 1.0

    def __call__(self, inputs: ClassifierInputs, seed: int) -> Altered:
        """Return the samples, those of the drawn segments without the modality."""
        segments = inputs.expected.shape[1]
        order = np.random.default_rng((SHARE, seed)).permutation(segments)
        drawn = np.zeros(segments, np.bool_)
        drawn[order[: round(self.share * segments)]] = True
        without = drawn[inputs.segment]
        rows = rows_of(inputs.samples, self.modality)
        assert rows is not None
        rows = np.where(without, inputs.absent(self.modality), rows)
        return Altered(with_rows(inputs.samples, self.modality, rows), without, self.modality)


@dataclass(frozen=True)
class Shifted:
    """The audio is some whole seconds late; early where they are negative."""

    seconds: int

    def __call__(self, inputs: ClassifierInputs, seed: int) -> Altered:
        """Return the samples with the images of other seconds.

        Raises:
            UndefinedError: a clip would be shifted onto itself.
        """
        clip = inputs.samples.clip
        whole = [row for row in np.unique(clip).tolist() if self.seconds % inputs.seconds[row] == 0]
        if whole:
            last = inputs.seconds[whole[0]]
            raise UndefinedError(
                f"{len(whole)} clips are of {last} s (or another divisor), and would be shifted "
                "onto themselves"
            )
        image = inputs.images_of(clip, cyclic(inputs, clip, self.seconds))
        return _with_images(inputs, image)


@dataclass(frozen=True)
class OtherClip:
    """The images are those of another clip, of the same scene or of another."""

    same_scene: bool

    def __call__(self, inputs: ClassifierInputs, seed: int) -> Altered:
        """Return the samples with the images of other clips.

        Raises:
            UndefinedError: a clip has no other to take images of.
        """
        rows, first = np.unique(inputs.samples.clip, return_index=True)
        scene = inputs.samples.scene[first]
        here = np.searchsorted(rows, inputs.samples.clip)
        if (inputs.samples.scene != scene[here]).any():
            raise UndefinedError("a clip's label changes within it, so that it is of no one scene")
        draw = np.random.default_rng((DONOR, seed, self.same_scene))
        donor = np.empty_like(rows)
        for number, row in enumerate(rows):
            there = rows[((scene == scene[number]) == self.same_scene) & (rows != row)]
            if not len(there):
                which = "its own" if self.same_scene else "another"
                raise UndefinedError(f"a clip has no other clip of {which} scene")
            donor[number] = there[draw.integers(len(there))]
        clip = donor[np.searchsorted(rows, inputs.samples.clip)]
        image = inputs.images_of(clip, cyclic(inputs, clip, 0))
        pairs = dict(zip(rows.tolist(), donor.tolist(), strict=True))
        return replace(_with_images(inputs, image), donor=pairs)


def cyclic(inputs: ClassifierInputs, clip: Ints, later: int | Ints) -> Ints:
    """Return the second of a clip that lies so much after that of each sample, cyclically.

    Raises:
        UndefinedError: there are so many images that some are not embedded.
    """
    if inputs.samples.rate > MOST_PER_SECOND:
        raise UndefinedError(
            f"the store has {inputs.samples.rate} images a second, of which some meet no acoustic "
            f"frame; wanted at most {MOST_PER_SECOND}"
        )
    last = np.array([inputs.seconds[row] for row in clip.tolist()], np.int64)
    return (inputs.samples.second + later) % last


def _with_images(inputs: ClassifierInputs, image: Ints) -> Altered:
    there = with_rows(inputs.samples, "visual", image)
    return Altered(there, image == inputs.absent("visual"), "visual")
