"""What a run is given before it reads anything: encoders, and files of vectors."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from avsc.features.specs import AcousticEmbeddingSpec, VisualEmbeddingSpec
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.data.vectors import Vectors
from avsc.train.fit.build_network import first_visual, other_file
from avsc.train.fit.donors import Taken
from avsc.train.fit.normalise import moments
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import EncoderMark, Record
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.baseline import DenseEncoder
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder
from avsc.train.settings import Settings
from avsc.train.systems import Modality, System

Branch = tuple[
    Modality, nn.Module | None, NDArray[np.float32] | None, NDArray[np.int64] | None
]  # of a network: its encoder, and the data and their rows that it learns from
ACOUSTIC, VISUAL = AcousticEmbeddingSpec.product, VisualEmbeddingSpec.product


@dataclass(frozen=True)
class Given:
    """What a run is given before it reads anything.

    Attributes:
        taken: encoders out of other runs.
        visual: the image model, if it is loaded already.
        vectors: files of vectors, by the product that they take the place of.
    """

    taken: dict[Modality, Taken]
    visual: VisualEncoder | None
    vectors: dict[str, Vectors]

    @property
    def acoustic_mark(self) -> EncoderMark | None:
        """What the records say of the acoustic encoder; None where none was given."""
        return self.taken["audio"].mark if "audio" in self.taken else None

    @property
    def visual_mark(self) -> EncoderMark | None:
        """What the records say of the visual encoder; None where none is loaded."""
        if "visual" in self.taken:
            return self.taken["visual"].mark
        if self.visual is None:
            return None
        return EncoderMark(self.visual.origin, self.visual.digest, self.visual.features)


def find_given(
    system: System,
    settings: Settings,
    store: Store,
    taken: dict[Modality, Taken],
    former: Record | None,
) -> Given:
    """Find the encoders and vectors that a run is given.

    Args:
        system: with its branches as the settings have them.
        settings: of the run.
        store: the store of the recordings.
        taken: encoders out of the runs that the settings name.
        former: the run's record if it goes on; its image model is then loaded here only if its
            file is named by another path.

    Raises:
        AvscError: weights cannot be had, or a file of vectors does not fit the store.
    """
    visual = None
    if "visual" in taken:
        found = taken["visual"].encoder
        visual = found if isinstance(found, VisualEncoder) else None
    elif (
        system.visual is not None
        and system.visual.start == "weights"
        and (former is None or other_file(settings, former.settings))
    ):
        visual = first_visual(settings)
    files = {
        ACOUSTIC: (system.audio, settings.acoustic_embeddings),
        VISUAL: (system.visual, settings.visual_embeddings),
    }
    vectors = {
        product: Vectors.open(file, store)
        for product, (branch, file) in files.items()
        if branch is not None and branch.reads == "vectors" and file is not None
    }
    return Given(taken, visual, vectors)


def shapes(
    system: System, settings: Settings, store: Store, given: Given, former: Record | None
) -> tuple[tuple[int, ...] | None, int | None]:
    """Return the shape of an acoustic input and the values of a vector in a picture's place."""
    frame: tuple[int, ...] | None = None
    if system.audio is not None and system.audio.reads == "raw":
        frame = store.records(settings.feature).item_shape
    elif system.audio is not None and system.audio.reads == "embeddings":
        frame = (given.taken["audio"].mark.features,)
    elif system.audio is not None:
        frame = (given.vectors[ACOUSTIC].features,)
    vector = None
    if system.visual is not None and system.visual.reads == "vectors":
        vector = given.vectors[VISUAL].features
    elif system.visual is not None and system.visual.reads == "embeddings":
        mark = given.visual_mark or (former and former.visual)
        vector = mark.features if mark else None
    return frame, vector


def begin(network: Network, given: Given, source: Source, training: Samples) -> None:
    """Give a new network the weights that were taken, and what is fresh its normalisation.

    Args:
        network: of the run.
        given: what the run is given.
        source: what the samples refer to.
        training: the run's training samples, whose mean and deviation are taken.

    Raises:
        AvscError: a taken encoder has other shapes, or the samples cannot be normalised.
    """
    branches: tuple[Branch, ...] = (
        ("audio", network.acoustic, source.acoustic, training.frame),
        ("visual", network.visual, source.visual, training.image),
    )
    for modality, encoder, data, rows in branches:
        if not isinstance(encoder, AcousticEncoder | DenseEncoder):
            continue
        if modality in given.taken:
            _load(encoder, given.taken[modality].encoder, given.taken[modality].run.folder)
            continue
        assert data is not None and rows is not None
        found = moments(data, np.unique(rows))
        encoder.set_normalisation(
            torch.from_numpy(found.mean).float(), torch.from_numpy(found.deviation).float()
        )


def _load(encoder: nn.Module, taken: nn.Module, run: RunFolder) -> None:
    """Load an encoder's weights into another of the same shapes."""
    found, wanted = taken.state_dict(), encoder.state_dict()
    for name, value in wanted.items():
        if name not in found or found[name].shape != value.shape:
            there = tuple(found[name].shape) if name in found else "nothing"
            raise SettingError(
                f"{run.path}: its encoder's {name} has shape {there}, wanted "
                f"{tuple(value.shape)}: it was trained on vectors or frames of another size. Name "
                "a run that was trained on the like."
            )
    encoder.load_state_dict(found)
