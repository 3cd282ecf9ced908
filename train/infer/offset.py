"""By how much a recording's two streams are apart, by the offset head of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avsc.manifests.errors import MediaError, SettingError
from avsc.train.evaluate.by_second import means
from avsc.train.evaluate.offset import load_head
from avsc.train.fit.trained_run import restore
from avsc.train.infer.loading import run_model

SURE = 0.5
"""Probability below which an offset is not stated as found."""


@dataclass(frozen=True)
class Offset:
    """By how much the audio of a recording is late.

    Attributes:
        name: of the recording.
        probability: of each offset from -S to S seconds, float64 [2 S + 1].
    """

    name: str
    probability: NDArray[np.float64]

    @property
    def seconds(self) -> int:
        """The most probable offset: by how many seconds the audio is late; early below 0."""
        return int(self.probability.argmax()) - len(self.probability) // 2

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probability.max())

    def __str__(self) -> str:
        way = "late" if self.seconds > 0 else "early"
        text = f"audio {abs(self.seconds)} s {way}" if self.seconds else "in step"
        doubt = "" if self.confidence >= SURE else "not sure; most probably "
        chance = 1 / len(self.probability)
        return (
            f"{self.name}: {doubt}{text} (probability {self.confidence:.2f}; chance {chance:.2f})"
        )


def find_offset(
    run: Path, recording: Path, audio: Path | None = None, device: str = "auto"
) -> Offset:
    """Return by how much the audio of a recording is late.

    Args:
        run: with an offset head.
        recording: the video, with its own sound unless `audio` is named.
        audio: file of the sound.
        device: that computes the embeddings.

    Raises:
        AvscError: the run has no offset head, or the recording cannot be used.
    """
    trained = restore(run)
    head, model = load_head(trained), run_model(trained, device)
    if model.acoustic is None or model.images is None:
        raise SettingError(f"{run}: a run of {model.system}. Name a run of both modalities.")
    embedded = model.embed(recording, audio=audio)
    second = (embedded.timestamps // 1000).astype(np.int64)
    values = means(embedded.embeddings, second, 1 + int(second[-1]))
    there = np.isfinite(values).all(1)
    length = len(values) if there.all() else int(there.argmin())
    if length < head.most + 2:
        raise MediaError(
            "too-short",
            f"{recording}: {length} s from its start have both sound and image; wanted "
            f"{head.most + 2} s or more to tell offsets of up to {head.most} s.",
        )
    width = len(head.audio.mean)
    audio_part, visual = (torch.from_numpy(values[None, :length, part])
                          for part in (slice(width), slice(width, None)))  # fmt: skip
    with torch.no_grad():
        probability = torch.softmax(head(audio_part, visual).double(), 1)[0].numpy()
    return Offset(str(recording), probability)
