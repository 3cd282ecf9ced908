"""What a network is made of, in JSON's types, so that it can be built without its run."""

from collections.abc import Mapping
from typing import Any

import timm

from avsc.train.data.augment import ImageInput
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier
from avsc.train.model.fusion_norm import FusionNorm
from avsc.train.model.missing import MissingEmbeddings
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder


def describe_network(network: Network) -> dict[str, Any]:
    """Return what `build_described` makes the network of, without its weights, in JSON's types."""
    acoustic, visual = network.acoustic, network.visual
    assert acoustic is None or isinstance(acoustic, AcousticEncoder)
    assert visual is None or isinstance(visual, VisualEncoder)
    values: dict[str, Any] = {
        "acoustic": None,
        "visual": None,
        "low_precision": network.low_precision,
        "fusion_norm": None if network.fusion_norm is None else network.fusion_norm.kind,
        "missing": network.missing is not None,
    }
    if acoustic is not None:
        channels, bins = acoustic.mean.shape
        values["acoustic"] = {"channels": channels, "bins": bins, "concat": acoustic.concat}
    if visual is not None:
        config: Any = visual.model.pretrained_cfg
        values["visual"] = {"architecture": config["architecture"]}
    return values


def build_described(
    values: Mapping[str, Any], classes: int, image_input: ImageInput | None
) -> Network:
    """Return a network in evaluation mode, its weights still to be loaded."""
    acoustic = values["acoustic"] and AcousticEncoder(**values["acoustic"])
    visual, features, norm, missing = None, EMBEDDING if acoustic else 0, None, None
    if values["visual"]:
        assert image_input is not None
        model = timm.create_model(values["visual"]["architecture"], num_classes=0)
        visual = VisualEncoder(model, image_input, "exported")
        features += visual.features
        if kind := values.get("fusion_norm"):  # which folders from before there was one lack
            norm = FusionNorm(kind, EMBEDDING, visual.features)
        if values.get("missing"):
            missing = MissingEmbeddings(EMBEDDING, visual.features)
    network = Network(
        acoustic,
        visual,
        SceneClassifier(features, classes),
        frozen_acoustic=True,
        low_precision=values["low_precision"],
        missing=missing,
        fusion_norm=norm,
    )
    return network.eval()
