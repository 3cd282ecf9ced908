"""avsc-fit at the command line: settings from everywhere, refusals, signals, kills, going on."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
import torch
from commands import refused
from stale import stale_file
from stores import small_clips, small_store

from avsc.manifests import folder_claims
from avsc.manifests.folder_claims import claimed
from avsc.train.evaluate import evaluate as evaluate_module
from avsc.train.fit.trainer import Trainer

FAST = ["--batch-size", "32", "--device", "cpu", "--workers", "0"]
SIGHT = ["--backbone", "test_efficientnet.r160_in1k", "--visual-weights", "random",
         "--image-size", "32"]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("stores") / "small")


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from avsc.train.cli import program\n"
        "program.main(['--help'], standalone_mode=False)\n"
        "program.main(['joint', '--help'], standalone_mode=False)\n"
        "sys.exit(', '.join({'torch', 'numpy', 'h5py', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert all(verb in done.stdout for verb in ("audio", "video", "joint", "evaluate"))


def test_defaults_are_stable_names(fit, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = fit("audio", "--device", "cpu")
    refused(result, 1, "stores/TAU2021", "avsc-prep extract")
    small_store(tmp_path / "stores" / "TAU2021")
    code, out, _ = fit("audio", *FAST, "--epochs", 1)
    assert code == 0
    assert out.startswith("device: cpu, 1 threads (as requested)\n")
    assert out.endswith("next: avsc-fit evaluate runs/audio\n")
    assert "\r" not in out
    assert {path.name for path in (tmp_path / "runs" / "audio").iterdir()} == {
        "settings.json", "split.csv", "last.pt", "best.pt", "metrics.csv", "timing.csv",
        "tensorboard", "log.txt"
    }  # fmt: skip


@pytest.mark.parametrize("system", ["video", "joint"])
def test_systems_with_images_train_and_can_be_evaluated(fit, store, tmp_path, system):
    run = tmp_path / "run"
    code, out, _ = fit(
        system, "--store", store, "--out", run, *FAST, *SIGHT, "--batch-size", 16, "--epochs", 1
    )
    assert code == 0
    assert "visual encoder: test_efficientnet.r160_in1k, random seed 0" in out
    assert (run / "visual.pt").is_file()


def test_settings_come_from_file_environment_and_options(fit, store, tmp_path, monkeypatch):
    file = tmp_path / "fit.toml"
    file.write_text(f'store = "{store}"\nbatch-size = 16\nepochs = 9\n[audio]\nseed = 9\n')
    monkeypatch.setenv("AVSC_EPOCHS", "1")
    monkeypatch.setenv("AVSC_SEED", "8")
    run = tmp_path / "run"
    given = ["--config", file, "--seed", 7, "--shift", 1, "--device", "cpu"]
    code, out, _ = fit("audio", *given, "--out", run)
    assert code == 0
    assert "note: without effect on this run: --shift\n" in out
    found = json.loads((run / "settings.json").read_text())["settings"]
    assert (found["batch_size"], found["epochs"], found["seed"]) == (16, 1, 7)
    file.write_text("batchsize = 16\n")
    refused(fit("audio", "--config", file), 2, "batchsize", "Did you mean 'batch-size'?")
    monkeypatch.delenv("AVSC_EPOCHS")
    file.write_text('epochs = "many"\n')
    refused(fit("audio", "--config", file), 2, "epochs", str(file), "'many'")


def test_wrong_use_is_refused(fit, store, tmp_path):
    run = ["--store", store, "--out", tmp_path / "run"]
    refused(fit("audio", *run, "--seeds", 1), 2, "--seeds", "--seed")
    refused(fit("audio", *run, "--epochs", "many"), 2, "--epochs", "many")
    refused(fit("audio", *run, "--feature", "mfcc"), 2, "--feature", "mfcc", "scalogram")
    refused(fit("audio", *run, "--lr-max", -1), 2, "--lr-max is -1.0")
    refused(fit("audio", *run, *FAST, "--batch-size", 1000), 2, "180 training samples", "1000")
    refused(fit("joint", *run, *FAST, *SIGHT, "--augment", "crop,zoom"), 2, "unknown part 'zoom'")
    refused(fit("joint", *run, *FAST, "--backbone", "resnet5"), 2, "backbone 'resnet5'")
    refused(fit("fuse"), 2, "No such verb 'fuse'")
    assert not (tmp_path / "run").exists()


def test_a_missing_cuda_device_is_an_error(fit, store, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = fit("audio", "--store", store, "--out", tmp_path / "run", "--device", "cuda")
    refused(result, 2, "--device is cuda", "finds 0 CUDA devices", "--device cpu")


def test_bad_stores_are_refused(fit, store, tmp_path):
    run = ["--out", tmp_path / "run", *FAST]
    refused(fit("audio", "--store", tmp_path, *run), 1, str(tmp_path))
    part = small_store(tmp_path / "part", products=("images",))
    refused(fit("audio", "--store", part, *run), 1, "no scalogram; it has images", "--products")
    damaged = Path(shutil.copytree(store, tmp_path / "damaged"))
    for file in (damaged / "scalogram").rglob("*.h5"):
        with h5py.File(file) as content:
            at = content["data"].id.get_offset()
        data = bytearray(file.read_bytes())
        data[at + 1000] ^= 1
        file.write_bytes(data)
    refused(fit("audio", "--store", damaged, *run), 1, "checksum", "avsc-prep verify")
    (damaged / "index.h5").unlink()
    refused(fit("audio", "--store", damaged, *run), 1, "not closed", "avsc-prep extract")
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_had_are_refused(fit, store, tmp_path, monkeypatch):
    run = ["--store", store, "--out", tmp_path / "run", *FAST, *SIGHT]
    result = fit("joint", *run, "--visual-weights", tmp_path / "none.pth")
    refused(result, 1, "none.pth: no such file of weights", "'random', by name")

    def offline(*args, **kwargs):
        raise ConnectionError("no network here")

    monkeypatch.setattr("timm.create_model", offline)
    result = fit("joint", *run, "--visual-weights", "pretrained")
    refused(result, 1, "cannot be had", "no network here", "'random', by name")
    assert not (tmp_path / "run").exists()


def test_a_run_of_other_settings_is_refused_or_renamed(fit, store, tmp_path):
    out = tmp_path / "run"
    run = ["--store", store, "--out", out, *FAST, "--epochs", 1]
    assert fit("audio", *run)[0] == 0
    before = (out / "last.pt").read_bytes()
    refused(
        fit("audio", *run, "--concat", "all"), 2,
        "different --concat ('input', now 'all')", "--no-resume",
    )  # fmt: skip
    refused(fit("joint", *run, *SIGHT), 2, "different system ('audio', now 'joint')")
    changed = small_store(tmp_path / "changed", seed=1)
    refused(fit("audio", *run, "--store", changed), 2, "different store's scalogram")
    assert (out / "last.pt").read_bytes() == before

    code, said, _ = fit("audio", *run)
    assert code == 0
    assert "resuming after 1 epochs" in said
    assert "done: 1 epochs" in said
    assert (out / "last.pt").read_bytes() == before
    code, said, _ = fit("audio", *run, "--concat", "all", "--no-resume")
    assert code == 0
    assert f"{out}: the run that was here is now {out}.1" in said
    assert (tmp_path / "run.1" / "last.pt").read_bytes() == before


def test_a_run_may_begin_anew_in_the_folder_that_one_is_in(fit, store, tmp_path, monkeypatch):
    """``--out .`` has no name to be renamed by, until it is asked for."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    run = ["audio", "--store", store, "--out", ".", *FAST, "--epochs", 1]
    assert fit(*run)[0] == 0
    before = (tmp_path / "run" / "last.pt").read_bytes()
    code, said, _ = fit(*run, "--concat", "all", "--no-resume")
    assert code == 0
    assert f"{tmp_path}/run: the run that was here is now {tmp_path}/run.1" in said
    assert (tmp_path / "run.1" / "last.pt").read_bytes() == before
    assert (tmp_path / "run" / "best.pt").exists()


def test_damaged_checkpoints_are_refused(fit, store, tmp_path):
    out = tmp_path / "run"
    run = ["--store", store, "--out", out, *FAST, "--epochs", 1]
    assert fit("audio", *run)[0] == 0
    whole = (out / "last.pt").read_bytes()
    (out / "last.pt").write_bytes(whole[: len(whole) // 2])
    refused(fit("audio", *run), 1, "last.pt: not a checkpoint", "damaged", "--no-resume")
    other = tmp_path / "other"
    assert fit("audio", *run, "--out", other, "--concat", "all")[0] == 0
    shutil.copy(other / "last.pt", out)
    refused(fit("audio", *run), 1, "last.pt", "the files are of two runs")
    (out / "settings.json").write_text("{")
    refused(fit("audio", *run), 1, "settings.json: not the settings of a run")


def test_a_full_disk_leaves_the_last_save(fit, store, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run = ["--store", store, "--out", out, *FAST]
    assert fit("audio", *run, "--epochs", 1)[0] == 0
    before = (out / "last.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _full)
        refused(fit("audio", *run, "--epochs", 2), 1, "could not be written (No space left")
    assert (out / "last.pt").read_bytes() == before
    assert fit("audio", *run, "--epochs", 2)[0] == 0


def _full(descriptor):
    raise OSError(28, "No space left on device")


def test_missing_clips_are_counted(fit, tmp_path):
    store = small_store(tmp_path / "store", clips=small_clips(), failed=(0,))
    run = ["--store", store, "--out", tmp_path / "run", *FAST, "--epochs", 1]
    code, out, _ = fit("audio", *run, "--validation", "none")
    assert code == 0
    assert "1 of these 18 clips lack some or all of scalogram" in out
    assert "the last epoch is kept as the best" in out


def test_tensorboard_has_each_epoch_once(fit, store, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = ["audio", "--store", store, "--out", tmp_path / "run", *FAST]
    for epochs in (1, 2, 3):
        assert fit(*run, "--epochs", epochs)[0] == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    found = events.Scalars("validation_log_loss")
    assert [event.step for event in found] == [1, 2, 3]
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    assert [float(row.split(",")[3]) for row in rows] == pytest.approx(
        [event.value for event in found], rel=1e-6
    )


def epochs_done(out):
    metrics = out / "metrics.csv"
    return len(metrics.read_text().splitlines()) - 1 if metrics.exists() else 0


def wait_for(out, epochs):
    end = time.monotonic() + 600
    while epochs_done(out) < epochs:
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A store, the command for four epochs on it, and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("long")
    clips = small_clips(clips_per_location=4)
    store = small_store(folder / "store", products=("scalogram",), clips=clips)
    return ["audio", "--store", store, *FAST, "--epochs", 4], folder / "straight"


def assert_ends_as_undisturbed(fit, long_run, out):
    command, straight = long_run
    assert fit(*command, "--out", out)[0] == 0
    assert fit(*command, "--out", straight)[0] == 0  # the second time there is nothing left to do
    assert (out / "metrics.csv").read_bytes() == (straight / "metrics.csv").read_bytes()
    for name in ("best.pt", "last.pt"):
        found, wanted = (
            torch.load(folder / name, weights_only=True)["network"] for folder in (out, straight)
        )
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)]
)
def test_a_signal_saves_and_leaves(fit, long_run, tmp_path, monkeypatch, number, status):
    command, _ = long_run
    out, step = tmp_path / "run", Trainer._step

    def step_and_be_asked(self, *slices):
        step(self, *slices)
        if (self.progress.epoch, self.progress.batch) == (1, 2):
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step_and_be_asked)
        code, said, _ = fit(*command, "--out", out)
    assert code == status
    assert f"stopped by {number.name} after 1 epochs and 2 of " in said
    assert epochs_done(out) == 1
    assert_ends_as_undisturbed(fit, long_run, out)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_second_start_is_refused_while_the_first_lives_and_takes_over_when_it_is_killed(
    fit, long_run, tmp_path
):
    """Also with --no-resume, which would have renamed the folder under the first."""
    command, out = long_run[0], tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-m", "avsc.train.cli", *map(str, command), "--out", out,
         "--epochs", "100000"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(out, 2)
        first.send_signal(signal.SIGSTOP)  # so that the folder is still while it is looked at
        os.waitpid(first.pid, os.WUNTRACED)  # until it has stopped
        before = files(out)
        for more in ((), ("--no-resume", "--lr-max", 0.02)):
            result = fit(*command, "--out", out, *more)
            refused(result, 1, f"{out}: a run is being trained here by process {first.pid} on ",
                    ", since 20", "--wait")  # fmt: skip
        assert files(out) == before and [path.name for path in tmp_path.iterdir()] == ["run"]
    finally:
        first.kill()
        first.wait()
    assert (out / "claim").exists()
    shutil.copy(out / "previous.pt", out / "last.pt")  # some epochs may be too many for the test
    done = torch.load(out / "last.pt", weights_only=True)["progress"]["epoch"]
    code, said, _ = fit(*command, "--out", out, "--epochs", done + 1)
    assert code == 0 and "resuming after " in said and "waiting" not in said
    assert not (out / "claim").exists()


def test_a_start_may_wait_for_the_one_before(fit, store, tmp_path, monkeypatch):
    """What the start waits for happens when it has begun to wait."""
    out = tmp_path / "run"
    run = ["audio", "--store", store, "--out", out, *FAST, "--epochs", 1, "--wait"]

    def while_waiting(act):
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: act())
        monkeypatch.setattr(folder_claims, "time", clock)

    held = claimed(out, "busy", "", print)
    held.__enter__()
    while_waiting(lambda: held.__exit__(None, None, None))
    code, said, _ = fit(*run)
    assert code == 0 and "waiting for its end" in said

    with claimed(out, "busy", "", print):
        while_waiting(lambda: os.kill(os.getpid(), signal.SIGTERM))
        refused(fit(*run), 75, "stopped by SIGTERM while", "The same command resumes")


def test_an_evaluation_is_of_one_run_and_written_by_one_process(fit, store, tmp_path, monkeypatch):
    out = tmp_path / "run"
    run = ["audio", "--store", store, "--out", out, *FAST, "--epochs", 3]
    assert fit(*run)[0] == 0
    evaluation = ["evaluate", out, "--device", "cpu", "--workers", 0, "--resamples", 100]
    with claimed(out / "evaluation-test", "busy", "", print):
        refused(fit(*evaluation), 1, "an evaluation is being made here by process ", "--out")
    assert not (out / "evaluation-test").exists()

    assert fit(*evaluation)[0] == 0
    with (out / "evaluation-test" / "predictions-strict.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    with (store / "clips.csv").open(newline="") as file:
        scenes = {row["id"]: row["scene"] for row in csv.DictReader(file)}
    classes = sorted(set(scenes.values()))
    right = [
        max(classes, key=lambda name: float(row[name]))
        == scenes[row["filename"].rpartition("_")[0]]
        for row in rows
    ]
    assert len(right) >= 18 and sum(right) > 0.9 * len(right)

    summarise = evaluate_module.summarise

    def summarise_while_another_run_begins(*args):
        assert fit(*run, "--no-resume", "--lr-max", 0.02, "--epochs", 1)[0] == 0
        monkeypatch.setattr(evaluate_module, "summarise", summarise)
        return summarise(*args)

    monkeypatch.setattr(evaluate_module, "summarise", summarise_while_another_run_begins)
    refused(fit(*evaluation), 1, "another run was started here while this one was evaluated")
    assert not (out / "evaluation-test" / "report.md").exists()


def test_the_installed_command_stopped_or_killed_ends_as_it_would_have(fit, long_run, tmp_path):
    program = shutil.which("avsc-fit", path=str(Path(sys.executable).parent))
    assert program, "avsc-fit is not installed beside this Python"
    outs = tmp_path / "stopped", tmp_path / "killed"
    processes = [
        subprocess.Popen(
            ["nice", program, *map(str, long_run[0]), "--out", out],  # not before who looks at it
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for out in outs
    ]

    def end(process, out, number):
        wait_for(out, 1)
        process.send_signal(number)

    with ThreadPoolExecutor() as pool:
        list(pool.map(end, processes, outs, (signal.SIGTERM, signal.SIGKILL)))
    (said, err), _ = (process.communicate(timeout=600) for process in processes)
    assert [process.returncode for process in processes] == [75, -signal.SIGKILL]
    assert err == "SIGTERM: stopping after this step; again: at once.\n"
    assert said.endswith("The same command resumes.\n")
    half = stale_file(outs[1], "last.pt")
    for out in outs:
        assert epochs_done(out) < 4
        assert_ends_as_undisturbed(fit, long_run, out)
    assert not half.exists()
