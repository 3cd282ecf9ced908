"""What a run on a GPU does otherwise than one on a CPU, done on the CPU."""

import itertools
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from epochs import training_batches
from stores import small_store
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data import prefetch as prefetch_module
from avsc.train.data.augment import Augment, ImageInput
from avsc.train.data.batches import Preparation, image_batches
from avsc.train.data.loader import ImageLoader, ImageRequest
from avsc.train.data.prefetch import DEPTH, prefetch
from avsc.train.data.source import Source
from avsc.train.evaluate.mirror import mirrored
from avsc.train.fit import tasks
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.tasks import compile_visual
from avsc.train.model import network as network_module
from avsc.train.model.network import Network
from avsc.train.model.visual import visual_encoder
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

CPU = torch.device("cpu")
IMAGE = ImageInput(24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
# What makes the program wait for a GPU: a value asked for, a size that depends on values, a copy.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "_to_copy", "item")


class Asked(TorchDispatchMode):
    """Notes the operations that make a program wait."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if any(name.startswith(each) for each in WAITS):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("stores") / "small")


def make(store, folder, system="joint", **changes):
    settings = Settings(
        store=store, backbone="test_efficientnet.r160_in1k", visual_weights="random",
        image_size=32, batch_size=32, epochs=1, device="cpu", workers=2, **changes,
    )  # fmt: skip
    with Console() as console:
        session = Session.open(settings, console)
        return prepare(SYSTEMS[system], settings, RunFolder(folder), True, session)


def threads():
    return [each for each in threading.enumerate() if each.name.startswith(("prefetch", "images"))]


def test_items_come_in_order_and_a_few_are_made_ahead():
    made = []

    def items():
        for number in range(9):
            made.append(number)
            yield torch.tensor(number)

    found = []
    for item in prefetch(items(), CPU):
        found.append(int(item))
        assert len(made) <= len(found) + DEPTH
    assert found == list(range(9))
    assert not threads()


def test_an_error_comes_when_its_turn_has_come():
    def items():
        yield torch.zeros(1)
        raise OSError("the disk is gone")

    made = prefetch(items(), CPU)
    next(made)
    with pytest.raises(OSError, match="the disk is gone"):
        next(made)
    assert not threads()


def test_what_is_left_early_is_closed():
    closed = []

    def items():
        try:
            yield from map(torch.tensor, itertools.count())
        finally:
            closed.append(True)

    source = items()  # held here, so that it does not close itself
    made = prefetch(source, CPU)
    next(made)
    made.close()
    assert closed == [True]
    assert not threads()


def test_a_gpu_has_one_stream_for_batches_and_the_thread_its_device(monkeypatch):
    streams, devices = [], []
    event, wait = object(), []

    class Stream:
        def __init__(self, device):
            streams.append(device)

        def record_event(self):
            assert devices[-1][0].startswith("prefetch")  # set before anything was asked of a GPU
            return event

        def wait_event(self, made):
            wait.append(made)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream.__new__(Stream))
    monkeypatch.setattr(
        torch.cuda,
        "set_device",
        lambda device: devices.append((threading.current_thread().name, device)),
    )
    prefetch_module._second_stream.cache_clear()
    second = torch.device("cuda", 1)
    try:
        for _ in range(3):
            found = [int(item) for item in prefetch(map(torch.tensor, range(4)), second)]
            assert found == [0, 1, 2, 3]
    finally:
        prefetch_module._second_stream.cache_clear()
    assert streams == [second]
    assert wait == [event] * 12
    assert [device for _, device in devices] == [second] * 3


@pytest.mark.parametrize("together", [1, 6])
def test_batches_for_a_gpu_show_what_others_do(store, monkeypatch, together):
    opened = Store.open(store)
    source = Source.open(opened, "scalogram", images=True)
    samples = source.samples(range(len(opened.clips)))
    how = {"batch_size": 32, "image_input": IMAGE, "workers": 2, "device": CPU}
    fit = {**how, "seed": 1, "epoch": 0, "augment": Augment(), "together": together}
    ours = list(training_batches(source, samples, **fit))
    preparation = Preparation(IMAGE, 2, CPU)
    shown = list(image_batches(source, np.arange(50), 32, preparation))
    monkeypatch.setattr(Preparation, "on_gpu", True)
    for one, other in zip(ours, training_batches(source, samples, **fit), strict=True):
        for name in ("acoustic", "images", "scene", "index", "view"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)
    for one, other in zip(
        shown, image_batches(source, np.arange(50), 32, preparation), strict=True
    ):
        assert torch.equal(one, other)
    assert not threads()


def test_no_step_waits_for_the_device(store, tmp_path):
    training = make(store, tmp_path / "run", frames_per_image="all")
    training.network.train()
    first, second, third = itertools.islice(training._batches(), 3)
    training._step(first)  # which looks once at mean and deviation
    with Asked() as asked:
        training._step(second)
        training._step(third)
    assert not asked.found
    with Asked() as asked:
        training._mean_loss()
    assert asked.found  # so that this test would notice


def test_images_are_made_in_pinned_memory_and_fetched_by_the_gpu(store, monkeypatch):
    """Into which they are rendered straight: there is no copy in between."""
    pinned, moved = [], []
    empty = torch.empty

    def pinning(*shape, pin_memory=False, **options):
        made = empty(*shape, **options)
        pinned.extend([made] if pin_memory else [])
        return made

    def fetch(tensor, device, non_blocking=False):
        moved.append((tensor, device, non_blocking))
        return tensor

    source = Source.open(Store.open(store), "scalogram", images=True)
    request = ImageRequest(np.arange(20), Augment().draw(np.random.default_rng(0), 20))
    wanted = next(ImageLoader(source.images, IMAGE, Augment(), 2, CPU).load([request]))
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch, "empty", pinning)
    monkeypatch.setattr(torch.Tensor, "to", fetch)
    found = next(ImageLoader(source.images, IMAGE, Augment(), 2, gpu).load([request]))
    assert torch.equal(found, wanted)
    ((tensor, device, asynchronous),) = moved
    assert tensor is pinned[0] and device == gpu and asynchronous


def test_the_image_model_alone_computes_in_bfloat16(store, tmp_path, monkeypatch):
    training = make(store, tmp_path / "run")
    net, (batch, *_) = training.network, list(training._batches())
    exact = net.embed_images(batch.images)
    monkeypatch.setattr(network_module, "fast_dtype", lambda device: torch.bfloat16)
    rough = net.embed_images(batch.images)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.03 * exact.abs().max()
    assert training.fit()
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    exact_run = make(store, tmp_path / "exact", precision="float32")
    assert torch.equal(exact_run.network.embed_images(batch.images), exact)
    with pytest.raises(SettingError, match=r"different --precision \('float32', now None\)"):
        make(store, tmp_path / "exact")


@pytest.mark.parametrize(
    ("capability", "wanted"),
    [
        ((6, 1), torch.float32),
        ((7, 0), torch.float16),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ],
)
def test_the_precision_is_one_that_the_card_computes_in(monkeypatch, capability, wanted):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    visual = nn.Identity()
    visual.image_input = IMAGE
    for frozen in (True, False):
        net = Network(None, visual, nn.Identity(), frozen_visual=frozen, low_precision=True)
        assert net.visual_dtype(torch.device("cuda", 0)) == wanted
        assert net.visual_dtype(CPU) == torch.float32
    assert Network(None, visual, nn.Identity()).visual_dtype(torch.device("cuda")) == torch.float32


def test_a_compiled_image_model_gives_the_same_run(store, tmp_path, monkeypatch):
    compiled = []

    def note(self, compilation):
        compiled.append(compilation.backend)
        real(self, compilation)

    real = Network.compile_visual
    monkeypatch.setattr(Network, "compile_visual", note)
    # Without the code generator, which takes minutes on a CPU.
    monkeypatch.setattr(tasks, "BACKEND", "aot_eager")
    losses = []
    for choice in ("auto", "yes"):
        training = make(store, tmp_path / choice, compile=choice, frames_per_image="all")
        assert training.fit()
        losses.append(training.progress.history[0].training_loss)
        names = set(torch.load(tmp_path / choice / "visual.pt", weights_only=True))
        assert names == set(training.network.visual.model.state_dict())
    assert compiled == ["aot_eager"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def broken(graph, inputs):
    raise OSError("no compiler")


@pytest.mark.parametrize("required", [True, False])
def test_without_a_compiler_a_run_is_refused_or_goes_on_uncompiled(
    store, tmp_path, monkeypatch, capsys, required
):
    net = make(store, tmp_path / "run").network
    images = torch.rand(3, 3, 32, 32)
    wanted = net.embed_images(images)
    monkeypatch.setattr(tasks, "BACKEND", broken)
    with Console() as console:
        session = Session(Computing(CPU, 8, 0), console, StopRequest())
        if required:
            with pytest.raises(AvscError, match=r"\(OSError: no compiler\)\. Install gcc, or omit"):
                compile_visual(net, session, 8, required=True)
        else:
            compile_visual(net, session, 8, required=False)
            *_, last = capsys.readouterr().out.splitlines()
            assert last.startswith("compile: ")
            assert "(OSError: no compiler); it computes uncompiled" in last
    assert torch.equal(net.embed_images(images), wanted)


def test_an_empty_path_is_one_line(fit, store, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    status, _, error = fit(
        "joint", "--store", store, "--out", tmp_path / "run", "--device", "cpu", "--compile", "yes",
        "--backbone", "test_efficientnet", "--visual-weights", "random", "--image-size", 32,
        "--batch-size", 32, "--workers", 0,
    )  # fmt: skip
    assert status == 1 and error.count("\n") == 1 and "Traceback" not in error
    assert "cannot compile the image model here (" in error and "compiler" in error


@pytest.mark.parametrize("frames", ["1", "all"])
def test_one_graph_of_a_frozen_image_model_serves_training_and_validation(
    store, tmp_path, monkeypatch, frames
):
    """Though the last batch of validation is shorter, and with shared views each of training."""
    graphs, sizes = [], set()

    def count(graph, inputs):
        graphs.append(torch.is_grad_enabled())
        return graph

    def note(self, images):
        sizes.add(len(images))
        return embed(self, images)

    embed = Network.embed_images
    monkeypatch.setattr(Network, "embed_images", note)
    torch.compiler.reset()
    monkeypatch.setattr(tasks, "BACKEND", count)
    assert make(store, tmp_path / "run", compile="yes", frames_per_image=frames).fit()
    assert len(sizes) > 1
    assert graphs == [False]


class Casts(TorchDispatchMode):
    """Counts casts of tensors with four axes, by what they are to."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and args[0].dim() == 4:
            self.count += args[0].dtype == torch.float32
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("backbone", ["test_efficientnet.r160_in1k", "test_vit.r160_in1k"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frozen_weights_are_rounded_once_with_the_results_of_autocast(monkeypatch, dtype, backbone):
    monkeypatch.setattr(network_module, "fast_dtype", lambda device: dtype)
    visual = visual_encoder(backbone, "random", None)
    net = Network(None, visual, nn.Identity(), low_precision=True)
    images = torch.randn(2, 3, visual.image_input.size, visual.image_input.size)
    with Casts() as of_autocast, torch.no_grad(), torch.autocast("cpu", dtype):
        wanted = visual(images).float()
    net.embed_images(images)
    with Casts() as ours:
        found = net.embed_images(images)
    assert torch.equal(found, wanted)
    convolutions = sum(isinstance(each, nn.Conv2d) for each in visual.modules())
    assert of_autocast.count == convolutions + 1  # and the images
    assert ours.count == 1
    assert {each.dtype for each in net.state_dict().values()} <= {torch.float32, torch.int64}
    assert set(net.state_dict()) == {f"visual.{name}" for name in visual.state_dict()}
    with mirrored(net):  # also what was rounded before
        assert torch.equal(net.embed_images(images.flip(-1)), wanted)
        assert not torch.equal(net.embed_images(images), wanted)
    assert torch.equal(net.embed_images(images), wanted)
    with torch.no_grad():
        next(visual.model.parameters()).mul_(2)
    assert not torch.equal(net.embed_images(images), wanted)
