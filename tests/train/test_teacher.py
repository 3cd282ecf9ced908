"""Distillation across modalities: who is taught what, by whom, exact resumption, refusals."""

import json

import pytest
import torch
from commands import refused
from systems import bits, fit_for, make, make_world, on_vectors
from torch.nn.functional import cross_entropy, kl_div

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.trained_run import restore
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

DROPPED = {"modality_dropout": 0.5, "modality_dropout_epochs": 0}
SOFT = {"teacher_temperature": 3.0, "teacher_weight": 0.7}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = make_world(tmp_path_factory.mktemp("taught"))
    assert make(folder, folder / "joint", "joint", epochs=1).fit()
    assert on_vectors(folder, folder / "pipeline", epochs=1).fit()
    return folder


def taught(world, out, system="joint", **changes):
    return make(world, out, system, teacher=world / "joint", **{**SOFT, **changes})


@pytest.mark.parametrize("changes", [{}, {"visual_weights": "other"}, {"system": "audio"}])
def test_the_teacher_sees_the_same_view_complete(world, tmp_path, changes):
    """Against plain arithmetic, with the teacher's own image model or the student's equal one."""
    if changes.get("visual_weights"):
        other = make(world, tmp_path / "other", "joint", seed=1, epochs=1)
        path = tmp_path / "other" / "visual.pt"
        assert path.is_file() and other.network.visual.digest
        changes = {"visual_weights": str(path)}
    dropped = {} if "system" in changes else DROPPED
    trainer = taught(world, tmp_path / "run", **dropped, **changes)
    batch, network = next(trainer._batches()), trainer.network.eval()
    teacher = restore(world / "joint").network
    soft = torch.softmax(teacher(batch.acoustic, batch.images, batch.view) / 3, 1)
    if "system" in changes:
        assert network.visual is None and batch.missing is None
        logits, weight = network(batch.acoustic, None), torch.full((32,), 0.7)
    else:
        logits = network(batch.acoustic, batch.images, batch.view, batch.missing)
        weight = 0.7 * batch.missing.any(1)
        assert 0 < weight.count_nonzero() < 32
    far = kl_div(torch.log_softmax(logits / 3, 1), soft.detach(), reduction="none").sum(1)
    labels = cross_entropy(logits, batch.scene, reduction="none")
    wanted = ((1 - weight) * labels + weight * 9 * far).mean()
    loss = trainer.task.loss(network, batch)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    ours = trainer.task.loss.distillation.teacher
    assert not any(p.requires_grad or p.grad is not None for p in ours.parameters())
    assert not ours.training and all(p.grad is not None for p in network.trainable_parameters())
    shared = ours.visual is None
    assert shared == (changes == {})


def test_a_student_of_audio_needs_no_images_once_it_is_trained(fit, world, tmp_path):
    run = tmp_path / "run"
    trainer = taught(world, run, "audio", epochs=1)
    assert trainer.run.training.image is not None and trainer.run.validation.image is None
    assert trainer.fit()
    state = torch.load(run / "last.pt", weights_only=True)["network"]
    assert {name.split(".")[0] for name in state} == {"acoustic", "classifier"}
    assert not (run / "visual.pt").exists()
    record = restore(run).record
    assert set(record.store.specs) == {"scalogram"}
    assert {"teacher", "teacher's images", "--augment"} < set(record.identity())
    cpu = ("--device=cpu", "--workers=0", "--resamples=100", "--no-page")
    assert fit("evaluate", run, *cpu)[0] == 0


@pytest.mark.parametrize("system", ["audio", "joint"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path, system):
    how = {"epochs": 1, **({} if system == "audio" else DROPPED)}
    assert taught(world, tmp_path / "straight", system, **how).fit()
    assert not fit_for(taught(world, tmp_path / "run", system, **how), 3)
    went_on = taught(world, tmp_path / "run", system, **how)
    assert went_on.progress.batch > 0 and went_on.fit()
    one, other = tmp_path / "straight", tmp_path / "run"
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    states = [torch.load(run / "last.pt", weights_only=True)["network"] for run in (one, other)]
    assert bits(states[0]) == bits(states[1])


def test_it_is_part_of_the_run(world, tmp_path):
    plain = make(world, tmp_path / "run", "joint", **DROPPED)
    values = json.loads((tmp_path / "run/settings.json").read_text())
    assert values["teacher"] is None and "teacher" not in plain.run.record.identity()
    del values["teacher"]  # as in runs from before there were teachers
    for name in ("teacher", *SOFT):
        del values["settings"][name]
    (tmp_path / "run/settings.json").write_text(json.dumps(values))
    make(world, tmp_path / "run", "joint", **DROPPED, **SOFT)
    with pytest.raises(SettingError, match=r"different teacher \(None, now .* \(run "):
        taught(world, tmp_path / "run", **DROPPED)
    assert "teacher_weight" not in Settings(**SOFT).identity(SYSTEMS["joint"])


def test_teachers_that_are_refused(fit, world, tmp_path):
    with pytest.raises(SettingError, match="sees nothing that joint would lack"):
        taught(world, tmp_path / "run")
    with pytest.raises(SettingError, match="whose audio input is raw; that of pipeline is vectors"):
        on_vectors(world, tmp_path / "run", teacher=world / "joint", **DROPPED)
    with pytest.raises(AvscError, match=r"trained on \d+ of the \d+ validation clips of this run"):
        taught(world, tmp_path / "run", "audio", seed=1)
    with pytest.raises(SettingError, match="--protocol strict; wanted centred"):
        taught(world, tmp_path / "run", "audio", protocol="centred")
    with pytest.raises(SettingError, match="a teacher that sees images as"):
        taught(world, tmp_path / "run", **DROPPED, image_size=48)
    assert not (tmp_path / "run").exists()
    missing = ("--teacher", tmp_path / "nothing", "--store", world / "store", "--device=cpu")
    refused(fit("audio", *missing, "--out", tmp_path / "run"), 1, "holds no run that can be read")
