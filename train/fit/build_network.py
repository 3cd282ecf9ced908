"""From the settings of a run to its network."""

import json
from pathlib import Path
from typing import Protocol

from torch import nn

from avsc.manifests.errors import AvscError
from avsc.train.fit.recovery import best_file
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import Record
from avsc.train.model import baseline
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.classifier import SceneClassifier
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder, visual_encoder
from avsc.train.model.weights import WORDS, starting_weights
from avsc.train.systems import Branch


def build_network(record: Record, visual: VisualEncoder | None) -> Network:
    """Return a run's network with its first weights, which depend on the seed alone.

    What was given to the run, other than the visual encoder, is still to be loaded.

    Args:
        record: what the run is made from.
        visual: the visual encoder; None where vectors are read, or no images.
    """
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
        if system.visual is not None and record.vector is not None:
            visual_branch, n_visual = _of_vectors(system.visual, record.vector, settings.dropout)
        classifier = _classifier(system.classifier, n_acoustic + n_visual, record)
    return Network(
        acoustic,
        visual_branch,
        classifier,
        frozen_visual=system.visual_frozen,
        frozen_acoustic=system.acoustic_frozen,
        low_precision=system.visual_frozen,  # what is trained with audio computes in float32
    )


def _of_vectors(branch: Branch, features: int, dropout: float) -> tuple[nn.Module, int]:
    """Return what encodes vectors, and the values of what it gives."""
    if branch.reads == "vectors" and branch.start is not None:
        return baseline.DenseEncoder(features, dropout), baseline.EMBEDDING
    return nn.Identity(), features


def _classifier(kind: str, inputs: int, record: Record) -> nn.Module:
    classes, dropout = len(record.store.classes), record.settings.dropout
    if kind == "sub-network":
        return baseline.SubNetworkHead(inputs, classes, dropout)
    if kind == "late":
        return baseline.LateLayers(inputs, classes)
    return SceneClassifier(inputs, classes, dropout)


class VisualSettings(Protocol):
    """The settings that a visual encoder is made from."""

    @property
    def backbone(self) -> str: ...  # noqa: D102
    @property
    def visual_weights(self) -> str: ...  # noqa: D102
    @property
    def image_size(self) -> int | None: ...  # noqa: D102
    @property
    def view(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def other_file(settings: VisualSettings, former: VisualSettings) -> bool:
    """Whether two settings name first weights by two paths; what is in them, digests tell."""
    names = {settings.visual_weights, former.visual_weights}
    return len(names) == 2 and names.isdisjoint(WORDS)


def first_visual(settings: VisualSettings) -> VisualEncoder:
    """Return the visual encoder that a new run starts from.

    Raises:
        AvscError: there is no such model, or its weights cannot be had.
    """
    weights = settings.visual_weights
    folder = RunFolder(Path(weights))
    if weights in WORDS or not folder.settings.is_file():
        return _visual(settings, weights)
    digest, trained_on = _run_of_pictures(folder)
    file = best_file(folder, digest)
    found = _visual(settings, str(file))
    if file == folder.best or trained_on is None:
        return found
    # The other checkpoints do not say what they were trained on.
    return VisualEncoder(found.model, found.image_input, f"{trained_on}, {found.origin}")


def _run_of_pictures(folder: RunFolder) -> tuple[str, str | None]:
    """Return the digest of a run, and the name of the pictures if it was trained on such."""
    try:
        values = json.loads(folder.settings.read_bytes())
        name = values["pictures"]["name"] if "pictures" in values else None
        return str(values["digest"]), name
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise AvscError(
            f"{folder.settings}: not the settings of a run ({fault}). Name {folder.best} itself, "
            "or other weights, by --visual-weights."
        ) from fault


def kept_visual(settings: VisualSettings, folder: RunFolder, digest: str) -> VisualEncoder:
    """Return the visual encoder that a run began with, from its folder; nothing is downloaded.

    Raises:
        AvscError: visual.pt is missing, damaged, or not what settings.json says.
    """
    visual = _visual(settings, str(folder.visual))
    if visual.digest != digest:
        raise AvscError(
            f"{folder.visual}: found weights with digest {visual.digest[:12]}, wanted "
            f"{digest[:12]}, with which the run began. Put the file back, or begin anew with "
            "--no-resume."
        )
    return visual


def _visual(settings: VisualSettings, weights: str) -> VisualEncoder:
    return visual_encoder(
        settings.backbone, weights, settings.image_size, view=settings.view, seed=settings.seed
    )
