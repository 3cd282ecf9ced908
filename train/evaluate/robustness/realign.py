"""Clips shifted back by the offset that a run's offset head finds in them.

Nothing says what was done to a clip: the head is asked under every condition, complete clips among
them, by the embeddings that the condition gives. Where it is sure, the clip's images move back
cyclically, as `changes.Shifted` moved them: a clip whose offset is found is again what it was, to
the last bit. Asked about are clips that have both modalities in every second and two seconds more
than the head's largest offset; the others stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avsc.manifests.errors import SettingError
from avsc.train.evaluate.by_second import clip_streams
from avsc.train.evaluate.robustness.changes import MOST_PER_SECOND, Altered, cyclic
from avsc.train.evaluate.robustness.classifier_inputs import ClassifierInputs
from avsc.train.model.offset_head import SURE, OffsetHead


@dataclass(frozen=True)
class Realigned:
    """What became of clips.

    Attributes:
        clips: their number.
        sure: of how many the offset was found with a probability of `SURE` or more.
        shifted: how many of those were not found in step, and so were shifted.
    """

    clips: int
    sure: int
    shifted: int


def pool_realigned(parts: Sequence[Realigned | None]) -> Realigned | None:
    """Return the sums over several runs; None where none realigned clips."""
    there = [part for part in parts if part is not None]
    if not there:
        return None
    return Realigned(*(sum(getattr(part, name) for part in there)
                       for name in ("clips", "sure", "shifted")))  # fmt: skip


def how_realigned(head: OffsetHead) -> str:
    """Say how clips were realigned, for the report."""
    return (
        f"by the run's offset head, up to {head.most} s, where its probability is {SURE:g} or more"
    )


def check_rate(inputs: ClassifierInputs) -> None:
    """Raise a `SettingError` if images of clips cannot be shifted."""
    if inputs.samples.rate > MOST_PER_SECOND:
        raise SettingError(
            f"--realign: the store has {inputs.samples.rate} images a second, of which some meet "
            f"no acoustic frame and are not embedded; wanted at most {MOST_PER_SECOND}. Omit it."
        )


def realign(
    head: OffsetHead, inputs: ClassifierInputs, altered: Altered
) -> tuple[Altered, Realigned]:
    """Return the samples of clips after each was shifted back where the head is sure.

    Args:
        head: of the run.
        inputs: the embeddings under a condition.
        altered: what the samples read of them.
    """
    inputs = replace(inputs, samples=altered.samples)
    late, sure = {}, 0
    for row in inputs.seconds:
        found = _offset(head, inputs, row)
        sure += found is not None
        late[row] = found or 0
    clip, before = inputs.samples.clip, inputs.samples.image
    assert before is not None
    seconds = np.array([late[row] for row in clip.tolist()], np.int64)
    image = inputs.images_of(clip, cyclic(inputs, clip, -seconds))
    samples = replace(inputs.samples, image=np.where(seconds == 0, before, image))
    shifted = sum(seconds != 0 for seconds in late.values())
    return replace(altered, samples=samples), Realigned(len(late), sure, shifted)


def _offset(head: OffsetHead, inputs: ClassifierInputs, row: int) -> int | None:
    """Return by how many seconds the audio of a clip is late; None where that is not sure."""
    length = inputs.seconds[row]
    streams = clip_streams(inputs, row, length) if length >= head.most + 2 else None
    if streams is None:
        return None
    probability = head.probability(**streams)
    return int(probability.argmax()) - head.most if probability.max() >= SURE else None
