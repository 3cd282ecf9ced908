"""Steps in float64 by one process, or by several that write what they gave.

Several run ``python together.py FILE``, each with RANK and WORLD_SIZE set; the first writes it.
"""

import sys
from unittest import mock

import every_system
import numpy as np
import timm
import torch
from torch import distributed

from avsc.train.data.batch import Batch
from avsc.train.data.mixup import Mixup, mix
from avsc.train.data.samples import share
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import joined
from avsc.train.fit.losses import Distillation, LabelLoss, SceneLoss, Step
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.update import Update
from avsc.train.fit.weight_average import WeightAverage
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.classifiers import SceneClassifier, UnimodalHeads
from avsc.train.model.fusion_norm import FusionNorm
from avsc.train.model.missing import MissingEmbeddings
from avsc.train.model.network import Network
from avsc.train.model.recompute import recompute_activations
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import starting_weights

BATCH, STEPS, CLASSES = 12, 6, 4
CASES = [(False, 1), (True, 1), (False, 2), (True, 1, True), (False, 2, True)]
"""Whether the image model is frozen, slices of a batch, and whether there is all that is beyond the
paper: unimodal heads, samples that lack a modality (not equally many in each slice), a teacher,
embeddings normalised over the batch, mixed samples, averaged weights; of a trained image model also
activations that are computed again."""


def network(frozen, robust=False):
    """Return all layers that see a batch: timm's normalisation with activation, dropout, ours."""
    heads = missing = norm = None
    with starting_weights(0):
        model = timm.create_model("test_efficientnet", num_classes=0)
        visual = VisualEncoder(model, None, "random")
        acoustic = AcousticEncoder(2, 256)
        acoustic.set_normalisation(torch.zeros(2, 256), torch.ones(2, 256))
        classifier = SceneClassifier(1024 + visual.features, CLASSES)
        if robust:
            heads = UnimodalHeads(*(SceneClassifier(n, CLASSES) for n in (1024, visual.features)))
            missing = MissingEmbeddings(1024, visual.features)
            norm = FusionNorm("batch", 1024, visual.features)
    kwargs = {"missing": missing, "heads": heads, "fusion_norm": norm}
    return Network(acoustic, visual, classifier, frozen_visual=frozen, **kwargs).double()


def train(processes, frozen, accumulate, robust=False):
    """Return the losses of the whole batch, the last state, and the broadcasts."""
    net, loss, average = network(frozen, robust).train(), SceneLoss(), None
    if robust:
        average = WeightAverage(net, 0.9)
        if not frozen:
            recompute_activations(net.visual.model)
            net.recomputes = True
        teacher = network(frozen).eval()
        loss = SceneLoss(0.5, Distillation(teacher, ("audio", "visual"), 2.0, 0.7))
    optimiser = torch.optim.SGD(net.trainable_parameters(), lr=0.05, momentum=0.9)
    computing = Computing(torch.device("cpu"), BATCH, 0, accumulate)
    session = Session(computing, Console(), StopRequest(), processes)
    update = Update(Step(net, loss), net, optimiser, session)
    update.step = processes.parallel(net, update.step)
    draw = np.random.default_rng(0)
    i, n = processes.shard
    parts = [share(BATCH, (k * n + i, n * accumulate)) for k in range(accumulate)]
    losses, broadcasts = [], 0
    for number in range(STEPS):
        sound = torch.from_numpy(draw.normal(size=(BATCH, 2, 256)))
        sight = torch.from_numpy(draw.normal(size=(BATCH, 3, 32, 32)))
        scene = torch.from_numpy(draw.integers(0, CLASSES, BATCH))
        missing = torch.from_numpy(draw.random((BATCH, 2)) < [[0.2, 0.6]])
        missing[:, 1] &= ~missing[:, 0]
        if robust:
            weight = torch.from_numpy(draw.random((BATCH, 2)))
            scene = Mixup(1.0, False, CLASSES).labels(scene, weight, ~missing)
            sound, sight = mix(sound, weight[:, 0]), mix(sight, weight[:, 1])
        slices = [
            Batch(sound[own], sight[own], scene[own], scene[own], None,
                  missing[own] if robust else None)
            for own in parts
        ]  # fmt: skip
        with mock.patch.object(distributed, "_broadcast_coalesced") as broadcast:
            losses.append(update(slices, number).item())
        if average is not None:
            average.update(net, number)
        broadcasts += broadcast.call_count
    averaged = {} if average is None else average.network.state_dict()
    return losses, [net.state_dict(), averaged], broadcasts


def train_system(processes, name):
    """Return the losses and the last state of a system as a run builds it."""
    net = every_system.make(name).double()
    loss = LabelLoss() if name == "places" else SceneLoss()
    optimiser = torch.optim.SGD(net.trainable_parameters(), lr=0.05, momentum=0.9)
    session = Session(Computing(torch.device("cpu"), BATCH, 0), Console(), StopRequest(), processes)
    update = Update(Step(net, loss), net, optimiser, session)
    update.step = processes.parallel(net, update.step)
    own, losses = share(BATCH, processes.shard), []
    for number in range(2):
        whole = every_system.batch(name, BATCH, seed=number, dtype=torch.float64)
        rows = [None if v is None else v[own] for v in (whole.acoustic, whole.images)]
        losses.append(update([Batch(*rows, whole.scene[own], whole.index[own])], number).item())
    return losses, net.state_dict(), 0


def compute(processes):
    """Train in each of the `CASES`; gather what was shared out."""
    torch.set_num_threads(1)
    values = np.arange(10.0).reshape(5, 2)
    return {
        **{name: train_system(processes, name) for name in every_system.NAMES},
        **{str(case): train(processes, *case) for case in CASES},
        "gathered": torch.from_numpy(processes.gather(values[processes.share(5)], 5)),
        "highest": processes.highest(3 + processes.rank),
    }


def main():
    """Compute by all processes."""
    with joined() as processes:
        found = compute(processes)
        if processes.main:
            torch.save(found, sys.argv[1])


if __name__ == "__main__":
    main()
