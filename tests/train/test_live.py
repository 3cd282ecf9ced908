"""A trained model on a source that is still running."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from commands import refused
from inferred import Trained
from live_media import free_port, sent, write_av

from avsc.features.live import feed as live_feed
from avsc.features.live.address import parse_addresses
from avsc.features.live.feed import TOO_SLOW, Feed, FeedSettings
from avsc.features.live.hop import Gap, Hop
from avsc.manifests.errors import MediaError, SettingError
from avsc.train.infer import load
from avsc.train.infer.formats import Format
from avsc.train.infer.live import ROUNDING, Answer, Tally, answer, follow, wanted_of
from avsc.train.infer.live_lines import LINES, line, write_live
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.windows import Windows

AS_FAST = FeedSettings(pace=None)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """As loud as what the runs were trained on, so that no probability is 1."""
    return write_av(tmp_path_factory.mktemp("recording") / "a.ts", 12.7, loudness=0.03)


def answers_of(model, path, windows):
    with Feed(parse_addresses(str(path)), wanted_of(model, windows), AS_FAST) as feed:
        return list(follow(model, feed))


@pytest.mark.parametrize("system", ["joint", "audio", "video", "end-to-end"])
@pytest.mark.parametrize("protocol", ["strict", "centred"])
def test_answers_are_those_for_the_file(world, recording, system, protocol):
    model = load(world.fit(system), device="cpu")
    windows = [Windows(protocol=protocol), Windows(2.5, 0.5, protocol=protocol)]
    for chosen in windows:
        live = answers_of(model, recording, chosen)
        whole = model.predict(
            recording, window=chosen.length, hop=chosen.hop, protocol=chosen.protocol
        )
        times = np.concatenate([item.prediction.times for item in live])
        np.testing.assert_array_equal(times, whole.times)
        found = np.concatenate([item.prediction.probability for item in live])
        assert np.abs(found - whole.probability).max() < ROUNDING / 10
        if system in ("joint", "audio"):
            assert found.std(0).max() > 0.05  # as different as they are, they are not mixed up


def test_the_temperature_of_a_model_is_applied(world, recording):
    model = replace(load(world.fit("joint"), device="cpu"), temperature=3.0)
    (first, *_) = answers_of(model, recording, Windows())
    whole = model.predict(recording)
    assert np.abs(first.prediction.probability[0] - whole.probability[0]).max() < ROUNDING


def test_frames_without_an_image_are_left_out(world, recording):
    model = load(world.fit("joint"), device="cpu")
    wanted = wanted_of(model, Windows(2.0, protocol="centred"))
    with Feed(parse_addresses(str(recording)), wanted, AS_FAST) as feed:
        hop = next(item for item in feed if isinstance(item, Hop))
    assert len(hop.images) == 2
    half = replace(hop, images=hop.images[:1], view=-hop.view)  # 0 and 1 become 0 and -1
    found = answer(model, half, "cam").prediction.probability
    whole = model.predict(recording, window=1.0, protocol="centred").probability[:1]
    assert np.abs(found - whole).max() < ROUNDING


@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38])
def test_samples_that_are_no_sound_are_a_gap(world, value):
    model = load(world.fit("audio"), device="cpu")
    samples = np.zeros((2, 8192), np.float32)
    assert isinstance(answer(model, Hop(3, 4, 1, 0.0, samples), "cam"), Answer)
    samples[1, 77] = value
    gap = Gap(3, 4, "samples far beyond 1, infinite or not numbers")
    assert answer(model, Hop(3, 4, 1, 0.0, samples), "cam") == gap


@pytest.mark.parametrize(
    ("windows", "text"),
    [
        (Windows(protocol="clip"), "--protocol clip is one answer for a whole recording"),
        (Windows(smooth=3), "--smooth averages over answers to come"),
        (Windows(0.05), "window is 0.05 s; 0.1 to 60 s"),
        (Windows(0.5), "window is 0.5 s, and an acoustic frame 0.512 s, which lies in none"),
        (Windows(1000.0, 1.0), "window is 1000 s; 0.1 to 60 s"),
    ],
)
def test_windows_that_a_live_source_does_not_have(world, windows, text):
    with pytest.raises(SettingError, match=text):
        wanted_of(load(world.fit("audio"), device="cpu"), windows)


def answered(start: float, latency: float = 0.04) -> Answer:
    times = np.array([[start, start + 1]], np.float64)
    return Answer(Prediction("cam", ("bus", "park"), times, np.array([[0.25, 0.75]])), latency)


GAP = Gap(3.5, 7.0, "no data for 10 s (--timeout)")


def test_lines():
    table, csv, jsonl = (Format(name, ("bus", "park"), 2, False) for name in LINES)
    assert line(table, answered(2), "c") == "00:00:02.000 - 00:00:03.000  park 0.750  bus 0.250\n"
    assert line(table, GAP, "c").endswith("00:00:07.000  -- no data for 10 s (--timeout)\n")
    assert line(csv, answered(2), "cam") == "cam,2.0,3.0,park,0.25,0.75\n"
    assert line(csv, GAP, "a,b") == '"a,b",3.5,7.0,,,\n'
    assert json.loads(line(jsonl, answered(2), "cam")) == {
        "file": "cam",
        "start": 2.0,
        "end": 3.0,
        "scores": [{"label": "park", "score": 0.75}, {"label": "bus", "score": 0.25}],
        "latency": 0.04,
    }
    assert json.loads(line(jsonl, GAP, "cam")) == {
        "file": "cam", "start": 3.5, "end": 7.0, "gap": "no data for 10 s (--timeout)"
    }  # fmt: skip


def test_lines_say_what_an_answer_lacks():
    seen = answered(2)
    seen = replace(seen, prediction=replace(seen.prediction, without=("audio",)))
    table, csv, jsonl = (Format(name, ("bus", "park"), 2, False, lacks=True) for name in LINES)
    assert line(table, seen, "c").endswith("park 0.750  bus 0.250  (no sound)\n")
    rows = (csv.header, line(csv, seen, "c"), line(csv, answered(3), "c"), line(csv, GAP, "c"))
    assert [row.count(",") for row in rows] == [6] * 4
    assert rows[1] == "cam,2.0,3.0,park,0.25,0.75,audio\n" and rows[2].endswith("0.75,\n")
    assert json.loads(line(jsonl, seen, "c"))["without"] == ["audio"]
    tally = Tally()
    for item in (seen, answered(3)):
        tally.add(item)
    assert str(tally).startswith("2 answers; 1 of them without sound; latency")


def test_the_tally():
    tally = Tally()
    for start in range(100):
        tally.add(answered(start, start / 1000))
    tally.add(Gap(100, 103, TOO_SLOW))
    tally.add(Gap(103, 103.5, "lost"))
    assert str(tally) == (
        "100 answers; latency 0.050 s (median), 0.098 s (99th percentile); 3 s dropped because "
        "answers took longer than the source; 0.500 s without an answer for other reasons."
    )


def test_a_stream_is_written_line_by_line(world, recording, monkeypatch, capsys):
    monkeypatch.setattr(live_feed, "PATIENCE", 60.0)  # however slow the machine, nothing is dropped
    monkeypatch.setattr(live_feed, "PAUSES", (1, 1000))  # the second is more than is waited for
    model = load(world.fit("joint"), device="cpu")
    out = io.StringIO()
    flushed = []
    monkeypatch.setattr(out, "flush", lambda: flushed.append(len(out.getvalue().splitlines())))
    with sent("http", recording, [(0, 4, 0, 0), (6, 9, 5, 0)], pace=2) as address:
        settings = FeedSettings(give_up=600)
        form = Format("jsonl", model.classes, 1, False)
        with pytest.raises(MediaError, match="--give-up"):
            write_live(model, parse_addresses(address), Windows(), settings, form, out)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert flushed == list(range(1 + len(records)))  # what comes before them is empty
    assert [record["start"] for record in records[:4]] == [0, 1, 2, 3]
    assert min(record["latency"] for record in records[:4]) < 0.5
    gap = next(record for record in records if "broke off" in record.get("gap", ""))
    assert gap["start"] == 4 and gap["end"] > 4.9
    assert sum("scores" in record for record in records) >= 6
    err = capsys.readouterr().err
    assert "connecting again in 1 s" in err
    assert f"{address}: {sum('scores' in r for r in records)} answers; latency" in err


def test_the_command(world, recording, fit, capsys, monkeypatch):
    monkeypatch.setattr(live_feed, "PATIENCE", 60.0)
    run = world.fit("joint")
    capsys.readouterr()  # what training printed
    status, out, err = fit(
        "predict", run, "--live", recording, "--pace=8", "--format=csv", "--device=cpu"
    )
    assert status == 0, err
    header, *rows = out.splitlines()
    assert header == "file,start,end,scene,scene0,scene1"
    assert [row.split(",")[1] for row in rows] == [f"{second}.0" for second in range(13)]
    assert f"{recording}: 13 answers; latency" in err


def test_the_command_is_told_what_it_cannot_do(world, recording, fit, tmp_path):
    run = world.fit("joint")
    refused(fit("predict", run), 2, "INPUT", "--live")
    refused(fit("predict", run, "a.mp4", "--live", recording), 2, "a.mp4: wanted either INPUT or")
    refused(fit("predict", run, "--live", "a.mp4"), 2, "a.mp4: no such file")
    refused(fit("predict", run, "--live", "ftp://a"), 2, "ftp:// is unknown; wanted http://")
    refused(fit("predict", run, "--live", recording, "--out", "a"), 2, "--out is for recordings")
    refused(
        fit("predict", run, "--live", recording, "--format=webvtt"), 2, "wanted table, csv or jsonl"
    )
    refused(
        fit("predict", run, "--live", recording, "--audio=alsa:default"), 2, "no clock in common"
    )
    source = f"udp://127.0.0.1:{free_port()}"
    refused(
        fit("predict", run, "--live", source, "--timeout=0.5"), 1, f"{source}: nothing that can"
    )
    (tmp_path / "empty.ts").touch()
    result = fit("predict", run, "--live", tmp_path / "empty.ts")
    refused(result, 1, "empty.ts: 0 bytes; copy the file again")
    mono = write_av(tmp_path / "mono.ts", 1.5, channels=1)
    refused(fit("predict", run, "--live", mono), 1, "mono; wanted stereo")


@pytest.mark.parametrize(
    ("number", "status", "text"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_it(world, recording, number, status, text):
    start = (  # a shell's background job ignores Ctrl-C, and so would the program
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from avsc.train.cli import main; main()"
    )
    command = [sys.executable, "-c", start, "predict", world.fit("audio"), "--live"]
    with sent("udp", recording, [(0, 4, 0, 0)], pace=2) as address, subprocess.Popen(
        [*command, address, "--format=jsonl", "--device=cpu", "--timeout=900"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None and program.stderr is not None
        first = json.loads(program.stdout.readline())
        program.send_signal(number)  # whether it is waiting for data or computing
        assert program.wait(450) == status  # long before its data would be late
        err = program.stderr.read()
    assert first["start"] == 0 and "scores" in first
    assert "Traceback" not in err and f"avsc-fit: {text}" in err
    assert f"{address}: " in err and "latency" in err


def test_a_reader_that_goes_away_is_one_line(world, recording):
    """As `head` does: the next answer cannot be written."""
    command = [sys.executable, "-m", "avsc.train.cli", "predict", world.fit("audio"), "--live"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [*command, recording, "--pace=8", "--device=cpu"],
            stdout=pipe, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    *_, last = done.stderr.splitlines()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last.startswith("avsc-fit: error: standard output: could not be written (Broken pipe)")
