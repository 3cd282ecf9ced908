"""Embeddings of recordings by second: of audio the mean over its frames, and of the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.train.data.samples import Ints
from avsc.train.evaluate.robustness.classifier_inputs import ClassifierInputs, rows_of
from avsc.train.systems import ENCODER, Modality

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BySecond:
    """Recordings of as many seconds each.

    Attributes:
        audio: float32 [recordings, seconds, features].
        visual: float32 [recordings, seconds, features].
    """

    audio: Floats
    visual: Floats

    def __len__(self) -> int:
        return len(self.audio)

    @property
    def seconds(self) -> int:
        """Length of each recording."""
        return int(self.audio.shape[1])

    def late(self, offset: Ints, start: Ints, length: int) -> "BySecond":
        """Return windows of the recordings with the audio late by so many seconds.

        Args:
            offset: by how many, int64 [recordings].
            start: first second of the image, int64 [recordings].
            length: seconds of a window.
        """
        rows, within = np.arange(len(self))[:, None], np.arange(length)
        image = start[:, None] + within
        return BySecond(self.audio[rows, image - offset[:, None]], self.visual[rows, image])


def means(values: Floats, second: Ints, seconds: int) -> Floats:
    """Return the mean of the rows of each second, float32 [seconds, features]; NaN for none."""
    count = np.bincount(second, minlength=seconds)[:seconds]
    total = np.zeros((seconds, values.shape[1]), np.float64)
    np.add.at(total, second, values)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count[:, None], np.float32)


def clip_streams(inputs: ClassifierInputs, row: int, length: int) -> dict[Modality, Floats] | None:
    """Return both streams of a clip, float32 [length, features]; None if a second lacks one.

    Args:
        inputs: embeddings of clips of both modalities.
        row: of the clip in the store's clip table.
        length: seconds from its start.
    """
    samples = inputs.samples
    own = samples.take((samples.clip == row) & (samples.second < length))
    streams = {}
    for modality in ENCODER:
        rows = rows_of(own, modality)
        assert rows is not None
        streams[modality] = means(inputs.vectors[modality][rows], own.second, length)
        if (rows == inputs.absent(modality)).any() or not np.isfinite(streams[modality]).all():
            return None
    return streams


def clips_by_second(inputs: ClassifierInputs) -> BySecond:
    """Return the clips that have audio and image in every second, all of the most frequent length.

    Longer ones are cut; shorter ones, and those that lack a second, are left out.

    Args:
        inputs: embeddings of clips of both modalities.
    """
    length = int(np.bincount(list(inputs.seconds.values())).argmax())
    streams: dict[Modality, list[Floats]] = {modality: [] for modality in ENCODER}
    for row in inputs.seconds:
        for modality, stream in (clip_streams(inputs, row, length) or {}).items():
            streams[modality].append(stream)
    width = {modality: vectors.shape[1] for modality, vectors in inputs.vectors.items()}
    audio, visual = (
        np.stack(parts) if parts else np.empty((0, length, width[modality]), np.float32)
        for modality, parts in streams.items()
    )
    return BySecond(audio, visual)
