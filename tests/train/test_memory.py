"""A GPU whose memory does not suffice: one line, which names what would fit."""

import pytest
import torch
from stores import small_store

from avsc.train.data.batch import Batch
from avsc.train.fit import memory, tasks
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import Processes
from avsc.train.fit.losses import SceneLoss
from avsc.train.fit.signals import StopRequest
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB.\nmore\n"


class Gpu:
    """A GPU with 100 bytes, of which weights take 10 and a sample takes 4."""

    limit, used, peak = 100, 10, 10

    def compute(self, samples):
        if self.used + 4 * samples > self.limit:
            raise torch.OutOfMemoryError(FULL)
        self.peak = max(self.peak, self.used + 4 * samples)

    def reset(self):
        self.peak = self.used


@pytest.fixture
def gpu(monkeypatch):
    one = Gpu()
    monkeypatch.setattr(memory, "Gauge", lambda device: one)
    return one


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("stores") / "small")


def test_the_largest_batch_that_fits_is_named(fit, store, tmp_path, gpu, monkeypatch):
    def loss(self, network, batch):
        gpu.compute(len(batch.scene))
        return real(self, network, batch)

    real = SceneLoss.__call__
    monkeypatch.setattr(SceneLoss, "__call__", loss)
    out = tmp_path / "run"
    run = ["audio", "--store", store, "--out", out, "--device", "cpu", "--epochs", 1]
    status, _, error = fit(*run, "--batch-size", 48)
    assert status == 1 and error.count("\n") == 1
    assert "does not suffice (CUDA out of memory. Tried to allocate 2.00 GiB)." in error
    assert "The largest that fits is about 22, by the peak of 12." in error
    assert "--no-resume with --accumulate 4 (the same batch in smaller slices) or " in error
    assert "or --batch-size 22, resume with --checkpoint-activations yes where" in error
    assert fit(*run, "--batch-size", 22, "--no-resume")[0] == 0
    assert fit(*run, "--batch-size", 48, "--accumulate", 4, "--no-resume")[0] == 0


def test_a_graph_for_whole_slices_is_not_asked_what_would_fit(
    fit, store, tmp_path, gpu, monkeypatch
):
    """It pads fewer images to a whole slice, so that they would need as much."""
    calls = []

    def compiled(graph, inputs):
        def compute(*inputs):
            calls.append(inputs)
            if len(calls) > 1:  # the first is that before the run
                raise torch.OutOfMemoryError(FULL)
            return graph(*inputs)

        return compute

    def eager(self, images):
        if not torch.compiler.is_compiling():
            gpu.compute(len(images))
        return real(self, images)

    real = VisualEncoder.forward
    monkeypatch.setattr(VisualEncoder, "forward", eager)
    monkeypatch.setattr(tasks, "BACKEND", compiled)
    torch.compiler.reset()
    status, _, error = fit(
        "joint", "--store", store, "--out", tmp_path / "run", "--device", "cpu", "--workers", 0,
        "--backbone", "test_efficientnet", "--visual-weights", "random", "--image-size", 32,
        "--batch-size", 48, "--compile", "yes",
    )  # fmt: skip
    assert status == 1 and error.count("\n") == 1
    assert "The largest that fits is about 22, by the peak of 12." in error


@pytest.mark.parametrize(
    ("size", "slices", "count", "wanted"),
    [
        (90, 1, 1, "about 22, by the peak of 22. Start over by --no-resume with --accumulate 5 "),
        (90, 2, 1, "about 22, by the peak of 22. Start over by --no-resume with --accumulate 5 "),
        (47, 1, 1, "about 22, by the peak of 11. Start over by --no-resume with --batch-size 22,"),
        (3000, 1, 1, "about 22, by the peak of 11. .* --accumulate 300 "),
        (128, 1, 2, "uses it. Start over by --no-resume with --accumulate 2 .*below 128, resume"),
    ],
)  # fmt: skip
def test_slices_divide_the_batch(gpu, size, slices, count, wanted):
    computing = Computing(torch.device("cpu"), size, 0, slices)
    session = Session(computing, Console(), StopRequest(), Processes(count=count))
    scene = torch.zeros(session.slice_size, dtype=torch.int64)
    with (
        pytest.raises(memory.AvscError, match=wanted),
        memory.slice_memory(
            Batch(None, None, scene, scene), session, lambda batch: gpu.compute(len(batch.scene))
        ),
    ):
        gpu.compute(session.slice_size)


def test_of_views_that_samples_share_the_first_are_cut():
    view = torch.tensor([0, 0, 1, 1, 2, 3])
    scene, images = torch.arange(6), torch.arange(4.0).view(4, 1, 1, 1)
    batch = Batch(torch.zeros(6, 2), images, scene, scene, view)
    few = memory._first(batch, 3)
    assert few.view.tolist() == [0, 0, 1] and len(few.images) == 2 and len(few.acoustic) == 3


def test_where_two_samples_do_not_fit_none_is_named(gpu):
    gpu.used = 95
    scene = torch.zeros(8, dtype=torch.int64)
    session = Session(Computing(torch.device("cpu"), 8, 0), Console(), StopRequest())
    batch = Batch(None, None, scene, scene)
    assert memory._fitting(batch, gpu, lambda part: gpu.compute(len(part.scene))) is None
    assert "--accumulate 2 (" in memory._remedy(8, session, None)


def test_evaluation_names_its_own_option(fit, store, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError(FULL)

    out = tmp_path / "run"
    run = ["audio", "--store", store, "--out", out, "--device", "cpu", "--batch-size", 32]
    assert fit(*run, "--epochs", 1)[0] == 0
    monkeypatch.setattr(Network, "embed_sound", full)
    status, _, error = fit("evaluate", out, "--fold", "train", "--batch-size", 16)
    assert status == 1 and error.count("\n") == 1
    assert "(CUDA out of memory. Tried to allocate 2.00 GiB). See by" in error
    assert "a --batch-size below 16." in error
    for verb, runs in (("robustness", [out]), ("tsne", [out, out])):
        status, _, error = fit(verb, *runs, "--fold", "train", "--batch-size", 16)
        assert status == 1 and error.count("\n") == 1
        assert "2.00 GiB). See by" in error and "a --batch-size below 16." in error
