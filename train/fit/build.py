"""From the settings of a run to its network."""

from typing import Protocol

from avsc.manifests.errors import AvscError
from avsc.train.config import Settings
from avsc.train.fit.run_folder import RunFolder
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.classifier import SceneClassifier
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder, visual_encoder
from avsc.train.model.weights import starting_weights
from avsc.train.systems import System


def build_network(
    system: System,
    settings: Settings,
    frame: tuple[int, int] | None,
    visual: VisualEncoder | None,
    classes: int,
) -> Network:
    """Return a network with its first weights, which depend on the seed alone.

    Args:
        system: which encoders are frozen.
        settings: of the run.
        frame: channels and bins of an acoustic frame; None without sound.
        visual: the visual encoder; None without pictures.
        classes: number of scenes.
    """
    with starting_weights(settings.seed):
        acoustic = None
        if frame is not None:
            acoustic = AcousticEncoder(*frame, settings.concat, settings.dropout)
        inputs = (EMBEDDING if acoustic else 0) + (visual.features if visual else 0)
        classifier = SceneClassifier(inputs, classes, settings.dropout)
    return Network(
        acoustic,
        visual,
        classifier,
        frozen_visual=system.visual_frozen,
        frozen_acoustic=system.acoustic_frozen,
        low_precision=system.visual_frozen,  # what is trained with sound computes in float32
    )


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


def first_visual(settings: VisualSettings) -> VisualEncoder:
    """Return the visual encoder that a new run starts from.

    Raises:
        AvscError: there is no such model, or its weights cannot be had.
    """
    return _visual(settings, settings.visual_weights)


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
