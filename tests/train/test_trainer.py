"""The training loop on a small store: exact resumption, each step's rule, what is validated."""

import contextlib
import dataclasses
import os
import pty
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from epochs import training_batches
from stores import small_clips, small_store
from systems import fit_for
from torch import nn

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.augment import Augment
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.history import Row
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder, claimed_run
from avsc.train.fit.timing import read_timing
from avsc.train.fit.trained_run import restore
from avsc.train.fit.trainer import step_seed
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

SMALL = {
    "backbone": "test_efficientnet.r160_in1k",
    "visual_weights": "random",
    "image_size": 32,
    "batch_size": 32,
    "epochs": 3,
    "device": "cpu",
    "workers": 0,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("stores") / "small")


def make(store, folder, system="joint", resume=True, processes=ALONE, **changes):
    settings = Settings(store=store, **{**SMALL, **changes})
    run = RunFolder(folder)
    with Console() as console:
        session = Session.open(settings, console, processes=processes)
        return prepare(SYSTEMS[system], settings, run, resume, session)


def bits(value):
    """Return a checkpoint with its tensors as bytes, for exact comparison."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(each) for name, each in value.items()}
    return [bits(each) for each in value] if isinstance(value, list) else value


def assert_same_run(one, other):
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    for name in ("best.pt", "last.pt"):
        found = [bits(torch.load(folder / name, weights_only=True)) for folder in (one, other)]
        assert found[0] == found[1], name


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "straight"
    assert make(store, folder).fit()
    return folder


@pytest.mark.parametrize("system", ["joint", "end-to-end"])
def test_a_run_whose_pairs_share_views_goes_on_as_if_not_stopped(store, tmp_path, system):
    how = {"frames_per_image": "all", "epochs": 2, "lr_max": 1e-3}
    assert make(store, tmp_path / "straight", system, **how).fit()
    assert not fit_for(make(store, tmp_path / "run", system, **how), 8)
    with pytest.raises(SettingError, match=r"different --frames-per-image \('all', now '2'\)"):
        make(store, tmp_path / "run", system, **{**how, "frames_per_image": "2"})
    assert make(store, tmp_path / "run", system, **how, workers=2).fit()
    assert_same_run(tmp_path / "straight", tmp_path / "run")


# 180 pairs give 5 batches an epoch; the loop looks before the first, after each, and at the end.
@pytest.mark.parametrize("looks", [0, 2, 5, 6, 7, 11])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(store, straight, tmp_path, looks):
    first = make(store, tmp_path / "run")
    assert not fit_for(first, looks)
    went_on = make(store, tmp_path / "run", workers=2)
    assert (went_on.progress.epoch, went_on.progress.batch) == {
        0: (0, 0), 2: (0, 2), 5: (0, 5), 6: (0, 5), 7: (1, 0), 11: (1, 4)
    }[looks]  # fmt: skip
    epoch, batch = went_on.progress.epoch, went_on.progress.batch
    assert went_on.fit()
    assert_same_run(straight, tmp_path / "run")
    begins = [0, 0, 0]
    begins[epoch] = batch
    timed = read_timing(tmp_path / "run" / "timing.csv")
    assert [(row.epoch, row.first_batch) for row in timed] == list(enumerate(begins, 1))


def test_a_run_that_was_killed_goes_on_from_its_last_save(store, straight, tmp_path):
    make(store, tmp_path / "run", epochs=1).fit()
    kept = shutil.copy(tmp_path / "run" / "last.pt", tmp_path)
    make(store, tmp_path / "run", epochs=2).fit()
    # As if killed after best.pt and metrics.csv of epoch 2 were written, before last.pt was.
    shutil.copy(kept, tmp_path / "run")
    make(store, tmp_path / "run").fit()
    assert_same_run(straight, tmp_path / "run")
    assert [row.epoch for row in read_timing(tmp_path / "run" / "timing.csv")] == [1, 2, 3]


def test_saves_within_an_epoch_change_nothing(store, straight, tmp_path):
    make(store, tmp_path / "run", save_minutes=1e-9).fit()
    assert_same_run(straight, tmp_path / "run")


def test_metrics_tell_the_learning_rate_of_an_epochs_last_step(straight):
    """By the paper's formula: cosine from 0.01 to 0.00001 over ten epochs, five batches each."""
    rows = [line.split(",") for line in (straight / "metrics.csv").read_text().splitlines()]
    found = {int(row[0]): float(row[rows[0].index("learning_rate")]) for row in rows[1:]}
    at = {1: 4 / 5, 2: 9 / 5, 3: 14 / 5}
    wanted = {n: 1e-5 + (1e-2 - 1e-5) * (1 + np.cos(np.pi * t / 10)) / 2 for n, t in at.items()}
    assert found == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("fault", ["gone", "cut", "flipped"])
def test_a_run_whose_last_save_is_lost_goes_on_from_the_one_before(
    store, straight, tmp_path, capsys, fault
):
    run = tmp_path / "run"
    make(store, run, epochs=2).fit()
    data = bytearray((run / "last.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (run / "last.pt").write_bytes(data if fault == "flipped" else data[: len(data) // 2])
    if fault == "gone":
        (run / "last.pt").unlink()
    capsys.readouterr()
    went_on = make(store, run)
    said = capsys.readouterr().out
    assert "last.pt: " in said and "Resuming from previous.pt." in said
    assert (went_on.progress.epoch, went_on.progress.batch) == (1, 0)
    assert went_on.fit()
    assert_same_run(straight, run)


def test_of_several_processes_the_first_alone_goes_back_to_the_save_before(store, tmp_path):
    """Another that cannot read last.pt would go on from another step than the rest."""
    run = tmp_path / "run"
    make(store, run, "audio", epochs=2).fit()
    (run / "last.pt").write_bytes(b"damaged")
    before = (run / "previous.pt").read_bytes()
    with pytest.raises(AvscError, match=r"last\.pt: not a checkpoint"):
        make(store, run, "audio", processes=Processes(rank=1, count=2))
    assert (run / "previous.pt").read_bytes() == before
    assert make(store, run, "audio").progress.epoch == 1


def test_two_saves_that_are_lost_are_both_named(store, tmp_path):
    make(store, tmp_path / "run", "audio", epochs=2).fit()
    for name in ("last.pt", "previous.pt"):
        (tmp_path / "run" / name).write_bytes(b"damaged")
    with pytest.raises(AvscError, match=r"last\.pt: not .*previous\.pt: not .*--no-resume"):
        make(store, tmp_path / "run", "audio")


def test_saves_that_are_gone_are_told(store, tmp_path, capsys):
    make(store, tmp_path / "run", "audio", epochs=1).fit()
    (tmp_path / "run" / "last.pt").unlink()
    assert make(store, tmp_path / "run", "audio").progress.epoch == 0
    said = "last.pt and previous.pt are gone; training starts over from the first epoch"
    assert said in capsys.readouterr().out


def test_a_lost_best_epoch_is_found_in_the_last_save_that_has_it(store, tmp_path, capsys):
    """Without validation the last epoch is the best."""
    run, how = tmp_path / "run", {"validation": "none", "epochs": 2}
    make(store, run, "audio", **how).fit()
    before = torch.load(run / "best.pt", weights_only=True)
    (run / "best.pt").unlink()
    found = restore(run)
    assert (found.epoch, found.file.name) == (2, "last.pt")
    for name, value in before["network"].items():
        assert torch.equal(found.network.state_dict()[name], value)
    assert not (run / "best.pt").exists()
    assert make(store, run, "audio", **how).fit()
    assert "best.pt: no such checkpoint. Restored from last.pt" in capsys.readouterr().out
    assert bits(torch.load(run / "best.pt", weights_only=True)) == bits(before)
    # One step into the third epoch, the second's weights are in the save before.
    assert not fit_for(make(store, run, "audio", **{**how, "epochs": 3}), 1)
    (run / "best.pt").write_bytes(b"damaged")
    assert restore(run).file.name == "previous.pt"


def test_a_best_epoch_that_is_nowhere_is_told_by_training_and_evaluation_alike(store, tmp_path):
    """The history is made to say that the first of three epochs was the best."""
    run = tmp_path / "run"
    make(store, run, "audio").fit()
    state = torch.load(run / "last.pt", weights_only=True)
    for row, loss in zip(state["progress"]["history"], (0.1, 0.5, 0.4), strict=True):
        row["validation_log_loss"] = loss
    torch.save(state, run / "last.pt")
    best = torch.load(run / "best.pt", weights_only=True)
    torch.save({**best, "epoch": 2}, run / "best.pt")
    told = r"best\.pt: holds the weights of epoch 2, but by metrics\.csv the best is epoch 1.*"
    told += r"in no other file.*"
    remedy = r"evaluate --checkpoint last.*--no-resume"
    for lost in (False, True):
        with pytest.raises(AvscError, match=remedy if lost else told + remedy):
            make(store, run, "audio").fit()
        with pytest.raises(AvscError, match=remedy if lost else told + remedy):
            restore(run)
        (run / "best.pt").unlink(missing_ok=True)
    assert restore(run, "last").epoch == 3


def test_a_run_whose_folder_another_took_writes_nothing_more(store, tmp_path):
    for way in ("taken", "renamed"):
        out = tmp_path / way
        with claimed_run(out, print, False, lambda: None) as folder:
            settings = Settings(store=store, **{**SMALL, "epochs": 1})
            with Console() as console:
                session = Session.open(settings, console)
                training = prepare(SYSTEMS["audio"], settings, folder, True, session)
            before = sorted(out.iterdir())
            if way == "taken":
                (out / "claim").write_text("1@elsewhere 0 2026-01-01")
            else:
                out.rename(tmp_path / "moved")
            with pytest.raises(AvscError, match="no longer this process's"):
                training.fit()
            assert (sorted(out.iterdir()) == before) if way == "taken" else not out.exists()


def test_the_global_stream_is_left_alone(store, tmp_path):
    torch.manual_seed(5)
    expected = torch.random.get_rng_state()
    make(store, tmp_path / "run", "audio", epochs=1).fit()
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_two_steps_are_sgd_with_momentum_at_the_schedules_rate(store, tmp_path):
    training = make(store, tmp_path / "run", weight_decay=1e-3)
    by_hand = make(store, tmp_path / "hand", weight_decay=1e-3).network
    assert not fit_for(training, 2)

    run = training.run
    batches = training_batches(
        run.source, run.training, batch_size=32, seed=0, epoch=0,
        image_input=by_hand.visual.image_input, augment=Augment(), workers=0,
        device=training.session.device,
    )  # fmt: skip
    parameters = by_hand.trainable_parameters()
    velocity = [torch.zeros_like(parameter) for parameter in parameters]
    by_hand.train()
    for number, batch in zip(range(2), batches, strict=False):
        rate = 1e-5 + (1e-2 - 1e-5) * (1 + np.cos(np.pi * number / 5 / 10)) / 2
        with torch.random.fork_rng():
            torch.manual_seed(step_seed(0, 0, number))
            logits = by_hand(batch.acoustic, batch.images)
        loss = -logits.log_softmax(1)[torch.arange(32), batch.scene].mean()
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient, speed in zip(parameters, gradients, velocity, strict=True):
                speed.mul_(0.9).add_(gradient + 1e-3 * parameter)
                parameter -= rate * speed
    torch.testing.assert_close(
        training.network.state_dict(), by_hand.state_dict(), rtol=1e-5, atol=1e-6
    )


def test_steps_have_seeds_of_their_own():
    seeds = {step_seed(*key) for key in np.ndindex(4, 5, 50)}
    assert len(seeds) == 4 * 5 * 50


@pytest.mark.parametrize("system", ["audio", "video", "joint"])
@pytest.mark.parametrize("protocol", ["strict", "centred"])
def test_validation_is_the_official_metric_of_the_validation_clips(
    store, tmp_path, system, protocol
):
    training = make(store, tmp_path / "run", system, epochs=1, protocol=protocol)
    training.fit()
    network = restore(tmp_path / "run", "last").network
    samples, source = training.run.validation, training.run.source
    total = {}
    for at in range(len(samples)):
        if protocol == "strict" and not samples.strict[at]:
            continue
        sound = image = None
        if samples.frame is not None:
            sound = torch.from_numpy(source.acoustic[samples.frame[at : at + 1]])
        if samples.image is not None:
            # Without augmentation a training batch shows the evaluation view.
            (batch,) = training_batches(
                source, samples.take(np.array([at])), batch_size=1, seed=0, epoch=0,
                image_input=network.visual.image_input, augment=None, workers=0,
                device=torch.device("cpu"),
            )  # fmt: skip
            image = batch.images
        with torch.no_grad():
            probability = network(sound, image).double().softmax(1)[0].numpy()
        key = int(samples.scene[at]), int(samples.clip[at]), int(samples.second[at])
        total.setdefault(key, []).append(probability)
    losses = [[], [], []]
    for (scene, _, _), found in total.items():
        losses[scene].append(-np.log(np.mean(found, axis=0)[scene]))
    expected = np.mean([np.mean(each) for each in losses])
    assert training.progress.history[0].validation_log_loss == pytest.approx(expected, rel=1e-4)


def test_only_the_training_fold_is_used_and_places_are_not_shared(store, tmp_path):
    training = make(store, tmp_path / "run", "audio").run
    clips = Store.open(store).clips
    parts = [
        {(clips[row].fold, clips[row].location) for row in np.unique(samples.clip)}
        for samples in (training.training, training.validation)
    ]
    assert {fold for part in parts for fold, _ in part} == {"train"}
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == len({c.location for c in clips if c.fold == "train"})


def test_normalisation_is_of_the_training_frames_alone(store, tmp_path):
    training = make(store, tmp_path / "run", "audio")
    acoustic, samples = training.run.source.acoustic, training.run.training
    frames = acoustic[samples.frame].astype(np.float64)
    encoder = training.network.acoustic
    np.testing.assert_allclose(encoder.mean, frames.mean(0), rtol=1e-6)
    np.testing.assert_allclose(encoder.deviation, frames.std(0), rtol=1e-6)


def test_without_validation_the_last_epoch_is_kept(store, tmp_path, capsys):
    training = make(store, tmp_path / "run", "audio", validation="none", epochs=2)
    assert "the last epoch is kept as the best" in capsys.readouterr().out
    assert training.fit()
    assert restore(tmp_path / "run").epoch == 2
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1].endswith(",,")


def test_the_best_epoch_is_kept(store, tmp_path):
    training = make(store, tmp_path / "run", "audio", epochs=4)
    training.fit()
    losses = [row.validation_log_loss for row in training.progress.history]
    assert restore(tmp_path / "run").epoch == 1 + int(np.argmin(losses))


@pytest.mark.parametrize(
    ("losses", "patience", "finished"),
    [
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.6, 0.4], 2, True),
        ([0.5, 0.4, 0.6, 0.4], 0, False),
        ([0.5], 1, False),
        ([], 1, False),
    ],
)
def test_patience(store, tmp_path, losses, patience, finished):
    training = make(store, tmp_path / "run", "audio", epochs=10, patience=patience)
    training.progress.history = [Row(n + 1, 0, 0, loss, 0) for n, loss in enumerate(losses)]
    training.progress.epoch = len(losses)
    assert training.finished == finished


def test_a_loss_that_is_not_finite_stops_and_is_not_saved(store, tmp_path):
    training = make(store, tmp_path / "run", "audio", lr_max=1e30)
    with pytest.raises(AvscError, match=r"no longer finite in epoch 1.*lower --lr-max"):
        training.fit()
    assert not (tmp_path / "run" / "last.pt").exists()


def test_a_run_needs_no_download_once_begun(store, tmp_path, monkeypatch):
    make(store, tmp_path / "run", "video", epochs=1).fit()
    monkeypatch.setattr("avsc.train.fit.encoders.first_visual", None)  # fails when called
    assert make(store, tmp_path / "run", "video", epochs=1).finished
    (tmp_path / "run" / "visual.pt").unlink()
    with pytest.raises(AvscError, match=r"visual\.pt: no such file"):
        restore(tmp_path / "run")


def test_a_changed_visual_encoder_is_found(store, tmp_path):
    make(store, tmp_path / "run", "video", epochs=1).fit()
    path = tmp_path / "run" / "visual.pt"
    state = torch.load(path, weights_only=True)
    next(iter(state.values())).add_(1)
    torch.save(state, path)
    with pytest.raises(AvscError, match=r"visual\.pt: found weights with digest"):
        restore(tmp_path / "run")


def test_failed_clips_are_counted(tmp_path, capsys):
    clips = small_clips()
    trained = [row for row, clip in enumerate(clips) if clip.fold == "train"]
    tested = next(row for row, clip in enumerate(clips) if clip.fold == "test")
    store = small_store(tmp_path / "store", clips=clips, failed=(trained[0], tested))
    make(store, tmp_path / "run", "audio")
    assert "1 of these 18 clips lack some or all of scalogram" in capsys.readouterr().out


def test_a_class_without_samples_is_named(tmp_path):
    clips = small_clips()
    failed = [row for row, clip in enumerate(clips) if clip.scene == "scene1"]
    store = small_store(tmp_path / "store", clips=clips, failed=tuple(failed))
    with pytest.raises(AvscError, match="class 'scene1' has no training samples"):
        make(store, tmp_path / "run", "audio")
    assert not (tmp_path / "run").exists()


def test_a_set_without_folds_is_all_for_training(tmp_path):
    clips = tuple(dataclasses.replace(clip, fold=None) for clip in small_clips())
    store = small_store(tmp_path / "none", clips=clips)
    run = make(store, tmp_path / "run", "audio").run
    assert len(np.unique([*run.training.clip, *run.validation.clip])) == len(clips)
    tested = tuple(dataclasses.replace(clip, fold="test") for clip in clips)
    with pytest.raises(AvscError, match="none in the training fold"):
        make(small_store(tmp_path / "test", clips=tested), tmp_path / "other", "audio")


def test_the_network_learns(store, straight):
    rows = (straight / "metrics.csv").read_text().splitlines()
    assert float(rows[-1].split(",")[-1]) == 1.0
    assert isinstance(restore(straight).network, nn.Module)


def on_a_terminal(command):
    """Run a command on a terminal of its own and return what it showed."""
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # the kernel's word for the end of a terminal
            while part := os.read(ours, 65536):
                shown += part
        os.close(ours)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_progress_is_plain_lines_off_a_terminal_and_a_bar_on_one(tmp_path, capsys):
    with Console(plain_seconds=0) as console:
        assert console.due()
        console.show("epoch 1, loss 0.5", 3, 7)
    assert capsys.readouterr().out == "epoch 1, loss 0.5, batch 3 of 7\n"
    with Console() as console:
        assert not console.due()

    script = (
        "import sys; from pathlib import Path; from avsc.train.fit.console import Console\n"
        "with Console() as console:\n"
        "    console.say('before [there is] a log'); console.log_to(Path(sys.argv[1]))\n"
        "    console.show('epoch 1, loss 0.5', 3, 7); console.say('x' * 200)\n"
    )
    shown = on_a_terminal([sys.executable, "-c", script, str(tmp_path / "log.txt")])
    assert "before [there is] a log\n" in shown
    assert "3/7" in shown
    assert "x" * 200 + "\n" in shown
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["before [there is] a log", "x" * 200]
