"""Audio that is late by a known time, or by what the run's offset head finds, and is moved back."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import refused, run_fit
from inferred import Trained

from avsc.features.piecewise import Piece
from avsc.manifests.errors import AvscError, MediaError, SettingError
from avsc.train.evaluate import offset as offsets
from avsc.train.fit.trained_run import restore
from avsc.train.infer import Arrays, load
from avsc.train.infer.formats import Format
from avsc.train.infer.offset import OffsetFinder, OffsetSearch
from avsc.train.model.offset_head import OffsetHead

MOST, RATE = 3, 16_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A run of both modalities, and sound at the rate of its features: as it was, late, early."""
    world = Trained(tmp_path_factory.mktemp("late"))
    world.fit("joint")
    sound = np.random.default_rng(3).normal(0, 0.01, (round(12.7 * RATE), 2))
    before = np.random.default_rng(4).normal(0, 0.01, (20 * RATE, 2))
    for name, samples in {
        "whole": sound,
        "late-2": np.concatenate([before[: 2 * RATE], sound]),
        "late-11.5": np.concatenate([before[: round(11.5 * RATE)], sound]),
        "early-3.3": sound[round(3.3 * RATE) :],
        "early-10.5": sound[round(10.5 * RATE) :],
    }.items():
        soundfile.write(world.folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return world


@pytest.fixture(scope="module")
def model(world):
    """The run, with a classifier of small weights: its answers are not all 0 and 1."""
    model = load(world.folder / "joint", device="cpu")
    with torch.no_grad():
        for weights in model.runtime.network.classifier.parameters():
            weights *= 0.3
    return model


def put_head(run):
    """Give a run an offset head with random weights."""
    trained = restore(run)
    head = OffsetHead(1024, trained.network.visual.features, MOST).eval()
    torch.nn.init.normal_(head.visual.last.weight)
    (run / "offset").mkdir(exist_ok=True)
    (run / "offset" / "head.pt").write_bytes(offsets._encoded(head, trained))
    return head


@pytest.mark.parametrize(
    ("name", "late", "first"), [("late-2", 2, 0), ("late-11.5", 11.5, 0), ("early-3.3", -3.3, 4),
                                ("early-10.5", -10.5, 11)],
)  # fmt: skip
def test_audio_that_was_moved_is_predicted_as_it_was(world, model, name, late, first):
    video = world.files("clip-7")[1]
    wanted = model.predict(video, audio=world.folder / "whole.wav")
    found = model.predict(video, audio=world.folder / f"{name}.wav", audio_late=late)
    assert len(wanted) == 13 and found.times[-1, 1] == 13 and found.correction.seconds == late
    shared = [start >= first for start in found.times[:, 0]]
    assert sum(shared) == 13 - first and found.times[:, 0].min() >= int(-min(late, 0))
    if late > 0:  # the same batches
        np.testing.assert_array_equal(found.probability, wanted.probability)
    ours, theirs = found.probability[shared], wanted.probability[first:]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    as_recorded = model.predict(video, audio=world.folder / f"{name}.wav")
    assert as_recorded.correction is None
    n = min(len(as_recorded), 13)
    assert abs(as_recorded.probability[:n] - wanted.probability[:n]).max() > 1e-4


def test_arrays_are_moved_as_files_are(world, model):
    images = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(12)]
    sounds = {path.stem: soundfile.read(path, dtype="float32")[0].T
              for path in world.folder.glob("*.wav")}  # fmt: skip
    wanted = model.predict(Arrays(sounds["whole"], RATE, images))
    found = model.predict(Arrays(sounds["late-2"], RATE, images), audio_late=2)
    np.testing.assert_array_equal(found.probability, wanted.probability)
    found = model.predict(Arrays(sounds["early-10.5"], RATE, images), audio_late=-10.5)
    assert found.times[:, 0].tolist() == [11] and found.missing[-1] == (10, 11)
    np.testing.assert_allclose(found.probability, wanted.probability[11:], atol=1e-5)


def test_what_was_done_is_in_every_output(world, monkeypatch, capsys):
    video = world.files("clip-7")[1]

    def predict(*arguments):
        command = ("predict", world.folder / "joint", video, "--device=cpu", "--workers=1")
        sound = ("--audio", world.folder / "early-3.3.wav")
        return run_fit(monkeypatch, capsys, *command, *sound, *arguments)

    status, out, err = predict("--audio-late=-3.3", "--format=csv")
    assert status == 0 and f"note: {video}: no answer for 0 to 1 s, 1 to 2 s, 2 to 3 s" in err
    rows = list(csv.DictReader(out.splitlines()))
    columns = ["audio_late_corrected", "audio_late_found", "audio_late_probability"]
    assert list(rows[0])[-3:] == columns
    assert {tuple(row[name] for name in columns) for row in rows} == {("-3.3", "", "")}
    status, out, _ = predict("--audio-late=-3.3")
    assert status == 0 and out.splitlines()[0] == f"{video}  (audio 3.3 s early, corrected)"
    refused(predict("--audio-late=soon"), 2, "'soon'; wanted seconds", "or auto")
    refused(predict("--audio-late=nan"), 2, "wanted -600 to 600 s, or auto")


def test_what_the_head_finds_is_corrected_where_it_is_sure(world, model, monkeypatch, capsys):
    run, (sound, video) = world.folder / "joint", world.files("clip-7")
    put_head(run)
    probability = np.array([0.02, 0.03, 0.05, 0.1, 0.1, 0.6, 0.1])
    monkeypatch.setattr(OffsetHead, "probability", lambda *_: probability)
    found = model.predict(video, audio=sound, audio_late="auto")
    assert found.correction.seconds == 2
    wanted = model.predict(video, audio=sound, audio_late=2)
    np.testing.assert_array_equal(found.probability, wanted.probability)
    assert found.times.tolist() == wanted.times.tolist()
    monkeypatch.chdir(world.root)
    Path("two.csv").write_text(
        "id,audio,video\n"
        + "".join(f"{name},audio/{name}.wav,video/{name}.mp4\n" for name in ("clip-7", "clip-9"))
    )
    auto = ("predict", run, "two.csv", "--audio-late=auto", "--device=cpu", "--workers=1")
    status, out, err = run_fit(monkeypatch, capsys, *auto, "--format=jsonl")
    assert status == 0, err
    lines = {line["file"]: line for line in map(json.loads, out.splitlines())}
    assert lines["clip-7"]["audio_late"] == {
        "corrected": 2, "found": 2, "probability": 0.6
    }  # fmt: skip
    said = "clip-7: audio 2 s late (probability 0.60; chance 0.14); corrected by +2 s"
    assert f"note: {said}\n" in err
    # One that is too short for the head, or of which it is not sure, stays as it is.
    assert lines["clip-9"]["audio_late"] == {"corrected": 0, "found": None, "probability": None}
    assert "clip-9: 1 s from its start have both" in err and "; classified as recorded" in err
    probability[5], probability[1] = 0.49, 0.14
    found = model.predict(video, audio=sound, audio_late="auto")
    assert "clip-7.mp4: not sure; most probably audio 2 s late (pr" in found.correction.remark
    form = Format("csv", found.classes, 2, False, late=True)
    (first, *_) = csv.DictReader((form.header + form.text(found, "")).splitlines())
    assert first["audio_late_corrected"] == "0.0" and first["audio_late_found"] == "2"
    assert first["audio_late_probability"] == "0.49"
    plain = model.predict(video, audio=sound)
    np.testing.assert_array_equal(found.probability, plain.probability)


def test_what_cannot_be_corrected_is_refused(world, model, tmp_path):
    video, sound = world.files("clip-7")[1], world.folder / "whole.wav"
    with pytest.raises(SettingError, match="a run of audio, which has one stream only"):
        load(world.fit("audio"), device="cpu").predict(sound, audio_late=2)
    with pytest.raises(SettingError, match="audio is 601 s late; wanted -600 to 600 s, or auto"):
        model.predict(video, audio=sound, audio_late=601)
    with pytest.raises(MediaError, match=r"12\.700 s of sound, said to be 13 s late, so that none"):
        model.predict(video, audio=sound, audio_late=13)
    silent = OffsetSearch(model, "silent.mp4")
    silent.add(Piece(0, None, {0: np.zeros(0, np.uint8)}, {}))
    with pytest.raises(
        MediaError, match=r"silent\.mp4: 0 s from its start have both sound and ima"
    ):
        silent.result()
    exported = replace(model, offsets=OffsetFinder(tmp_path, None))
    with pytest.raises(SettingError, match="an exported model, which has no offset head"):
        exported.predict(video, audio=sound, audio_late="auto")
    without = replace(model, offsets=OffsetFinder(world.fit("end-to-end"), model.offsets.embed))
    with pytest.raises(AvscError, match="the run has no offset head"):
        without.predict(video, audio=sound, audio_late="auto")


def test_a_recording_is_told_by_the_embeddings_of_the_model(world, model, monkeypatch, capsys):
    run = world.folder / "joint"
    head = put_head(run)
    sound, video = world.files("clip-7")
    status, out, err = run_fit(monkeypatch, capsys, "offset", run, "--input", video, "--audio",
                               sound, "--device=cpu")  # fmt: skip
    assert status == 0, err
    embedded = model.embed(video, audio=sound)
    second = (embedded.timestamps // 1000).astype(int)
    values = np.stack([embedded.embeddings[second == k].mean(0) for k in range(second.max() + 1)])
    streams = torch.from_numpy(values)[None].split([1024, values.shape[1] - 1024], 2)
    probability = torch.softmax(head(*streams)[0].detach(), 0)
    late = int(probability.argmax()) - MOST
    way = "in step" if not late else f"{abs(late)} s {'late' if late > 0 else 'early'}"
    assert way in out and f"(probability {float(probability.max()):.2f}; chance 0.14)" in out
    short = run_fit(monkeypatch, capsys, "offset", run, "--input", world.files("clip-9")[1],
                    "--audio", world.files("clip-9")[0], "--device=cpu")  # fmt: skip
    refused(short, 1, "wanted 5 s or more")
