"""A run looked at from outside: what its steps are given, when it saves, what its figures are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stores import small_store
from systems import SMALL, fit_for

from avsc.manifests.errors import AvscError
from avsc.train.fit import trainer
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.trained_run import restore
from avsc.train.metrics import scores
from avsc.train.model.inference import predict
from avsc.train.protocol import segments
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("stores") / "small")


@pytest.fixture
def make(store, tmp_path):
    """Begin a run; `seen` notes what each step is given, its loss and its learning rate."""

    def made(system="audio", **changes):
        settings = Settings(store=store, **{**SMALL, **changes})
        with Console() as console:
            session = Session.open(settings, console)
            run = prepare(SYSTEMS[system], settings, RunFolder(tmp_path / "run"), True, session)
        run.seen, loss_of = [], run.update.step.forward

        def noted(batch):
            loss = loss_of(batch)
            run.seen.append((batch, loss.item(), run.optimiser.param_groups[0]["lr"]))
            return loss

        run.update.step.forward = noted
        return run

    return made


def order(run):
    return [tuple(batch.index.tolist()) for batch, *_ in run.seen]


def test_an_epoch_is_told_by_its_mean_loss_and_its_last_rate(make):
    run = make()
    run.fit()
    n = run.run.batches
    losses = [np.mean([loss for _, loss, _ in run.seen[e * n : (e + 1) * n]]) for e in (0, 1)]
    found = [row.training_loss for row in run.progress.history]
    assert found == pytest.approx(losses, rel=1e-6)
    rates = [run.seen[e * n + n - 1][2] for e in (0, 1)]
    assert [row.learning_rate for row in run.progress.history] == pytest.approx(rates, rel=1e-12)
    assert rates[0] < run.seen[0][2] == 0.01
    assert abs(losses[0] - losses[1]) > 1e-3


def test_epochs_and_seeds_have_batches_of_their_own(make, tmp_path):
    run = make()
    run.fit()
    first, second = order(run)[: run.run.batches], order(run)[run.run.batches :]
    assert len(first) == len(second) and not set(first) & set(second)
    (tmp_path / "run").rename(tmp_path / "seed 0")
    other = make(seed=1, epochs=1)
    other.fit()
    assert len(order(other)) == len(first) and not set(first) & set(order(other))


@pytest.mark.parametrize(("frames", "shared"), [("1", False), ("all", True)])
def test_pairs_share_views_where_that_was_asked_for(make, frames, shared):
    run = make("joint", frames_per_image=frames, epochs=1)
    fit_for(run, 1)
    (batch, *_), *_ = run.seen
    assert (batch.view is not None) == (len(batch.images) < len(batch.scene)) == shared


def test_it_saves_every_so_many_minutes_and_after_each_epoch(make, monkeypatch):
    """A step takes two and a half minutes here."""
    now, saved = [0.0], []
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    run = make(save_minutes=10)
    assert run.run.batches == 5
    step = run._step
    monkeypatch.setattr(run, "_step", lambda batch: (step(batch), now.append(now.pop() + 150)))
    save = trainer.save_last

    def noted(*arguments):
        saved.append((run.progress.epoch, run.progress.batch))
        save(*arguments)

    monkeypatch.setattr(trainer, "save_last", noted)
    run.fit()
    assert saved == [(0, 4), (1, 0), (1, 4), (2, 0)]


def test_validation_is_of_the_encoder_as_it_is_by_then(make, tmp_path):
    """An image model that learns gives other embeddings after every epoch."""
    run = make("end-to-end")
    run.fit()
    losses = [row.validation_log_loss for row in run.progress.history]
    network, clips = restore(tmp_path / "run", "last").network, run.run.validation
    how = {"batch_size": 32, "workers": 0, "device": torch.device("cpu")}
    probability = predict(network, run.run.source, clips, **how)
    found = scores(segments(probability, clips, "strict"), run.run.classes)
    assert run.run.settings.protocol == "strict"
    assert losses[1] == pytest.approx(found.log_loss, rel=1e-5)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("rule", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_weights_decay_as_they_are_told_to(make, rule, kind):
    run = make(optimiser=rule, weight_decay=0.25)
    assert type(run.optimiser) is kind
    assert [group["weight_decay"] for group in run.optimiser.param_groups] == [0.25]


def test_predictions_that_are_no_numbers_end_the_run(make, monkeypatch, tmp_path):
    def nothing(network, source, samples, **how):
        return np.full((len(samples), 3), np.nan)

    monkeypatch.setattr(trainer, "predict", nothing)
    with pytest.raises(AvscError, match="predictions are no longer finite after epoch 1"):
        make().fit()
    assert not (tmp_path / "run" / "best.pt").exists()


def test_the_epoch_with_the_lowest_loss_is_kept_though_others_follow(make, monkeypatch, tmp_path):
    """So many others that neither last.pt nor previous.pt holds it any more."""
    run = make(epochs=4)
    losses = iter((0.5, 0.2, 0.4, 0.3))
    weights = []

    def validated():
        weights.append({name: each.clone() for name, each in run.network.state_dict().items()})
        return {"validation_log_loss": next(losses), "validation_accuracy": 0.0}

    monkeypatch.setattr(run, "_validate", validated)
    run.fit()
    kept = restore(tmp_path / "run")
    assert kept.epoch == 2
    torch.testing.assert_close(kept.network.state_dict(), weights[1], rtol=0, atol=0)
    assert restore(tmp_path / "run", "last").epoch == 4
