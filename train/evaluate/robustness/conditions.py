"""Conditions that a system is evaluated under: a modality missing, late, of another clip, altered.

Each is a row of `CONDITIONS`. What it does is a small value: given the inputs of a classifier, it
says which rows of them the samples read instead, so that nothing is computed or copied but indices;
or it alters the recordings themselves, as `alterations` says.

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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Bools, Ints, Samples
from avsc.train.evaluate.robustness.alterations import (
    Alteration,
    Blurred,
    Dark,
    Level,
    Noise,
    Pictured,
    UndefinedError,
    unaltered,
)
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
        image = inputs.images_of(clip, _cyclic(inputs, clip, self.seconds))
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
        image = inputs.images_of(clip, _cyclic(inputs, clip, 0))
        pairs = dict(zip(rows.tolist(), donor.tolist(), strict=True))
        return replace(_with_images(inputs, image), donor=pairs)


def _cyclic(inputs: ClassifierInputs, clip: Ints, later: int) -> Ints:
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


@dataclass(frozen=True)
class Curve:
    """A curve of the figure.

    Attributes:
        axis: what is varied; curves of one axis share a panel.
        name: of the curve.
        complete: where on the axis the complete recordings are; None where they are not on it.
    """

    axis: str
    name: str
    complete: float | None = 0.0


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        name: as options and files have it.
        about: what it is.
        alters: the modality that is no longer what it was; None where both are as recorded.
        change: what the samples read instead; None where it is the same.
        alteration: of the recordings of the modality; None for none.
        curve: that it is a point of; None for none.
        level: where on that curve.
    """

    name: str
    about: str
    alters: Modality | None = None
    change: Change | None = None
    alteration: Alteration | None = None
    curve: Curve | None = None
    level: float = 0.0

    @property
    def left(self) -> tuple[Modality, ...]:
        """The modalities that are as recorded."""
        both: tuple[Modality, ...] = ("audio", "visual")
        return tuple(modality for modality in both if modality != self.alters)


SHARES = "segments without / %"
LATE = Curve("audio late / s", "audio late")


def _missing(modality: Modality, word: str, percent: int) -> Condition:
    name = f"no-{word}" if percent == 100 else f"no-{word}-{percent}"
    about = f"no {word}" if percent == 100 else f"no {word} in {percent} % of the segments"
    change = Missing(modality, percent / 100)
    curve = Curve(SHARES, f"no {word}")
    return Condition(name, about, modality, change, curve=curve, level=percent)


def _shifted(seconds: int) -> Condition:
    way = "late" if seconds > 0 else "early"
    name, about = f"audio-{way}-{abs(seconds)}s", f"audio {abs(seconds)} s {way}"
    return Condition(name, about, None, Shifted(seconds), curve=LATE, level=seconds)


def _altered(name: str, about: str, modality: Modality, alteration: Alteration) -> Condition:
    return Condition(name, about, modality, alteration=alteration)


def _noise(ratio: int) -> Condition:
    name, about = f"noise-{ratio}db", f"audio with white noise at {ratio} dB"
    curve = Curve("ratio of audio to noise / dB", "white noise", None)
    return Condition(name, about, "audio", alteration=Noise(ratio), curve=curve, level=ratio)


COMPLETE = Condition("complete", "complete")

CONDITIONS = {
    condition.name: condition
    for condition in (
        COMPLETE,
        *(_missing("audio", "audio", percent) for percent in (100, 50, 30, 10)),
        *(_missing("visual", "image", percent) for percent in (100, 50, 30, 10)),
        *(_shifted(seconds) for seconds in (-5, -2, -1, 1, 2, 5)),
        Condition(
            "image-same-scene", "image of another clip of the scene", "visual", OtherClip(True)
        ),
        Condition("image-other-scene", "image of another scene", "visual", OtherClip(False)),
        _altered("audio-20db", "audio at -20 dB", "audio", Level(-20)),
        *(_noise(ratio) for ratio in (20, 10, 0)),
        _altered("image-dark", "image dark (10 %)", "visual", Pictured(Dark(0.1))),
        _altered("image-blurred", "image blurred (2 % of its side)", "visual",
                 Pictured(Blurred(0.02))),
        _altered("image-jpeg-10", "image as JPEG of quality 10", "visual", Pictured(unaltered, 10)),
    )
}  # fmt: skip
"""Every condition, by name; the complete recordings first."""
ALL = "all"

PATTERNS: Mapping[Modality | None, str] = {
    None: "complete",
    "audio": "no-audio",
    "visual": "no-image",
}
"""By what is missing of a recording: the condition under which it is missing of all."""


def named_conditions(names: str) -> tuple[Condition, ...]:
    """Return the conditions that a list such as ``"no-audio,no-image"`` names, the complete first.

    Args:
        names: with commas between them; ``"all"`` is all of them.

    Raises:
        SettingError: one is unknown.
    """
    wanted = {name.strip() for name in names.split(",")}
    if wanted == {ALL}:
        return tuple(CONDITIONS.values())
    if unknown := sorted(wanted - set(CONDITIONS)):
        raise SettingError(
            f"--conditions: {unknown[0]!r} is unknown; {ALL}, or any of {', '.join(CONDITIONS)}, "
            "with commas between them."
        )
    wanted.add(COMPLETE.name)
    return tuple(condition for name, condition in CONDITIONS.items() if name in wanted)
