"""One update of the weights: slices of a batch, float16."""

from functools import partial

import pytest
import torch
from labelled import by_class
from systems import fit_for
from torch import nn

from avsc.manifests.errors import SettingError
from avsc.train.data.batch import Batch
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import Processes
from avsc.train.fit.losses import LabelLoss, Step
from avsc.train.fit.prepare import prepare_images
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.update import Update
from avsc.train.model import network as network_module
from avsc.train.model.network import Network
from avsc.train.model.visual import visual_encoder
from avsc.train.model.weights import starting_weights
from avsc.train.settings.places import PlacesSettings

CPU = torch.device("cpu")
PLACES = {
    "backbone": "test_resnet.r160_in1k", "visual_weights": "random", "image_size": 32,
    "batch_size": 12, "epochs": 1, "device": "cpu", "workers": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return by_class(tmp_path_factory.mktemp("pictures") / "places", training=16, validation=5)


def make(images, folder, **changes):
    settings = PlacesSettings(data=images, **{**PLACES, **changes})
    with Console() as console:
        session = Session.open(settings, console)
        return prepare_images(settings, RunFolder(folder), True, session)


def trained(accumulate):
    """Return losses and weights of a network with dropout and without batch normalisation."""
    torch.manual_seed(0)
    classifier = nn.Sequential(
        nn.Linear(6, 20), nn.Dropout(), nn.LayerNorm(20), nn.Dropout(0.2), nn.Linear(20, 3)
    )
    net = Network(nn.Identity(), None, classifier).double()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    session = Session(Computing(CPU, 12, 0, accumulate), Console(), StopRequest())
    update = Update(Step(net, LabelLoss(0)), net, optimiser, session)
    draw = torch.Generator().manual_seed(1)
    losses = []
    for step in range(4):
        frames = torch.randn(12, 6, generator=draw, dtype=torch.float64)
        scene = torch.randint(3, (12,), generator=draw)
        slices = [
            Batch(part, None, label, label)
            for part, label in zip(frames.chunk(accumulate), scene.chunk(accumulate), strict=True)
        ]
        losses.append(update(slices, step).item())
    return losses, net.state_dict()


@pytest.mark.parametrize("accumulate", [2, 3])
def test_slices_are_as_one_batch(accumulate):
    (losses, state), (losses2, state2) = trained(1), trained(accumulate)
    assert losses2 == pytest.approx(losses, rel=1e-12)
    torch.testing.assert_close(
        dict(zip(state, state2.values(), strict=True)), state, rtol=1e-12, atol=1e-14
    )


def test_the_network_sees_a_slice_at_a_time(images, tmp_path, monkeypatch):
    seen = []
    embed = Network.embed_images

    def note(self, images):
        seen.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(Network, "embed_images", note)
    assert make(images, tmp_path / "run", accumulate=3).fit()
    assert max(seen) == 4


def test_a_run_in_slices_resumes_as_if_not_stopped(images, tmp_path):
    assert make(images, tmp_path / "straight", accumulate=2).fit()
    assert not fit_for(make(images, tmp_path / "run", accumulate=2), 2)
    with pytest.raises(SettingError, match=r"different --accumulate \(2, now 3\)"):
        make(images, tmp_path / "run", accumulate=3)
    assert make(images, tmp_path / "run", accumulate=2).fit()
    one, other = (
        torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("run", "straight")
    )
    torch.testing.assert_close(one["network"], other["network"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "count", "text"),
    [
        (32, 3, 1, "--batch-size is 32, which 3 slices cannot share evenly; wanted a multiple"),
        (32, 3, 2, "which 2 processes with 3 slices each cannot share evenly; .* such as 36"),
        (32, 32, 1, "slices have one sample"),
    ],
)  # fmt: skip
def test_slices_that_a_batch_does_not_have_are_refused(batch_size, accumulate, count, text):
    with pytest.raises(SettingError, match=text):
        Processes(count=count).check(batch_size, accumulate)


def test_float16_scales_the_loss_and_resumes_with_the_same_scale(images, tmp_path, monkeypatch):
    exact = make(images, tmp_path / "exact")
    assert exact.fit() and exact.update.scaler is None
    monkeypatch.setattr(network_module, "fast_dtype", lambda device: torch.float16)
    scaler = partial(torch.amp.GradScaler, init_scale=256.0, growth_interval=2)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)  # whose scale changes within four steps
    straight = make(images, tmp_path / "straight")
    assert straight.fit()
    assert straight.update.state["scale"] == 1024
    loss, wanted = (run.progress.history[0].training_loss for run in (straight, exact))
    assert loss == pytest.approx(wanted, rel=0.1) and loss != wanted
    assert {p.dtype for p in straight.network.parameters()} == {torch.float32}

    assert not fit_for(make(images, tmp_path / "run"), 3)
    resumed = make(images, tmp_path / "run")
    assert resumed.update.state["scale"] == 512
    assert resumed.fit()
    one, other = (run.network.state_dict() for run in (resumed, straight))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    saved = torch.load(tmp_path / "exact" / "last.pt", weights_only=True)
    assert "scaler" not in saved["progress"]


def stepped(backbone, checkpoint):
    """Return loss, state, gradients and saved bytes of one step of an image model."""
    with starting_weights(0):
        visual = visual_encoder(backbone, "random", 64)
        classifier = nn.Sequential(nn.Dropout(), nn.Linear(visual.features, 3))
    net = Network(None, visual, classifier, frozen_visual=False).train()
    if checkpoint:
        net.recompute_visual()
    optimiser = torch.optim.SGD(net.trainable_parameters(), lr=0.0)
    session = Session(Computing(CPU, 8, 0), Console(), StopRequest())
    update = Update(Step(net, LabelLoss()), net, optimiser, session)
    draw = torch.Generator().manual_seed(1)
    images, scene = torch.randn(8, 3, 64, 64, generator=draw), torch.arange(8) % 3
    kept = []

    def pack(tensor):
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        update.step(Batch(None, images, scene, scene))
    visual.model.load_state_dict(visual_encoder(backbone, "random", 64).model.state_dict())
    loss = update([Batch(None, images, scene, scene)], 7)
    gradients = {name: each.grad for name, each in net.named_parameters()}
    return loss, net.state_dict(), gradients, sum(kept)


@pytest.mark.parametrize("backbone", ["test_efficientnet.r160_in1k", "test_resnet.r160_in1k"])
def test_activations_that_are_computed_again_give_the_same_step(backbone):
    """The same running means and variances, too, though each layer sees the batch twice."""
    *plain, all_kept = stepped(backbone, checkpoint=False)
    *again, few_kept = stepped(backbone, checkpoint=True)
    torch.testing.assert_close(again, plain, rtol=0, atol=0)
    counts = [value for name, value in again[1].items() if name.endswith("num_batches_tracked")]
    assert counts and all(value == 1 for value in counts)
    assert few_kept < 0.7 * all_kept


def test_a_model_that_cannot_compute_again_is_refused(images, tmp_path, monkeypatch):
    run = make(images, tmp_path / "run", checkpoint_activations="yes", accumulate=2)
    assert run.network.recomputes and run.network.visual.model.grad_checkpointing
    monkeypatch.delattr(type(run.network.visual.model), "set_grad_checkpointing")
    with pytest.raises(SettingError, match=r"which timm's ResNet cannot do\. Omit"):
        make(images, tmp_path / "other", checkpoint_activations="yes")
