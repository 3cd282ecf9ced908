"""Several processes train one run: the same numbers as one, one set of files, signals, faults."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import every_system
import pytest
import together
import torch
from labelled import by_class
from ports import free_ports
from stores import small_store

from avsc.manifests.errors import SettingError
from avsc.train.fit.compute import cores
from avsc.train.fit.device import choose_device
from avsc.train.fit.distributed import ALONE, Processes, joined

PLACES = [
    *("--backbone", "test_resnet", "--visual-weights", "random", "--image-size", "32"),
    *("--batch-size", "12", "--epochs", "2", "--device", "cpu", "--workers", "0"),
]
CLI = [sys.executable, "-m", "avsc.train.cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SECONDS = 600


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AVSC_", "OMP_"))}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def begun(arguments: list[str], count: int = 2) -> list[subprocess.Popen[str]]:
    """Start processes as srun does."""
    (port,) = free_ports(1)
    return [
        subprocess.Popen(
            arguments,
            env=environment(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]  # fmt: skip


def started(arguments: list[str], count: int = 2) -> list[tuple[int, str, str]]:
    """Run processes as srun does; return each one's status, standard output and error."""
    running = begun(arguments, count)
    try:
        said = [process.communicate(timeout=SECONDS) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(running, said, strict=True)]


def figures(run: Path) -> list[float]:
    """Return all numbers of a run's metrics.csv."""
    lines = (run / "metrics.csv").read_text().splitlines()
    assert len(lines) == 3
    return [float(value) for line in lines[1:] for value in line.split(",")]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return by_class(tmp_path_factory.mktemp("pictures") / "places", training=16, validation=5)


def test_two_processes_compute_what_one_does(tmp_path):
    """In float64, so that only rounding is left between them."""
    script = str(Path(together.__file__))
    found = started([sys.executable, script, str(tmp_path / "found.pt")])
    assert [code for code, _, _ in found] == [0, 0], found
    assert not any("FutureWarning" in err for _, _, err in found), found
    one, two = together.compute(ALONE), torch.load(tmp_path / "found.pt")
    for case in (*map(str, together.CASES), *every_system.NAMES):
        (losses, state, _), (losses2, state2, broadcasts) = one[case], two[case]
        assert broadcasts == 0  # of buffers, which are the same everywhere
        assert losses2 == pytest.approx(losses, rel=1e-10)
        torch.testing.assert_close(state2, state, rtol=1e-8, atol=1e-10)
        assert len(set(losses)) == len(losses)
    assert torch.equal(two["gathered"], one["gathered"])
    assert (one["highest"], two["highest"]) == (3, 4)


# Process 1 is asked to stop when it reads an image of the third batch.
ASKED = """
import os, signal
from avsc.train.data.image_folder import ImageFolder
read, reads = ImageFolder.read, []
def read_and_be_asked(self, record):
    reads.append(record)
    if os.environ["RANK"] == "1" and len(reads) == 14:
        os.kill(os.getpid(), signal.SIGUSR1)
    return read(self, record)
ImageFolder.read = read_and_be_asked
from avsc.train.cli import main
main()
"""


def test_they_stop_together_and_go_on_to_the_same_end(fit, images, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    run = ["places", "--data", str(images), *PLACES, "--out"]
    assert fit(*run, alone)[0] == 0
    found = started([sys.executable, "-c", ASKED, *run, str(both)])
    assert [code for code, _, _ in found] == [75, 75], found
    assert "stopped by SIGUSR1 after 0 epochs and 3 of 4 batches; saved" in found[0][1]
    assert found[1][1] == ""
    done = subprocess.run(
        [*TORCHRUN, "-m", "avsc.train.cli", *run, str(both)],
        env=environment(), check=True, timeout=SECONDS, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.count("resuming after 0 epochs and 3 of 4 batches") == 1
    assert done.stdout.count("done: 2 epochs") == 1
    assert {path.name for path in both.iterdir()} == {path.name for path in alone.iterdir()}
    assert len(list((both / "tensorboard").iterdir())) == 1
    assert figures(both) == pytest.approx(figures(alone), rel=2e-3)


def test_a_fault_of_one_ends_all_and_is_said_once(images, tmp_path):
    set_ = by_class(tmp_path / "set", training=16, validation=5)
    victim = set_ / "train" / "place1" / "003.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    found = started([*CLI, "places", "--data", str(set_), *PLACES, "--out", str(tmp_path / "run")])
    assert [code for code, _, _ in found] == [1, 1]
    errors = [line for _, _, text in found for line in text.splitlines() if "avsc-fit" in line]
    assert sum("003.jpg" in line for line in errors) == 1
    assert not any("Traceback" in text for _, _, text in found)


def test_what_cannot_be_shared_is_refused(monkeypatch):
    Processes(count=4).check(256)
    with pytest.raises(SettingError, match=r"256, which 3 processes .* multiple of 3, such as 258"):
        Processes(count=3).check(256)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SettingError, match=r"finds 2 CUDA devices here; wanted is number 2"):
        choose_device("cuda", Processes(rank=2, count=3, local_rank=2))
    with pytest.raises(SettingError, match=r"--device is cuda:1, but 3 processes"):
        choose_device("cuda:1", Processes(rank=2, count=3, local_rank=2))


# Process 1 dies once; process 0 would wait for it.
DYING = """
import os, time
from avsc.train.fit.distributed import joined
with joined() as processes:
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os._exit(1) if processes.rank else time.sleep(60)
    text = f"highest {processes.highest(processes.rank)} "
    os.write(1, text.encode())  # at once: they share a pipe, and print may write in parts
"""


def test_processes_that_torchrun_starts_again_find_each_other(tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    done = subprocess.run(
        [*TORCHRUN, "--max-restarts", "1", str(tmp_path / "dying.py")],
        env=environment(), timeout=SECONDS, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("highest 1")) == (0, 2), done.stderr


def test_variables_that_are_missing_are_named(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert processes is ALONE
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SettingError, match="RANK is ''"), joined():
        pass


def test_each_process_prepares_its_share():
    shares = [Processes(rank=rank, count=3).share(8) for rank in range(3)]
    assert [share.tolist() for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7, 0]]
    assert cores(Processes(count=2, local_count=10_000)) == 1


PAPER = ("--frames-per-image", "1")
BEYOND = (
    *("--frames-per-image", "all", "--modality-dropout", "0.5", "--modality-dropout-epochs", "1"),
    *("--shift", "1", "--fusion-norm", "batch", "--weight-average", "0.9"),
    *("--unimodal-heads", "1", "--accumulate", "2"),
)


@pytest.mark.parametrize("options", [PAPER, BEYOND], ids=["paper", "beyond"])
def test_two_processes_train_a_system_as_one_does(fit, tmp_path, options):
    store = small_store(tmp_path / "store", seconds=2)
    run = [
        *("joint", "--store", str(store), "--batch-size", "16", "--epochs", "2", "--device", "cpu"),
        *("--backbone", "test_efficientnet", "--visual-weights", "random", "--image-size", "32"),
        *("--workers", "0", "--lr-max", "0.001", *options, "--out"),
    ]
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert fit(*run, alone)[0] == 0
    found = started([*CLI, *run, str(both)])
    assert [code for code, _, _ in found] == [0, 0], found
    assert found[1][1] == ""
    assert not any("Warning" in error for _, _, error in found), found
    assert {path.name for path in both.iterdir()} == {path.name for path in alone.iterdir()}
    assert figures(both) == pytest.approx(figures(alone), rel=2e-3)
    for name in ("settings.json", "split.csv", "visual.pt"):
        assert (both / name).read_bytes() == (alone / name).read_bytes()


# Patient for seconds where the program is for minutes.
QUICK = """
import sys
from avsc.train.fit import peers
peers.BEAT, peers.QUIET, peers.SILENCE = 0.3, 3.0, float(sys.argv.pop(1))
from avsc.train.cli import main
main()
"""


@pytest.mark.parametrize("asked", [False, True])
def test_one_that_stops_answering_does_not_hold_up_the_other(fit, tmp_path, asked):
    """The other is stopped, not ended: its connections stay open and say nothing."""
    store = small_store(tmp_path / "store", products=("scalogram",))
    out = tmp_path / "run"
    run = ["audio", "--store", str(store), "--batch-size", "16", "--device", "cpu",
           "--workers", "0", "--out", str(out)]  # fmt: skip
    silence = 1000.0 if asked else 6.0
    running = begun([sys.executable, "-c", QUICK, str(silence), *run, "--epochs", "100000"])
    try:
        wait_for_file(out / "previous.pt")
        assert (out / "claim").exists()
        running[1].send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        if asked:
            time.sleep(1)
            running[0].send_signal(signal.SIGTERM)
        _, said = running[0].communicate(timeout=SECONDS)
        took = time.monotonic() - begin
    finally:
        for process in running:
            process.kill()
        running[1].communicate()
    assert running[0].returncode == 75, said
    why = "SIGTERM while it waited" if asked else "process 1 of 2 has sent no heartbeat"
    assert why in said and "resumes from the last checkpoint" in said and "Traceback" not in said
    # A heartbeat is sent every half a second; of a slow machine, the last may be older.
    assert took > (1.8 if asked else silence - 2)
    assert not (out / "claim").exists()
    done = len((out / "metrics.csv").read_text().splitlines()) - 1
    code, said, _ = fit(*run, "--epochs", done)
    assert code == 0 and "resuming after " in said


# Process 1 hangs at an image of the third batch, or process 0 in a save.
HANGING = """
import os, sys, time
from datetime import timedelta
from avsc.train.data.image_folder import ImageFolder
from avsc.train.fit import distributed, peers, trainer
distributed.STEP, peers.GRACE = timedelta(seconds=5), 1.0
which, read, reads, save = sys.argv.pop(1), ImageFolder.read, [], trainer.save_last
slow = [7] if which == "save" else []
def read_and_hang(self, record):
    reads.append(record)
    if which == "read" and os.environ["RANK"] == "1" and len(reads) == 14:
        time.sleep(1000)
    return read(self, record)
def save_slowly(*of):
    time.sleep(slow.pop() if slow else 0)
    save(*of)
ImageFolder.read, trainer.save_last = read_and_hang, save_slowly
from avsc.train.cli import main
main()
"""


@pytest.mark.parametrize("where", ["read", "save"])
def test_a_step_is_not_waited_for_long_but_a_save_is(images, tmp_path, where):
    out = tmp_path / "run"
    run = ["places", "--data", str(images), *PLACES, "--epochs", "1", "--save-minutes", "1e-9"]
    run += ["--out", str(out)]
    begin = time.monotonic()
    found = started([sys.executable, "-c", HANGING, where, *run])
    if where == "save":
        assert [code for code, _, _ in found] == [0, 0], found
        return
    assert [code for code, _, _ in found] == [75, 75], found
    assert time.monotonic() - begin < SECONDS  # it would sleep for 1000 s
    assert "one of them is alive and has not finished its step for 5 s (" in found[0][2]
    assert "Traceback" not in found[0][2]


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
