"""From a run's record to its network: layers, initial weights, normalisation of the inputs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from avsc.manifests.errors import AvscError
from avsc.train.fit.run_record import ImagesRecord, RunRecord, SceneRecord
from avsc.train.model import baseline
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier, UnimodalHeads
from avsc.train.model.fusion_norm import FusionNorm
from avsc.train.model.missing import MissingEmbeddings
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import starting_weights
from avsc.train.systems import Branch

PORTION = 4096
"""Frames read at a time: 19 MB in float64 at 2 channels and 290 bins."""


def build_network(record: RunRecord, visual: VisualEncoder | None) -> Network:
    """Return a run's network with its initial weights, which depend on the seed alone.

    Encoders of other runs, except a visual encoder, and normalisation are still to be loaded.

    Args:
        visual: the visual encoder; None where vectors are read, or no images.
    """
    if isinstance(record, ImagesRecord):
        assert visual is not None
        with starting_weights(record.settings.seed):
            classifier = nn.Linear(visual.features, len(record.classes))
        visual.keeps_statistics = record.settings.batch_norm == "kept"
        if stages := record.settings.visual_stages:
            for parameter in visual.first_stages(stages):
                parameter.requires_grad_(False)
        low_precision = record.settings.precision == "auto"
        return Network(None, visual, classifier, frozen_visual=False, low_precision=low_precision)
    assert isinstance(record, SceneRecord)
    return _scene_network(record, visual)


def _scene_network(record: SceneRecord, visual: VisualEncoder | None) -> Network:
    settings, system = record.settings, record.settings.chosen(record.system)
    with starting_weights(settings.seed):
        acoustic: nn.Module | None = None
        n_acoustic = 0
        if system.audio is not None and record.frame is not None:
            if system.audio.reads == "raw":
                channels, bins = record.frame
                acoustic = AcousticEncoder(channels, bins, settings.concat, settings.dropout)
                n_acoustic = EMBEDDING
            else:
                acoustic, n_acoustic = _of_vectors(system.audio, record.frame[0], settings.dropout)
        visual_branch: nn.Module | None = visual
        n_visual = 0 if visual is None else visual.features
        if visual is not None and settings.visual_stages and not system.visual_frozen:
            for parameter in visual.first_stages(settings.visual_stages):
                parameter.requires_grad_(False)
        if system.visual is not None and record.vector is not None:
            visual_branch, n_visual = _of_vectors(system.visual, record.vector, settings.dropout)
        classifier = _classifier(system.classifier, n_acoustic + n_visual, record)
        # Last, so that all else starts as it does without them.
        heads = None
        if settings.unimodal_heads and len(system.branches) > 1:
            heads = UnimodalHeads(
                *(_classifier("scene", inputs, record) for inputs in (n_acoustic, n_visual))
            )
    drops = settings.dropout_of_modalities(system) is not None
    norm = None
    if settings.fusion_norm != "none" and len(system.branches) > 1:
        norm = FusionNorm(settings.fusion_norm, n_acoustic, n_visual)
    return Network(
        acoustic,
        visual_branch,
        classifier,
        missing=MissingEmbeddings(n_acoustic, n_visual) if drops else None,
        fusion_norm=norm,
        heads=heads,
        frozen_visual=system.visual_frozen,
        frozen_acoustic=system.acoustic_frozen,
        low_precision=settings.precision == "auto",
    )


def _of_vectors(branch: Branch, features: int, dropout: float) -> tuple[nn.Module, int]:
    """Return the encoder of vectors and the values of its output."""
    if branch.reads == "vectors" and branch.start is not None:
        return baseline.DenseEncoder(features, dropout), baseline.EMBEDDING
    return nn.Identity(), features


def _classifier(kind: str, inputs: int, record: SceneRecord) -> nn.Module:
    classes, dropout = len(record.classes), record.settings.dropout
    if kind == "sub-network":
        return baseline.SubNetworkHead(inputs, classes, dropout)
    if kind == "late":
        return baseline.LateLayers(inputs, classes)
    return SceneClassifier(inputs, classes, dropout)


def normalise(
    encoder: AcousticEncoder | baseline.DenseEncoder,
    data: NDArray[np.float32],
    rows: NDArray[np.int64],
) -> None:
    """Let an encoder normalise its inputs by the mean and standard deviation of some of them.

    Args:
        encoder: of frames or vectors.
        data: float32 [frames, channels, bins] or [vectors, features].
        rows: which of them; each counts once.

    Raises:
        AvscError: there are none, or one is not finite.
    """
    total = moments(data, np.unique(rows))
    encoder.set_normalisation(
        torch.from_numpy(total.mean).float(), torch.from_numpy(total.std).float()
    )


@dataclass(frozen=True)
class Moments:
    """Moments of some frames, which merge without loss where the mean is large beside the std.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979).

    Attributes:
        count: number of frames.
        mean: float64 [channels, bins].
        squares: sum of the squared differences from the mean, float64 [channels, bins].
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, frames: NDArray[np.float32]) -> "Moments":
        """Return the moments of frames [n, channels, bins], n at least 1."""
        values = frames.astype(np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, np.square(values - mean).sum(axis=0))

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of these frames and the other's together."""
        count = self.count + other.count
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = np.square(apart) * (self.count * other.count / count)
        return Moments(count, mean, self.squares + other.squares + between)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the frames themselves (divided by n), float64 [channels, bins]."""
        return np.sqrt(self.squares / self.count)


def moments(acoustic: NDArray[np.float32], rows: NDArray[np.int64]) -> Moments:
    """Return the moments of some rows of the acoustic matrix, a portion at a time.

    Args:
        acoustic: frames of the whole store, float32 [frames, channels, bins].
        rows: which of them, each counted as often as it is named.

    Raises:
        AvscError: there are no rows, or a frame is not finite.
    """
    total: Moments | None = None
    for start in range(0, len(rows), PORTION):
        frames = acoustic[rows[start : start + PORTION]]
        if not np.isfinite(frames).all():
            raise AvscError(
                "a training frame is not finite. Run `avsc-prep verify` on the store; if it finds "
                "no damage, extract the store again."
            )
        part = Moments.of(frames)
        total = part if total is None else total.merge(part)
    if total is None:
        raise AvscError("there are no training frames to compute mean and standard deviation of.")
    return total
