"""Every system over the one loop: what it reads, what it learns, what it may not touch."""

import pytest
import torch
from stores import small_store

from avsc.train.config import Settings
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.model.weights import digest
from avsc.train.systems import SYSTEMS, VERBS

SMALL = {
    "backbone": "test_efficientnet.r160_in1k",
    "visual_weights": "random",
    "image_size": 32,
    "batch_size": 32,
    "epochs": 2,
    "device": "cpu",
    "workers": 0,
}
PAPER = [name for name in SYSTEMS if not name.startswith("baseline")]
GIVEN_SOUND = ("pipeline", "ablation-3")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store and an audio-only run on it."""
    folder = tmp_path_factory.mktemp("home")
    small_store(folder / "store", products=("scalogram", "images"))
    make(folder / "store", folder / "audio", "audio", epochs=1).fit(StopRequest())
    return folder


class StopAfter(StopRequest):
    """Asks to stop from the n-th time on that it is looked at."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def __bool__(self):
        self.looks -= 1
        return self.looks < 0


def make(store, out, system, stop=None, resume=True, **changes):
    settings = Settings(store=store, **{**SMALL, **changes})
    with Console() as console:
        return prepare(VERBS[system], settings, RunFolder(out), resume, console, stop)


def given(home, system):
    return {"acoustic_run": home / "audio"} if system in GIVEN_SOUND else {}


@pytest.mark.parametrize("system", PAPER)
def test_a_step_moves_what_learns_and_nothing_else(home, tmp_path, system):
    training = make(home / "store", tmp_path / "run", system, **given(home, system))
    network, chosen = training.network, SYSTEMS[system]
    before = {name: digest(part) for name, part in network.named_children()}
    assert not training.fit(StopAfter(1))
    after = {name: digest(part) for name, part in network.named_children()}
    moved = {name for name in before if before[name] != after[name]}
    branches = {"acoustic": chosen.sound, "visual": chosen.pictures}
    learns = {name for name, branch in branches.items() if branch is not None and branch.trained}
    assert moved == {"classifier", *learns}  # statistics of batch normalisation are among these
    gradients = {
        name: any(p.grad is not None and bool(p.grad.abs().sum()) for p in part.parameters())
        for name, part in network.named_children()
    }
    assert {name for name, there in gradients.items() if there} == moved
