"""From settings to a network with its first weights."""

from avsc.features.store.reader import Store
from avsc.train.config import Settings
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.classifier import SceneClassifier
from avsc.train.model.network import Network
from avsc.train.model.visual import visual_encoder
from avsc.train.model.weights import starting_weights
from avsc.train.systems import SYSTEMS


def build_network(settings: Settings, store: Store, weights: str | None = None) -> Network:
    """Return a network for a store; the same settings give the same first weights.

    Args:
        settings: of the run.
        store: whose frames and classes it is for.
        weights: first weights of the visual encoder, if other than the settings'.

    Raises:
        AvscError: the visual encoder cannot be had.
    """
    system = SYSTEMS[settings.system]
    visual = None
    if system.pictures:
        visual = visual_encoder(
            settings.visual_backbone,
            weights or settings.visual_weights,
            settings.image_size or None,
            view=settings.image_view,
            seed=settings.seed,
        )
    with starting_weights(settings.seed):
        acoustic = None
        if system.sound:
            channels, bins = store.records(settings.feature).item_shape
            acoustic = AcousticEncoder(channels, bins, settings.concat, settings.dropout)
        inputs = (EMBEDDING if acoustic else 0) + (visual.features if visual else 0)
        classifier = SceneClassifier(inputs, len(store.classes), settings.dropout)
    return Network(acoustic, visual, classifier, low_precision=True)
