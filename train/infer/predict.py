"""From the pieces of a recording to answers, or to embeddings."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features.framing import centre_sample
from avsc.features.piecewise import Piece
from avsc.manifests.errors import MediaError
from avsc.train.data.samples import Samples
from avsc.train.evaluate.calibration import tempered
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.recording import sample_piece
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
        return f"<Embeddings: {count} of {features} values, and the scene's>"


@dataclass(frozen=True)
class Computed:
    """What was computed of a recording.

    Attributes:
        samples: of the recording; `frame` is a frame's number in it.
        values: of each sample, [samples, ...].
        seconds: whole seconds of the recording.
        warnings: what is odd about it.
    """

    samples: Samples
    values: Tensor
    seconds: int
    warnings: tuple[str, ...]


def predict_pieces(
    model: "Model", name: str, pieces: Iterable[Piece], windows: Windows, workers: int = 0
) -> Prediction:
    """Return a model's answers for a recording.

    Args:
        model: the model.
        name: of the recording.
        pieces: made with the model's specs.
        windows: what is to be answered for.
        workers: threads that prepare images.

    Raises:
        MediaError: the recording is too short for an answer.
    """
    found = _compute(model, name, pieces, model.runtime, workers)
    protocol = windows.protocol or model.protocol
    spec, probability = model.acoustic, probabilities(found.values)
    answer = answers(probability, found.samples, found.seconds, spec, windows, protocol)
    if not len(answer.start):
        raise MediaError(
            "too-short",
            f"{name}: {found.seconds} s that can be classified, and no window of "
            f"{windows.length:g} s of which half lies in them and that has a frame: ask for "
            "shorter windows (--window), or for one answer (--protocol clip).",
        )
    answer = smoothed(answer, windows.smooth)
    none = np.zeros(len(answer.probability), np.int64)
    segments = Segments(answer.probability, none, None, none)
    if model.temperature != 1:
        segments = tempered(segments, model.temperature)
    times = np.stack([answer.start, answer.end], 1)
    return Prediction(
        name, model.classes, times, segments.probability, answer.missing, found.warnings
    )


def embed_pieces(
    model: "Model", name: str, pieces: Iterable[Piece], workers: int = 0
) -> Embeddings:
    """Return the embeddings of a recording; arguments and faults are those of `predict_pieces`.

    Raises:
        SettingError: the model's runtime gives no embeddings.
    """
    found = _compute(model, name, pieces, model.runtime.embed, workers)
    embeddings = found.values.float().numpy()
    middle = found.samples.second + 0.5
    if found.samples.frame is not None and model.acoustic is not None:
        middle = centre_sample(found.samples.frame, model.acoustic) / model.acoustic.sample_rate
    return Embeddings(embeddings.mean(0), embeddings, (1000 * middle).astype(np.float64))


def probabilities(logits: Tensor) -> NDArray[np.float64]:
    """Return the softmax of logits, in float64 as evaluation computes it."""
    values: NDArray[np.float64] = torch.softmax(logits.double(), 1).cpu().numpy()
    return values


def _compute(
    model: "Model", name: str, pieces: Iterable[Piece], compute: Compute, workers: int
) -> Computed:
    """Return what is computed of each sample of a recording."""
    parts: list[Samples] = []
    values: list[Tensor] = []
    warnings: list[str] = []
    end = 0
    for piece in pieces:
        source, samples, seconds = sample_piece(name, piece, model.acoustic)
        end = max(end, seconds)
        warnings += [*piece.warnings, *piece.lost.values()]
        if len(samples):
            values += compute_by_ten_seconds(
                compute,
                source,
                samples,
                model.image_input,
                workers=workers,
                device=model.runtime.device,
            )
            parts.append(_numbered(samples, piece.first_frame))
    if not parts:
        why = f"; {warnings[0]}" if warnings else ""
        raise MediaError(
            "too-short",
            f"{name}: no second of it has all that the model takes{why}; leave it out.",
        )
    return Computed(_joined(parts), torch.cat(values), end, tuple(warnings))


def _numbered(samples: Samples, first: int) -> Samples:
    """Return samples whose frames are numbered as in the recording."""
    return samples if samples.frame is None else replace(samples, frame=samples.frame + first)


def _joined(parts: list[Samples]) -> Samples:
    """Return the samples of several pieces; records of images are of their pieces and go."""
    frames = [part.frame for part in parts if part.frame is not None]
    names = ("scene", "clip", "second", "strict")
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Samples(np.concatenate(frames) if frames else None, None, *arrays)
