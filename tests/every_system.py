"""The network of every system, as a run builds it, and batches for it, without a store."""

from pathlib import Path
from types import SimpleNamespace

import torch

from avsc.train.data.batch import Batch
from avsc.train.fit.build_network import build_network
from avsc.train.fit.run_record import ImagesRecord, SceneRecord
from avsc.train.model.visual import visual_encoder
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

NAMES = (*SYSTEMS, "places")
CLASSES = ("bus", "park", "tram")
FRAME, EMBEDDING = (2, 256), 48
SHAPE = {"raw": FRAME, "embeddings": (EMBEDDING,), "vectors": (EMBEDDING,)}


def make(name, backbone="test_efficientnet.r160_in1k", size=32, **changes):
    """Return the network of a system, in training mode."""
    classes = SimpleNamespace(classes=CLASSES)
    if name == "places":
        settings = PlacesSettings(data=Path("data"), backbone=backbone)
        record = ImagesRecord(settings, classes, None, {})
        return build_network(record, visual_encoder(backbone, "random", size)).train()
    system = SYSTEMS[name]
    named = {}
    for encoder, branch in (("acoustic", system.audio), ("visual", system.visual)):
        if branch is not None and branch.start == "run":
            named[f"{encoder}_run"] = Path("run")
        if branch is not None and branch.reads == "vectors":
            named[f"{encoder}_embeddings"] = Path("vectors.h5")
    settings = Settings(backbone=backbone, image_size=size, **named, **changes)
    audio, visual = system.audio, system.visual
    frame = None if audio is None else SHAPE[audio.reads]
    images = visual is not None and visual.reads == "raw"
    vector = None if visual is None or images else EMBEDDING
    record = SceneRecord(system, settings, classes, "", frame, vector, None, None, {}, {})
    encoder = visual_encoder(backbone, "random", size) if images else None
    network = build_network(record, encoder).train()
    for each in (network.acoustic, network.visual):
        if hasattr(each, "set_normalisation"):
            each.set_normalisation(torch.zeros_like(each.mean), torch.ones_like(each.mean))
    return network


def batch(name, count, size=32, seed=0, dtype=torch.float32):
    """Return a batch for a system's network, on the CPU."""
    draw = torch.Generator().manual_seed(seed)
    audio, visual = (None, None)
    if name != "places":
        audio, visual = SYSTEMS[name].audio, SYSTEMS[name].visual
    acoustic = images = None
    if audio is not None:
        acoustic = torch.randn(count, *SHAPE[audio.reads], generator=draw, dtype=dtype)
    if name == "places" or (visual is not None and visual.reads == "raw"):
        images = torch.randn(count, 3, size, size, generator=draw, dtype=dtype)
    elif visual is not None:
        images = torch.randn(count, EMBEDDING, generator=draw, dtype=dtype)
    scene = torch.randint(len(CLASSES), (count,), generator=draw)
    return Batch(acoustic, images, scene, scene)
