"""Averaged weights: by plain recursion, what is validated, kept and restored, exact resumption."""

import numpy as np
import pytest
import torch
from systems import fit_for, make, make_world, on_vectors

from avsc.train.fit.tasks import Task
from avsc.train.fit.trained_run import restore
from avsc.train.fit.weight_average import WeightAverage
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("averaged"))


def averaging(world, out, **changes):
    return on_vectors(world, out, **{"weight_average": 0.5, "validation": "location", **changes})


def copied(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_it_is_the_recursion_that_is_stated(world, tmp_path, monkeypatch):
    states = []
    update = WeightAverage.update

    def recorded(self, network, step):
        assert step == len(states)
        states.append(copied(network))
        update(self, network, step)

    monkeypatch.setattr(WeightAverage, "update", recorded)
    trainer = averaging(world, tmp_path / "run")
    wanted = {name: value.double() for name, value in copied(trainer.network).items()}
    assert trainer.fit() and len(states) == 2 * trainer.run.batches > 20
    for step, state in enumerate(states):
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in state.items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
    for name, value in trainer.task.evaluated.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), wanted[name], rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(value, states[-1][name])
    assert not any(p.requires_grad for p in trainer.task.evaluated.parameters())


def test_a_frozen_image_model_is_shared_and_the_average_is_what_is_kept(world, tmp_path):
    trainer = make(world, tmp_path / "run", "joint", epochs=1, weight_average=0.9, batch_size=16)
    averaged = trainer.task.evaluated
    assert averaged.visual is trainer.network.visual
    assert averaged.acoustic is not trainer.network.acoustic
    versions = [each._version for each in averaged.visual.parameters()]
    assert trainer.fit()
    assert versions == [each._version for each in averaged.visual.parameters()], "written to"
    last = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    best = restore(tmp_path / "run").network.state_dict()
    weight = "classifier.layers.0.weight"
    assert not torch.equal(last["network"][weight], last["averaged"][weight])
    for name, value in averaged.state_dict().items():
        assert torch.equal(value, best[name])
    later = restore(tmp_path / "run", "last").network.state_dict()
    assert all(torch.equal(value, later[name]) for name, value in best.items())
    kept = (tmp_path / "run" / "best.pt").read_bytes()
    (tmp_path / "run" / "best.pt").unlink()
    make(world, tmp_path / "run", "joint", epochs=1, weight_average=0.9, batch_size=16)
    assert (tmp_path / "run" / "best.pt").read_bytes() == kept
    # what metrics.csv says is of the averaged weights
    row = trainer.progress.history[-1]
    trainer.network.load_state_dict(averaged.state_dict())
    trainer.task = Task(*(getattr(trainer.task, name) for name in
                          ("network", "optimiser", "rate", "loss", "scores")))  # fmt: skip
    assert trainer._validate()["validation_log_loss"] == row.validation_log_loss


@pytest.mark.parametrize("looks", [3, 15])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path, looks):
    straight = averaging(world, tmp_path / "straight")
    assert straight.fit()
    assert not fit_for(averaging(world, tmp_path / "run"), looks)
    resumed = averaging(world, tmp_path / "run")
    assert resumed.progress.batch > 0 and resumed.fit()
    one, other = tmp_path / "straight", tmp_path / "run"
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    states = [torch.load(run / "last.pt", weights_only=True)["averaged"] for run in (one, other)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_off_is_the_papers_training(world, tmp_path):
    trainer = averaging(world, tmp_path / "run", weight_average=0.0, epochs=1)
    assert trainer.task.evaluated is trainer.network and trainer.fit()
    assert "averaged" not in torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert "weight_average" not in Settings().identity(SYSTEMS["joint"])
    assert np.isfinite(trainer.progress.history[0].validation_log_loss)
