"""The benchmarks of reading, stored size and training run at toy size, and print their tables."""

import importlib
import itertools
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from labelled import by_class

from avsc.train.data.prefetch import prefetch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def printed(program, *arguments):
    command = [sys.executable, BENCHMARKS / program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(text):
    """Return the cells of each line of the tables that were printed, by the first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in lines}


def test_reading():
    text = printed("reading.py", "--clips", 3, "--rounds", 3)
    found = rows(text)
    for name in ("flat file", "avsc", "tar with an index", "HDF5, a dataset each", "mapped .npy"):
        assert float(found[name][0]) > 0
    assert "first touch of a batch" in text
    assert "opening a store of 200 part files" in text


def test_training_on_a_gpu_at_toy_size():
    arguments = ("--backbone", "test_efficientnet", "--image-size", 32, "--batch-size", 8)
    text = printed("train_gpu.py", "--device", "cpu", *arguments, "--clips", 2, "--steps", 2)
    found = rows(text)
    assert float(found["model"][1]) == 1
    assert float(found["trainer"][0]) > 0
    shares = [float(cells[1]) for name, cells in found.items() if "." in name or "conv" in name]
    assert len(shares) > 4
    assert sum(shares) == pytest.approx(1, abs=0.05)
    assert "a step waits for the device: not asked" in text


def test_resuming_at_toy_size():
    arguments = ("--backbone", "test_efficientnet", "--image-size", 32, "--batch-size", 32)
    found = rows(printed("resume.py", "--device", "cpu", *arguments, "--clips", 2, "--every", 2))
    assert found["stopped"][0] == "1"
    assert found["stopped"][2] == found["straight"][2] == "0.0e+00"


def test_sharing_views():
    arguments = ("--backbone", "test_efficientnet", "--image-size", 32, "--batch-size", 32)
    found = rows(printed("sharing.py", *arguments, "--clips", 2))
    pairs, images = (
        {name: int(found[name][column]) for name in ("1", "2", "3", "all")} for column in (0, 1)
    )
    assert set(pairs.values()) == {96}
    assert images["1"] == 96 > images["2"] > images["3"] > images["all"] >= 18


def test_stored_sizes():
    text = printed("stored_size.py", "--pictures", 1, "--views", 1, "--rounds", 1)
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    kib, error = ({(c[0], c[1]): float(c[n]) for c in cells[2:]} for n in (2, 4))
    assert len(kib) == 20
    assert kib["256", "80"] < kib["320", "90"] < kib["source", "95"]
    assert error["256", "80"] > error["320", "90"] > error["source", "95"] > 0


def test_waiting_is_asked_of_the_step_alone(monkeypatch):
    """PyTorch's mode is the process's: a thread that makes batches then would fail in it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    waits = importlib.import_module("train_gpu").waits
    seen = []

    def mode(name):
        threads = [each.name for each in threading.enumerate() if "prefetch" in each.name]
        seen.append((name, threads))

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", mode)
    batches = prefetch(map(torch.tensor, itertools.count()), torch.device("cpu"))
    session = SimpleNamespace(device=torch.device("cuda", 0))
    trainer = SimpleNamespace(session=session, _step=lambda batch: seen.append(int(batch)))
    assert waits(trainer, batches) == "no"
    assert seen == [("error", []), 0, ("default", [])]


def test_segments_of_urbansas_say_when_any_vehicle_is_heard(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    urbansas = importlib.import_module("urbansas")
    sounds = [{"start": 2.0, "end": 3.4}, {"start": 3.0, "end": 6.5}, {"start": 9.2, "end": 10.02}]
    found = urbansas.spans(sounds)
    assert [str(span) for span in found] == [
        "0-2 no vehicle", "2-6.5 vehicle", "6.5-9.2 no vehicle", "9.2-10 vehicle"
    ]  # fmt: skip
    assert [str(span) for span in urbansas.spans([])] == ["0-10 no vehicle"]


def test_fifteen_scene_opens_the_test_half_once_and_tells_what_is_in_both(tmp_path):
    scenes = by_class(tmp_path / "scenes", training=9, validation=4)
    (scenes / "val").rename(scenes / "test")
    (scenes / "test/place0").rename(scenes / "test/Place0")
    twin = (scenes / "train/place1/003.jpg").read_bytes()
    (scenes / "test/place1/twin.jpg").write_bytes(twin)
    arguments = ("--backbone", "test_resnet", "--weights", "random", "--image-size", 32)
    more = ("--epochs", 1, "--held-out", 1, "--batch-size", 8, "--workers", 0)
    text = printed("fifteen_scene.py", scenes, "--work", tmp_path / "work", *arguments, *more)
    assert "24 for training, 3 for validation, 3 classes" in text
    assert "in both halves: place1/twin.jpg is place1/003.jpg of training" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["13", "13", "12", "12", "13"]
    assert "second minus first" in lines[-1]
