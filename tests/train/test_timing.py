"""Times of epochs: what timing.csv holds, and that a damaged one stops no training."""

import time

import torch

from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.timing import EpochTime, EpochTimer, read_timing

CPU = torch.device("cpu")


def name():
    return f"cpu, {torch.get_num_threads()} threads"


def timer(folder, epochs=0, processes=ALONE):
    session = Session(Computing(CPU, 32, 0), Console(), StopRequest(), processes)
    return EpochTimer(RunFolder(folder), epochs, session)


def test_seconds_are_those_from_start_to_stop_with_what_computed_them(tmp_path):
    watch = timer(tmp_path, processes=Processes(rank=0, count=2))
    time.sleep(0.05)
    begun = time.monotonic()
    watch.start(3)
    time.sleep(0.1)
    seconds = watch.stop(1)
    assert 0.1 <= seconds <= time.monotonic() - begun
    assert read_timing(tmp_path / "timing.csv") == [EpochTime(1, 3, round(seconds, 3), name(), 2)]


def test_a_resumed_run_keeps_the_times_of_the_epochs_that_are_done(tmp_path):
    watch = timer(tmp_path)
    for epoch in (1, 2, 3):
        watch.stop(epoch)
    first = read_timing(tmp_path / "timing.csv")[0]
    timer(tmp_path, epochs=1).stop(2)
    times = read_timing(tmp_path / "timing.csv")
    assert times[0] == first and [row.epoch for row in times] == [1, 2]


def test_process_0_alone_writes(tmp_path):
    assert timer(tmp_path, processes=Processes(rank=1, count=2)).stop(1) >= 0
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_and_begun_anew(tmp_path, capsys):
    for content in (b"epoch,first_batch\n1,0\n", b"\xff\xfe", b"epoch,first_batch,seconds"):
        (tmp_path / "timing.csv").write_bytes(content)
        watch = timer(tmp_path, epochs=1)
        said = capsys.readouterr().out
        if content.startswith(b"epoch,first_batch,s"):  # cut before its first row
            assert said == ""
        else:
            assert "timing.csv: not the epoch times of a run" in said and "rewritten" in said
        watch.stop(2)
        assert [row.epoch for row in read_timing(tmp_path / "timing.csv")] == [2]


def test_a_change_of_the_device_that_draws_is_told(tmp_path, capsys):
    other = "cuda:3, NVIDIA A100"
    file = tmp_path / "timing.csv"
    timer(tmp_path).stop(1)
    timer(tmp_path, epochs=1)
    assert capsys.readouterr().out == ""
    file.write_text(file.read_text().replace(f'"{name()}"', f'"{other}"').replace(name(), other))
    assert read_timing(file)[0].device == other
    timer(tmp_path, epochs=1)
    assert (
        "last epoch was computed on NVIDIA A100, the next is on the CPU" in capsys.readouterr().out
    )
    timer(tmp_path, epochs=0)  # which drops its row
    assert capsys.readouterr().out == ""
