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
from avsc.train.infer.prediction import Correction, Prediction
from avsc.train.infer.recording import sample_piece
from avsc.train.infer.windows import Windows, answers, smoothed
from avsc.train.model.ten_seconds import Compute, compute_by_ten_seconds
from avsc.train.protocol import Protocol
from avsc.train.systems import Modality

if TYPE_CHECKING:
    from avsc.train.infer.model import Model

LACKS: dict[Modality, str] = {
    "audio": "no sound; answered by its images alone",
    "visual": "no images; answered by its sound alone",
}


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a recording, in the manner of HEAR's common API.

    An embedding is what the scene classifier sees: the acoustic embedding, then the visual one, of
    those that the model has.

    Attributes:
        scene: of the whole recording, the mean of the others, float32 [features].
        embeddings: of one acoustic frame with the image of its time each, or of one image,
            float32 [n, features].
        timestamps: the middle of each, milliseconds, float64 [n].
    """

    scene: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    timestamps: NDArray[np.float64]

    def __repr__(self) -> str:
        count, features = self.embeddings.shape
        return f"<Embeddings: {count} of {features} values, and the scene's>"


class Computation:
    """What is computed of a recording, a piece at a time.

    Args:
        model: with whose specs the pieces are made.
        name: of the recording, for messages.
        compute: the model's runtime, or its `embed`.
        workers: threads that prepare images.

    Attributes:
        seconds: whole seconds of the recording so far.
        warnings: what is odd about it.
        without: what it lacks of what the model takes.
    """

    def __init__(self, model: "Model", name: str, compute: Compute, workers: int = 0) -> None:
        self.seconds = 0
        self.warnings: list[str] = []
        self.without: tuple[Modality, ...] = ()
        self._model, self._name, self._workers = model, name, workers
        self._compute = compute
        self._samples: list[Samples] = []
        self._values: list[Tensor] = []

    def add(self, piece: Piece) -> None:
        """Compute the next piece."""
        model = self._model
        per_second = 1 if model.images is None else model.images.per_second
        source, samples, seconds = sample_piece(self._name, piece, model.acoustic, per_second)
        self.seconds = max(self.seconds, seconds)
        self.warnings += [*piece.warnings, *piece.lost.values()]
        self.without = model.lacking(
            audio=piece.frames is not None, visual=piece.images is not None
        )
        if len(samples):
            self._values += compute_by_ten_seconds(
                self._compute,
                source,
                samples,
                model.image_input,
                workers=self._workers,
                device=model.runtime.device,
            )
            self._samples.append(_numbered(samples, piece.first_frame))

    def result(self) -> tuple[Samples, Tensor]:
        """Return the samples of the recording, whose `frame` is a frame's number in it, and values.

        Raises:
            MediaError: there are none.
        """
        if not self._samples:
            why = f"; {self.warnings[0]}" if self.warnings else ""
            raise MediaError(
                "too-short",
                f"{self._name}: no second of it has all that the model takes{why}; leave it out.",
            )
        return _joined(self._samples), torch.cat(self._values)


class Answering:
    """Answers for a recording, whose pieces come one by one.

    Args:
        model: with whose specs the pieces are made.
        name: of the recording.
        windows: what is to be answered for.
        workers: threads that prepare images.
        correction: of the lag of its audio, which the pieces were made with.
    """

    def __init__(
        self,
        model: "Model",
        name: str,
        windows: Windows,
        workers: int = 0,
        correction: Correction | None = None,
    ) -> None:
        self._model, self._name, self._windows = model, name, windows
        self._correction = correction
        self._computed = Computation(model, name, model.runtime, workers)

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        self._computed.add(piece)

    def result(self) -> Prediction:
        """Return the answers.

        Raises:
            MediaError: the recording is too short for an answer.
        """
        model, windows, seconds = self._model, self._windows, self._computed.seconds
        samples, logits = self._computed.result()
        protocol = windows.protocol or model.protocol
        found = answers(probabilities(logits), samples, seconds, model.acoustic, windows, protocol)
        if not len(found.start):
            if found.missing:
                raise self._too_narrow(len(found.missing), protocol)
            raise MediaError(
                "too-short",
                f"{self._name}: {seconds} s that can be classified, and no window of "
                f"{windows.length:g} s of which half lies in them and that has a frame: ask for "
                "shorter windows (--window), or for one answer (--protocol clip).",
            )
        without = self._computed.without
        found = replace(found, probability=model.tempered(found.probability, without))
        found = smoothed(found, windows.smooth)
        times = np.stack([found.start, found.end], 1)
        warnings = (*self._computed.warnings, *(f"{self._name}: {LACKS[m]}." for m in without))
        return Prediction(
            self._name,
            model.classes,
            times,
            found.probability,
            found.missing,
            warnings,
            without,
            self._corrected(),
        )

    def _corrected(self) -> Correction | None:
        """Return the correction; what lacks sound or images is classified as recorded."""
        if self._correction is None or not self._computed.without:
            return self._correction
        return replace(self._correction, seconds=0.0)

    def _too_narrow(self, count: int, protocol: Protocol) -> MediaError:
        spec = self._model.acoustic
        frame = "" if spec is None else f" (a frame is {spec.window / spec.sample_rate:g} s long)"
        centred = ", or for --protocol centred" if protocol == "strict" and spec else ""
        return MediaError(
            "too-short",
            f"{self._name}: none of its {count} windows of {self._windows.length:g} s has anything "
            f"to answer from{frame}: ask for longer windows (--window){centred}.",
        )


def embed_pieces(
    model: "Model", name: str, pieces: Iterable[Piece], workers: int = 0
) -> Embeddings:
    """Return the embeddings of a recording.

    Raises:
        MediaError: as `Computation.result`.
        SettingError: the model's runtime gives no embeddings.
    """
    computed = Computation(model, name, model.runtime.embed, workers)
    for piece in pieces:
        computed.add(piece)
    samples, values = computed.result()
    embeddings = values.float().numpy()
    middle = (samples.time + 0.5) / samples.rate
    if samples.frame is not None and model.acoustic is not None:
        middle = centre_sample(samples.frame, model.acoustic) / model.acoustic.sample_rate
    return Embeddings(embeddings.mean(0), embeddings, (1000 * middle).astype(np.float64))


def probabilities(logits: Tensor) -> NDArray[np.float64]:
    """Return the softmax of logits, in float64 as evaluation computes it."""
    values: NDArray[np.float64] = torch.softmax(logits.double(), 1).cpu().numpy()
    return values


def _numbered(samples: Samples, first: int) -> Samples:
    """Return samples whose frames are numbered as in the recording."""
    return samples if samples.frame is None else replace(samples, frame=samples.frame + first)


def _joined(parts: list[Samples]) -> Samples:
    """Return the samples of several pieces; records of images are of their pieces and go."""
    frames = [part.frame for part in parts if part.frame is not None]
    names = ("scene", "clip", "time", "strict")
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    frame = np.concatenate(frames) if frames else None
    scene, clip, time, strict = arrays
    return Samples(frame, None, scene, clip, time, strict, parts[0].rate)
