"""Encoders and vector files that a run starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from avsc.features.specs import AcousticEmbeddingSpec, VisualEmbeddingSpec
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.data.vector_file import VectorFile
from avsc.train.fit.build_network import normalise
from avsc.train.fit.refs import EncoderRef
from avsc.train.fit.run_folder import in_same_fold
from avsc.train.fit.run_record import RunRecord
from avsc.train.fit.trained_run import (
    Trained,
    check_run_of_images,
    first_visual,
    restore,
)
from avsc.train.model import acoustic, baseline
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import WORDS, digest
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import ENCODER, Branch, Modality, System, trained_alone

ACOUSTIC, VISUAL = AcousticEmbeddingSpec.product, VisualEmbeddingSpec.product
S = TypeVar("S", Settings, PlacesSettings)


@dataclass(frozen=True)
class DonorEncoder:
    """An encoder from another run, with the weights of its best epoch.

    Attributes:
        encoder: on the CPU, in evaluation mode.
        ref: for the record of the run that starts from it.
    """

    run: Trained
    encoder: nn.Module
    ref: EncoderRef


@dataclass(frozen=True)
class EncoderSet:
    """The encoders and vector files that a run starts from.

    Attributes:
        visual: the visual encoder; None where there is none.
        image_model: the same, if it is an image model and loaded.
        donors: encoders from other runs.
        vectors: vector files, by the product that they take the place of.
    """

    visual: EncoderRef | None
    image_model: VisualEncoder | None
    donors: Mapping[Modality, DonorEncoder] = field(default_factory=dict)
    vectors: Mapping[str, VectorFile] = field(default_factory=dict)

    @property
    def acoustic(self) -> EncoderRef | None:
        """The acoustic encoder; None where the run trains one from scratch, or has none."""
        return self.donors["audio"].ref if "audio" in self.donors else None


def resolve_encoders(
    system: System,
    settings: Settings,
    store: Store,
    donors: Mapping[Modality, DonorEncoder],
    previous: RunRecord | None,
) -> EncoderSet:
    """Find the encoders and vector files that a run on a store starts from.

    Args:
        system: with its branches as the settings have them.
        store: the store of the recordings.
        donors: from `load_donors`.
        previous: of the run, if it is resumed.

    Raises:
        AvscError: weights are not available, or a vector file does not fit the store.
    """
    chosen = EncoderSet(None, None)
    if "visual" in donors:
        encoder, ref = donors["visual"].encoder, donors["visual"].ref
        model = encoder if isinstance(encoder, VisualEncoder) else None
        chosen = EncoderSet(_known(ref, previous), model)
    elif system.visual is not None and system.visual.start == "weights":
        chosen = resolve_image_model(settings, previous)
    files = {
        ACOUSTIC: (system.audio, settings.acoustic_embeddings),
        VISUAL: (system.visual, settings.visual_embeddings),
    }
    vectors = {
        product: VectorFile.open(file, store)
        for product, (branch, file) in files.items()
        if branch is not None and branch.reads == "vectors" and file is not None
    }
    return replace(chosen, donors=donors, vectors=vectors)


def resolve_image_model(
    settings: Settings | PlacesSettings, previous: RunRecord | None
) -> EncoderSet:
    """Find the image model that a run starts from.

    It is loaded only where it must be: a resumed run keeps its own, and compares another only where
    the settings name other weights by their path.

    Raises:
        AvscError: there is no such model, or its weights are not available.
        SettingError: a new run names a run on scenes, which `check_donor` would have to look at.
    """
    if previous is not None and not _other_file(settings, previous):
        return EncoderSet(previous.visual, None)
    if previous is None:
        check_run_of_images(settings.visual_weights)
    model = first_visual(settings)
    return EncoderSet(
        _known(EncoderRef(model.origin, model.digest, model.features), previous), model
    )


def _known(ref: EncoderRef, previous: RunRecord | None) -> EncoderRef:
    """Return the reference that a resumed run has to the same weights, whatever their path."""
    known = None if previous is None else previous.visual
    return known if known is not None and known.digest == ref.digest else ref


def _other_file(settings: Settings | PlacesSettings, previous: RunRecord) -> bool:
    """Whether weights are named by another path; whether they are the same, digests tell."""
    names = {settings.visual_weights, previous.settings.visual_weights}
    return len(names) == 2 and names.isdisjoint(WORDS)


def settings_to_record(settings: S, previous: RunRecord | None) -> S:
    """Return settings for a run's record, in which a resumed run's weights keep their first path.

    They are compared by their digest.
    """
    if previous is None or not _other_file(settings, previous):
        return settings
    return replace(settings, visual_weights=previous.settings.visual_weights)


def load_donors(
    system: System, settings: Settings
) -> tuple[Settings, dict[Modality, DonorEncoder]]:
    """Load the encoders of the runs that settings name, for the inputs that a system has.

    Returns:
        The settings, in which what belongs to such an encoder (the acoustic feature, how images
        are shown) is its run's, and the encoders.

    Raises:
        AvscError: a run cannot be restored, or has no such encoder.
    """
    donors: dict[Modality, DonorEncoder] = {}
    for modality, branch in system.branches.items():
        path: Path | None = getattr(settings, f"{ENCODER[modality]}_run")
        if path is None:
            continue
        run = restore(in_same_fold(path, settings.fold_number))
        donors[modality] = donor_encoder(run, modality)
        _check_kind(donors[modality], branch, modality)
        theirs = donors[modality].run.record.settings
        names = [f.name for f in fields(Settings) if f.metadata.get("belongs_to") == modality]
        file = f"{ENCODER[modality]}_embeddings"
        kept = {file} if getattr(settings, file) is not None else set()
        changed = {name: getattr(theirs, name) for name in names if name not in kept}
        settings = replace(settings, **changed)
    return settings, donors


def donor_encoder(run: Trained, modality: Modality) -> DonorEncoder:
    """Return an encoder of a run.

    Raises:
        SettingError: the run has none of its own.
    """
    path, record = run.folder.path, run.record
    encoder = getattr(run.network, ENCODER[modality])
    origin = f"run {path} ({record.system.name}, epoch {run.epoch}, digest {record.digest[:12]})"
    if isinstance(encoder, VisualEncoder):
        encoder = VisualEncoder(encoder.model, encoder.image_input, origin)
        return DonorEncoder(run, encoder, EncoderRef(origin, encoder.digest, encoder.features))
    if isinstance(encoder, acoustic.AcousticEncoder):
        return DonorEncoder(run, encoder, EncoderRef(origin, digest(encoder), acoustic.EMBEDDING))
    if isinstance(encoder, baseline.DenseEncoder):
        return DonorEncoder(run, encoder, EncoderRef(origin, digest(encoder), baseline.EMBEDDING))
    raise SettingError(
        f"{path}: a run of {record.system.name}, which has no {ENCODER[modality]} encoder of its "
        f"own. Name a run that has one, such as a run of "
        f"avsc-fit {trained_alone(modality, vectors=False)}."
    )


def _check_kind(donor: DonorEncoder, branch: Branch, modality: Modality) -> None:
    """Raise a `SettingError` unless an encoder takes what a branch reads."""
    wanted = branch.reads == "vectors"
    if isinstance(donor.encoder, baseline.DenseEncoder) != wanted:
        inputs = "frames or images" if wanted else "vectors from elsewhere"
        raise SettingError(
            f"{donor.run.folder.path}: a run of {donor.run.record.system.name}, whose "
            f"{ENCODER[modality]} encoder is for {inputs}. Name a run of "
            f"`avsc-fit {trained_alone(modality, vectors=wanted)}`."
        )


def initialise(network: Network, encoders: EncoderSet, source: Source, training: Samples) -> None:
    """Load the donors' weights into a new network, and normalise what starts from scratch.

    Args:
        source: what the samples refer to.
        training: the run's training samples, whose mean and standard deviation are taken.

    Raises:
        AvscError: a donor has other shapes, or the samples cannot be normalised.
    """
    branches: tuple[
        tuple[Modality, nn.Module | None, NDArray[np.float32] | None, NDArray[np.int64] | None], ...
    ] = (
        ("audio", network.acoustic, source.acoustic, training.frame),
        ("visual", network.visual, source.visual, training.image),
    )
    for modality, encoder, data, rows in branches:
        if not isinstance(encoder, acoustic.AcousticEncoder | baseline.DenseEncoder):
            continue
        if modality in encoders.donors:
            _load(encoder, encoders.donors[modality])
        else:
            assert data is not None and rows is not None
            normalise(encoder, data, rows)


def _load(encoder: nn.Module, donor: DonorEncoder) -> None:
    """Load a donor's weights into an encoder of the same shapes."""
    state, wanted = donor.encoder.state_dict(), encoder.state_dict()
    for name, value in wanted.items():
        if name not in state or state[name].shape != value.shape:
            shape = tuple(state[name].shape) if name in state else "nothing"
            raise SettingError(
                f"{donor.run.folder.path}: its encoder's {name} has shape {shape}, wanted "
                f"{tuple(value.shape)}: it was trained on vectors or frames of another size. Name "
                "a run that was trained on inputs of this size."
            )
    encoder.load_state_dict(state)
