"""From the features of a recording to answers, or to embeddings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features.framing import centre_sample
from avsc.manifests.errors import MediaError
from avsc.train.data.samples import Samples
from avsc.train.evaluate.calibration import tempered
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.recording import Features, sample_recording
from avsc.train.infer.windows import Windows, answers, smoothed
from avsc.train.model.ten_seconds import Compute, compute_by_ten_seconds
from avsc.train.protocol import Segments

if TYPE_CHECKING:
    from avsc.train.infer.model import Model


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a recording, in the manner of HEAR's common API.

    An embedding is what the scene classifier sees: the acoustic embedding, then the visual one, of
    those that the model has.

    Attributes:
        scene: of the whole recording, the mean of the others, float32 [features].
        embeddings: of one acoustic frame with the image of its second each, or of one image,
            float32 [n, features].
        timestamps: the middle of each, milliseconds, float64 [n].
    """

    scene: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    timestamps: NDArray[np.float64]

    def __repr__(self) -> str:
        count, features = self.embeddings.shape
        return f"<Embeddings: {count} of {features} values, and of the scene>"


def predict_features(
    model: "Model", features: Features, windows: Windows, workers: int = 0
) -> Prediction:
    """Return a model's answers for the features of a recording.

    Args:
        model: the model.
        features: made with its specs.
        windows: what is to be answered for.
        workers: threads that prepare images.

    Raises:
        MediaError: the recording is too short for an answer.
    """
    samples, seconds, values = _compute(model, features, model.runtime, workers)
    protocol = windows.protocol or model.protocol
    found = answers(probabilities(values), samples, seconds, model.acoustic, windows, protocol)
    if not len(found.start):
        raise MediaError(
            "too-short",
            f"{features.name}: {seconds} s that can be classified; wanted at least half a window "
            f"of {windows.length:g} s and a frame in it. Ask for shorter windows (--window), or "
            "for --protocol clip.",
        )
    found = smoothed(found, windows.smooth)
    none = np.zeros(len(found.probability), np.int64)
    segments = Segments(found.probability, none, None, none)
    probability = found.probability
    if model.temperature != 1:
        probability = tempered(segments, model.temperature).probability
    times = np.stack([found.start, found.end], 1)
    return Prediction(
        features.name, model.classes, times, probability, found.missing, features.warnings
    )


def embed_features(model: "Model", features: Features, workers: int = 0) -> Embeddings:
    """Return the embeddings of a recording; arguments and faults are those of `predict_features`.

    Raises:
        SettingError: the model's runtime gives no embeddings.
    """
    samples, _, values = _compute(model, features, model.runtime.embed, workers)
    embeddings = values.float().numpy()
    middle = samples.second + 0.5
    if samples.frame is not None and model.acoustic is not None:
        middle = centre_sample(samples.frame, model.acoustic) / model.acoustic.sample_rate
    return Embeddings(embeddings.mean(0), embeddings, (1000 * middle).astype(np.float64))


def _compute(
    model: "Model", features: Features, compute: Compute, workers: int
) -> tuple[Samples, int, Tensor]:
    """Return the samples of a recording, its whole seconds, and what is computed of each sample."""
    source, samples, seconds = sample_recording(features, model.acoustic)
    if not len(samples):
        raise MediaError(
            "too-short",
            f"{features.name}: no second of it has all that the model takes"
            f"{'; ' + features.warnings[0] if features.warnings else ''}; leave it out.",
        )
    parts = compute_by_ten_seconds(
        compute,
        source,
        samples,
        model.image_input,
        workers=workers,
        device=model.runtime.device,
    )
    return samples, seconds, torch.cat(list(parts))


def probabilities(logits: Tensor) -> NDArray[np.float64]:
    """Return the softmax of logits, in float64 as evaluation computes it."""
    values: NDArray[np.float64] = torch.softmax(logits.double(), 1).cpu().numpy()
    return values
