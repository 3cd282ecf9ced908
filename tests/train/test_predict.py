"""avsc-fit predict: inputs, formats, recordings that fail, and what a kill leaves."""

import csv
import fcntl
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import refused, run_fit
from inferred import Trained
from media import noise, write_wav

from avsc.features import isolate
from avsc.features.limits import Limits
from avsc.manifests.errors import AvscError
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.infer import load
from avsc.train.infer.formats import Format, runs
from avsc.train.infer.inputs import Item
from avsc.train.infer.journal import Journal
from avsc.train.infer.many import Work, predict_many
from avsc.train.infer.predict import Computation
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.windows import Windows

FIT = Path(sys.executable).with_name("avsc-fit")
HERE = ("--device=cpu",)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
"""As many threads as this process computes with."""
CHILD = """
import os, signal, time
from avsc.features import isolate, piecewise
make = piecewise.pieces
def faulty(wanted):
    if "clip-1" in wanted.clip:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "clip-2" in wanted.clip:
        if 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 300:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        time.sleep(600)
    yield from make(wanted)
piecewise.pieces = faulty
isolate.serve()
"""
"""A worker whose decoder crashes at clip-1 and does not end at clip-2; of minutes that it is given,
it takes a tenth of a second, so that others may be as slow as the machine is."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = Trained(tmp_path_factory.mktemp("predicted"))
    world.fit("audio")
    return world


@pytest.fixture
def predict(world, monkeypatch, capsys):
    """Run avsc-fit predict with the run on sound, in the folder of the recordings."""
    monkeypatch.chdir(world.root)

    def run(*arguments, run="audio"):
        command = ("predict", world.folder / run, *HERE, *arguments)
        return run_fit(monkeypatch, capsys, *command)

    return run


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_as_csv(world, predict):
    status, out, err = predict("audio", "--format=csv", "--workers=2")
    assert (status, err) == (0, "")
    found = rows(out)
    assert {row["file"] for row in found} == {f"audio/clip-{n}.wav" for n in range(10)}
    assert list(found[0]) == ["file", "start", "end", "scene", "scene0", "scene1"]
    wanted = load(world.folder / "audio", device="cpu").predict(world.files("clip-8")[0])
    mine = [row for row in found if row["file"] == "audio/clip-8.wav"]
    assert [float(row["scene0"]) for row in mine] == wanted.probability[:, 0].tolist()
    assert [row["scene"] for row in mine] == list(wanted.scene)
    assert [(row["start"], row["end"]) for row in mine][:2] == [("0.0", "1.0"), ("1.0", "2.0")]


def test_a_table_to_read(predict):
    status, out, _ = predict("audio/clip-7.wav", "--window=5", "--top-k=1")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "audio/clip-7.wav"
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "00:00:00.000 - 00:00:05.000",
        "00:00:05.000 - 00:00:10.000",
        "00:00:10.000 - 00:00:15.000",
    ]


def test_json_lines_of_a_manifest(world, predict):
    status, out, err = predict("clips.csv", "--format=jsonl", "--top-k=1", "--protocol=clip")
    assert (status, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert {line["file"] for line in found} == {f"clip-{n}" for n in range(10)}
    assert all(line["start"] == 0 and len(line["scores"]) == 1 for line in found)
    assert set(found[0]["scores"][0]) == {"label", "score"}


def test_the_challenge_form_is_read_back(world, predict, tmp_path):
    out = tmp_path / "answers.tsv"
    status, said, _ = predict("audio/clip-8.wav", "--format=challenge", "--out", out)
    assert (status, said) == (0, "")
    found = read_predictions(out, world.dataset.clips, world.dataset.classes)
    wanted = load(world.folder / "audio", device="cpu").predict(world.files("clip-8")[0])
    np.testing.assert_array_equal(found.probability, wanted.probability)
    result = predict("audio/clip-8.wav", "--format=challenge", "--window=2")
    refused(result, 2, "--format challenge names seconds", "--window 1 --hop 1, or --protocol clip")


def test_standard_input_holds_any_container(world, predict, monkeypatch):
    recording = world.files("clip-8")[0].read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(recording)))
    status, out, err = predict("-", "--format=csv")
    assert (status, err) == (0, "")
    assert [row["file"] for row in rows(out)] == ["stdin"] * 3
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(10**6 + 1))))
    refused(predict("-", "--max-megabytes=1"), 1, "stdin: more than 1 MB (--max-megabytes)")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    refused(predict("-"), 1, "error: stdin: 0 bytes; wanted a recording on standard input")
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it when the shell closed it
    refused(predict("-"), 1, "error: stdin: is closed; wanted a recording")


def test_labels_join_what_is_alike(predict, tmp_path):
    out = tmp_path / "labels"
    status, _, err = predict("audio", "--format=webvtt", "--out", out)
    assert (status, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == [f"clip-{n}.vtt" for n in range(10)]
    assert (out / "clip-0.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0")
    status, out, _ = predict("audio/clip-0.wav", "--format=audacity")
    start, end, scene = out.splitlines()[0].split("\t")
    assert (start, scene[:5]) == ("0.000000", "scene") and float(end) in (1.0, 2.0)


def test_runs_of_the_same_scene():
    times = np.array([[0, 2], [1, 3], [2, 4], [6, 8], [7, 9]], float)
    first = np.array([0.9, 0.7, 0.2, 0.1, 0.6])
    found = Prediction("a", ("x", "y"), times, np.stack([first, 1 - first], 1))
    assert [(start, end, scene) for start, end, scene, _ in runs(found)] == [
        (0, 2, "x"), (2, 4, "y"), (6, 7, "y"), (7, 9, "x"),
    ]  # fmt: skip
    np.testing.assert_allclose([score for *_, score in runs(found)], [0.8, 0.8, 0.9, 0.6])
    text = Format("webvtt", found.classes, 1, False).text(found, "a")
    assert text.startswith("\n00:00:00.000 --> 00:00:02.000\nx 0.80\n")


def test_a_crash_and_a_hang_cost_a_recording_each(predict, tmp_path, monkeypatch):
    monkeypatch.setattr(isolate, "_CHILD", CHILD)
    out = tmp_path / "answers.csv"
    status, _, err = predict(
        "audio", "--format=csv", "--out", out, "--workers=2", "--clip-timeout=200"
    )
    assert status == 3
    assert "failed: audio/clip-1.wav: the process that decoded it was ended by SIGSEGV" in err
    assert "failed: audio/clip-2.wav: the process that decoded it did not end within 200 s" in err
    assert err.splitlines()[-1] == "2 of 10 recordings failed"
    wanted = {f"audio/clip-{n}.wav" for n in range(10)} - {"audio/clip-1.wav", "audio/clip-2.wav"}
    assert {row["file"] for row in rows(out.read_text())} == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


# Is killed when the fourth recording's answers are written, and not yet that they are.
KILLED = """
import os, signal
from avsc.train.infer.journal import Journal
add = Journal.add
def add_three(self, *of):
    if len(self.done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, *of)
Journal.add = add_three
from avsc.train.cli import main
main()
"""


def test_a_killed_run_is_resumed_with_nothing_twice_and_nothing_lost(world, predict, tmp_path):
    out, progress = tmp_path / "answers.csv", tmp_path / "answers.csv.progress"
    command = [sys.executable, "-c", KILLED, "predict", world.folder / "audio", "audio", *HERE]
    command += ["--format=csv", "--workers=1", "--out", out]
    killed = subprocess.run(command, cwd=world.root, env=ENVIRONMENT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    done = progress.read_text().count("\n") - 1
    written = {row["file"] for row in rows((tmp_path / "answers.csv.partial").read_text())}
    assert (done, len(written)) == (3, 4)
    with (tmp_path / "answers.csv.partial").open("a") as file:
        file.write("audio/clip-9.wav,0.0,1.0,sce")  # killed within a write
    with progress.open("a") as file:
        file.write('{"name": "audio/cl')
    status, _, err = predict("audio", "--format=csv", "--out", out, "--window=2")
    refused((status, "", err), 2, "answers.csv: begun with windows", "Give the same to resume")
    status, _, err = predict("audio", "--format=csv", "--out", out)
    assert status == 0
    assert err == f"{done} of 10 recordings are done already\n"
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]
    status, whole, _ = predict("audio", "--format=csv")
    assert sorted(out.read_text().splitlines()) == sorted(whole.splitlines())
    assert out.read_text().splitlines()[0] == whole.splitlines()[0]


def test_a_run_is_not_resumed_for_other_recordings(predict, tmp_path, monkeypatch):
    """The answers of those that were done before would be among the new ones."""
    out = tmp_path / "answers.csv"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        status, *_ = predict(
            "audio/clip-8.wav", "audio/clip-9.wav", "--format=csv", "--workers=1", "--out", out
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 1 and not out.exists()
    again = ("audio/clip-9.wav", "--format=csv", "--out", out)
    refused(predict(*again), 2, "answers.csv: begun with audio/clip-8.wav, which is not among")


def test_the_other_process_ends_between_opening_and_locking_its_journal(tmp_path, monkeypatch):
    path = tmp_path / "answers.progress"
    monkeypatch.setattr(fcntl, "flock", lambda *_: path.unlink())
    with pytest.raises(AvscError, match="another process writes answers there"):
        Journal(path, {}, [], tmp_path / "answers")


def test_a_recording_that_fails_midway_hides_no_other(world, monkeypatch):
    """Its later pieces still come, and belong to nothing."""

    def add(self, piece):
        if self._name == "clip-7" and piece.first_frame == 0:
            raise AvscError("this batch cannot be computed")
        computed(self, piece)

    computed = Computation.add
    monkeypatch.setattr(Computation, "add", add)
    model = load(world.folder / "audio", device="cpu")
    items = [Item(f"clip-{n}", f"clip-{n}", *2 * (world.files(f"clip-{n}")[0],)) for n in (7, 8)]
    outcomes = list(predict_many(Work(model, Windows(), Limits(), 1), items))
    assert [(outcome.item.name, outcome.failure) for outcome in outcomes] == [
        ("clip-7", "clip-7: this batch cannot be computed"), ("clip-8", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["12\n", '{"a": 1}\n', "my notes", "my\nnotes\n"])
def test_a_file_of_the_progress_name_that_is_not_ours(predict, tmp_path, text):
    mine = tmp_path / "a.csv.progress"
    mine.write_text(text)
    result = predict("audio/clip-8.wav", "--format=csv", "--out", tmp_path / "a.csv")
    refused(result, 2, "a.csv.progress: is in the way", "Name another --out, or move that file")
    assert mine.read_text() == text


@pytest.mark.parametrize("torn", [b"", b'{"model": "abc', bytes(300)])
def test_a_journal_whose_first_line_was_not_written_whole(tmp_path, torn):
    path, request = tmp_path / "a.progress", {"model": "abcdef", "format": "csv"}
    path.write_bytes(torn)
    Journal(path, request, [], tmp_path / "a").close()
    assert json.loads(path.read_text()) == request


def test_hidden_files_of_a_folder_are_passed_over(world, predict, tmp_path):
    (tmp_path / "clip.wav").write_bytes(world.files("clip-8")[0].read_bytes())
    (tmp_path / "._clip.wav").write_bytes(b"what macOS keeps of it")
    status, out, err = predict(tmp_path, "--format=csv")
    assert (status, err) == (0, "")
    assert {row["file"] for row in rows(out)} == {str(tmp_path / "clip.wav")}


def test_output_that_exists_is_not_written_over(predict, tmp_path):
    out = tmp_path / "answers.csv"
    out.write_text("mine")
    refused(
        predict("audio/clip-8.wav", "--format=csv", "--out", out), 2, "answers.csv: exists already"
    )
    assert out.read_text() == "mine"
    refused(predict("audio", "--format=webvtt", "--out", tmp_path), 2, f"{tmp_path}: exists alrea")


def test_disk_is_full(predict, tmp_path, monkeypatch):
    """The limit on the size of files stands in for the disk's."""
    out, before = tmp_path / "answers.csv", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        result = predict("audio", "--format=csv", "--out", out)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(10**5))))
        spooled = predict("-", "--format=csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused(result, 1, f"{out}: could not be written (File too large)", "same command again, which")
    refused(spooled, 1, "stdin: could not be copied to", "(File too large)", "TMPDIR")
    status, _, err = predict("audio", "--format=csv", "--out", out)
    assert status == 0 and "recordings are done already" in err
    assert len({row["file"] for row in rows(out.read_text())}) == 10


def test_closed_standard_output_is_one_line(world):
    command = [str(FIT), "predict", str(world.folder / "audio"), "audio", "--format=csv", *HERE]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            command, cwd=world.root, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("avsc-fit: error: standard output: could not be written (Broken")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mono.wav", "mono; wanted stereo"),
        ("short.wav", "0.200 s of sound; one window needs 0.512 s"),
        ("text.mkv", "text.mkv: "),
        ("no.wav", "no.wav: no such file"),
    ],
)
def test_recordings_that_cannot_be_used(predict, tmp_path, name, said):
    write_wav(tmp_path / "mono.wav", noise(0, 48_000, 1))
    write_wav(tmp_path / "short.wav", noise(0, 9_600))
    (tmp_path / "text.mkv").write_text("what no container begins with\n" * 20)
    refused(predict(tmp_path / name), 1, said)


def test_a_recording_without_one_modality(world, predict):
    world.fit("joint")
    refused(predict("audio/clip-8.wav", run="joint"), 1, "audio/clip-8.wav: holds audio, no video")
    refused(
        predict("video/clip-8.mp4", run="joint"), 1, "video/clip-8.mp4: holds no sound", "--audio"
    )
    status, out, err = predict("clips.csv", run="joint")
    assert (status, err) == (0, "") and out.count("clip-") == 10
    status, _, err = predict("video/clip-8.mp4", "--audio=audio/clip-8.wav", run="joint")
    assert (status, err) == (0, "")


def test_a_second_without_an_image_has_no_answer(world, predict):
    world.fit("joint")
    status, out, err = predict(
        "video/clip-9.mp4", "--audio=audio/clip-8.wav", "--format=csv", run="joint"
    )
    assert status == 0
    assert [row["start"] for row in rows(out)] == ["0.0"]
    assert "note: video/clip-9.mp4: second 2: " in err
    assert "note: video/clip-9.mp4: no answer for 1 to 2 s, 2 to 3 s\n" in err


def test_windows_that_no_frame_fits_into(predict):
    result = predict("audio/clip-8.wav", "--window=0.5", "--protocol=strict")
    refused(result, 1, "windows of 0.5 s has anything", "0.512 s long", "longer windows", "centred")
    status, *_ = predict("audio/clip-8.wav", "--window=0.5", "--protocol=centred")
    assert status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["audio/clip-1.wav", "audio/clip-1.wav"], "audio/clip-1.wav: named twice"),
        (["audio", "--audio=audio/clip-1.wav"], "the inputs are 10 recordings"),
        (["../store"], "../store: no recordings in this folder"),
        (["audio", "video", "--format=challenge"], "both are called 'clip-0' in this format"),
        (["audio", "--format=audacity"], "there are several: name a folder for them by --out"),
        (["audio/clip-1.wav", "--hop=0"], "hop is 0 s; wanted 0.01 to 1,000,000 s"),
    ],
)
def test_wrong_use(predict, arguments, said):
    refused(predict(*arguments), 2, said)


def test_manifests_that_cannot_be_used(predict, tmp_path):
    listed = tmp_path / "list.csv"
    for text, said in (
        ("id,scene\na,b\n", "no column 'audio' and none 'video'; found id, scene"),
        ("audio\n", "the manifest lists no recordings"),
        ("id,audio,video\na,,\n", "line 2: neither audio nor video"),
        ("id,audio\n../a,a.wav\n", "its id is '../a'; wanted one that can be a file's name"),
    ):
        listed.write_text(text)
        status = 2 if "file's name" in said else 1
        refused(predict(listed, "--format=webvtt"), status, said)


def test_a_failure_names_the_recording_as_its_answers_do(world, predict, tmp_path):
    listed = tmp_path / "list.csv"
    clip = world.files("clip-8")[0]
    listed.write_text(f"id,audio\nours,gone.wav\nother,{clip.name}\n")
    status, out, err = predict(listed, "--format=csv", "--root", clip.parent)
    assert status == 3 and {row["file"] for row in rows(out)} == {"other"}
    assert f"failed: ours: {clip.parent}/gone.wav: no such file; wanted a recording.\n" in err
    world.fit("joint")
    listed.write_text("video\nclip-8.mp4\n")
    result = predict(listed, "--root", world.files("clip-8")[1].parent, run="joint")
    refused(result, 1, "clip-8.mp4: no sound is named", "column 'audio', the video itself")


def test_a_run_half_trained(world, predict):
    half = world.folder / "half"
    half.mkdir()
    for name in ("settings.json", "split.csv"):
        (half / name).write_bytes((world.folder / "audio" / name).read_bytes())
    refused(
        predict("audio/clip-8.wav", run="half"),
        1,
        "best.pt: no such checkpoint. The run has no fin",
    )
    refused(predict("audio/clip-8.wav", run="nothing"), 1, "nothing: holds no run that can")


def test_sound_is_resampled_and_has_any_coding(world, predict, tmp_path):
    sound, rate = soundfile.read(world.files("clip-8")[0])
    soundfile.write(tmp_path / "a.flac", sound, rate)
    status, out, _ = predict(tmp_path / "a.flac", "--format=csv")
    assert status == 0
    wanted = load(world.folder / "audio", device="cpu").predict(world.files("clip-8")[0])
    assert [float(row["scene0"]) for row in rows(out)] == pytest.approx(
        wanted.probability[:, 0].tolist(), abs=1e-3
    )


def test_leaving_does_not_wait_for_a_recording_that_hangs(world, monkeypatch):
    monkeypatch.setattr(isolate, "_CHILD", CHILD)
    model = load(world.folder / "audio", device="cpu")
    paths = [world.files(f"clip-{number}")[0] for number in (2, 3, 4)]
    items = [Item(path.name, path.stem, path, path) for path in paths]
    outcomes = predict_many(Work(model, Windows(), Limits(), 2), items)
    assert {next(outcomes).item.clip for _ in range(2)} == {"clip-3", "clip-4"}
    begun = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begun < 300  # it would sleep for 600 s
