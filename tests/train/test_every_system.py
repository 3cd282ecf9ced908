"""Steps and evaluations of every system where no value can be read back: on meta, on a fake GPU."""

from collections import Counter
from dataclasses import fields, replace

import every_system
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from avsc.train.data.mixup import Mixup, mix
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.console import Console
from avsc.train.fit.losses import Distillation, LabelLoss, SceneLoss, Step
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.update import Update
from avsc.train.fit.weight_average import WeightAverage
from avsc.train.model import network as network_module
from avsc.train.model.synced_layers import over_processes

META = torch.device("meta")


def stepper(network, name, device, accumulate=1, loss=None):
    optimiser = torch.optim.SGD(network.trainable_parameters(), lr=0.1, momentum=0.9)
    session = Session(Computing(device, 8, 0, accumulate), Console(), StopRequest())
    loss = loss or (LabelLoss() if name == "places" else SceneLoss())
    return Update(Step(network, loss), network, optimiser, session)


def moved(batch, device):
    """Return a batch whose tensors are on a device; `index` stays, as in training."""
    return replace(
        batch,
        **{
            field.name: value.to(device)
            for field in fields(batch)
            if field.name != "index" and (value := getattr(batch, field.name)) is not None
        },
    )


def checked(network):
    """Return a network whose mean and deviation were looked at, as the first step does."""
    for each in network.modules():
        if hasattr(each, "_normalisation_checked"):
            each._normalisation_checked = True
    return network


@pytest.mark.parametrize("name", every_system.NAMES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_reads_nothing_back_and_mixes_no_devices(name, accumulate):
    network = checked(every_system.make(name)).to(META)
    update = stepper(network, name, META, accumulate)
    part = moved(every_system.batch(name, 8 // accumulate), META)
    for number in range(2):
        loss = update([part] * accumulate, number)
    state = [v for of in update.optimiser.state.values() for v in of.values()]
    assert state
    assert {each.device for each in (*network.parameters(), *state, loss)} == {META}
    with pytest.raises(RuntimeError):  # so that a value read back would be noticed
        loss.item()


BEYOND = {"modality_dropout": 0.5, "fusion_norm": "batch"}


@pytest.mark.parametrize("name", ["joint", "end-to-end", "pipeline", "audio"])
def test_nor_does_a_step_with_the_options_beyond_the_paper(name):
    """Mixed samples that lack a modality, two heads, a teacher, averaged weights."""
    heads = {} if name in ("audio", "end-to-end") else {"unimodal_heads": 0.5}
    network = checked(every_system.make(name, **BEYOND, **heads)).to(META)
    sees = "joint" if name == "audio" else name
    teacher = checked(every_system.make(sees)).to(META).eval().requires_grad_(False)
    teaching = Distillation(teacher, ("audio", "visual"), 2.0, 0.5)
    update = stepper(network, name, META, loss=SceneLoss(0.5 if heads else 0.0, teaching))
    average = WeightAverage(network, 0.9)
    batch = moved(every_system.batch(sees, 8), META)
    if name != "audio":
        batch = replace(batch, missing=torch.zeros(8, 2, dtype=torch.bool, device=META))
    share = torch.rand(8, 2, device=META)
    label = Mixup(0.4, bool(heads), len(every_system.CLASSES)).labels(
        batch.scene, share, batch.modalities
    )
    images = mix(batch.images, share[:, 1])
    batch = replace(batch, acoustic=mix(batch.acoustic, share[:, 0]), images=images, scene=label)
    for number in range(2):
        loss = update([batch], number)
        average.update(network, number)
    made = (*average.network.state_dict().values(), *network.parameters(), loss)
    assert {each.device for each in made} == {META}
    assert all(each.grad is not None for each in network.trainable_parameters())


VIEWS = (
    "slice", "select", "unbind", "unsqueeze", "expand", "view", "_unsafe_view", "detach", "permute",
    "transpose", "t", "alias", "squeeze", "split", "lift_fresh", "reshape", "empty", "empty_like",
    "empty_strided", "new_empty", "new_empty_strided", "device",
)  # fmt: skip


class Traffic(TorchDispatchMode):
    """Counts what is launched on a GPU, and the bytes that it reads and writes there."""

    def __init__(self):
        super().__init__()
        self.launches, self.bytes = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [each for each in torch.utils._pytree.tree_leaves((args, kwargs, out))
                   if isinstance(each, torch.Tensor)]  # fmt: skip
        on_gpu = [each for each in tensors if each.device.type == "cuda"]
        if on_gpu and name not in VIEWS:
            self.launches[name] += 1
            self.bytes += sum(each.numel() * each.element_size() for each in on_gpu)
        return out


@pytest.fixture
def gpu(monkeypatch):
    """A GPU whose tensors have no values."""
    monkeypatch.setattr(network_module, "fast_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    common = torch.cuda.amp.common
    monkeypatch.setattr(common, "amp_definitely_not_available", lambda: False)
    return torch.device("cuda", 0)


def on(gpu, network):
    """Put a network on a fake GPU, where PyTorch does not move parameters in place."""
    for module in network.modules():
        for name, value in module._parameters.items():
            if value is not None:
                moved = torch.nn.Parameter(value.detach().to(gpu), value.requires_grad)
                module._parameters[name] = moved
        for name, value in module._buffers.items():
            module._buffers[name] = None if value is None else value.to(gpu)
    return network


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by deepcopy
# Counted when this was written; what is launched or moved beyond that should have a reason.
@pytest.mark.parametrize(
    ("name", "step_launches", "step_megabytes", "launches", "casts"),
    [("joint", 100, 28, 51, 2), ("end-to-end", 145, 29, 72, 23), ("audio", 49, 24, 0, 0)],
)
def test_a_gpu_is_asked_for_no_more_than_the_network_needs(
    gpu, name, step_launches, step_megabytes, launches, casts
):
    """The forward pass of a step, and the embedding of images for an evaluation."""
    network = checked(every_system.make(name))
    with FakeTensorMode(allow_non_fake_inputs=True):
        update = stepper(on(gpu, network), name, gpu)
        batch = moved(every_system.batch(name, 8), gpu)
        update.step(batch)
        with Traffic() as training:
            loss = update.step(batch)
        network.eval()
        with Traffic() as evaluation, torch.no_grad():
            embedded = None if batch.images is None else network.embed_images(batch.images)
    assert loss.device == gpu and loss.dtype == torch.float32
    if embedded is not None:
        assert embedded.device == gpu and embedded.dtype == torch.float32
    assert training.launches.total() <= step_launches, training.launches
    assert training.bytes <= 1e6 * step_megabytes
    assert evaluation.launches.total() <= launches, evaluation.launches
    assert training.launches["_to_copy"] <= casts


@pytest.mark.parametrize("name", ["joint", "end-to-end"])
def test_on_gpus_batch_normalisation_that_is_trained_is_pytorchs_own_over_processes(gpu, name):
    network = every_system.make(name, **BEYOND, unimodal_heads=0.5)
    names, trained = list(network.state_dict()), network.trainable_parameters()
    layers = {
        path: layer.training
        for path, layer in network.named_modules()
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)
    }
    with FakeTensorMode(allow_non_fake_inputs=True):
        over_processes(on(gpu, network))
    found = dict(network.named_modules())
    synced = {path for path in layers if isinstance(found[path], torch.nn.SyncBatchNorm)}
    assert synced == {path for path, training in layers.items() if training}
    assert any(path.startswith("visual.") for path in synced) == (name == "end-to-end")
    assert {"fusion_norm.audio", "fusion_norm.visual"} < synced
    assert any(path.startswith("heads.visual.") for path in synced)
    assert list(network.state_dict()) == names
    assert len(network.trainable_parameters()) == len(trained)
