"""Recordings without sound or without images, and systems that take them or do not."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from commands import refused, run_fit
from inferred import Trained

from avsc.features.piecewise import pieces
from avsc.manifests.errors import MediaError
from avsc.train.evaluate.calibration import FittedTemperature
from avsc.train.fit.trained_run import restore
from avsc.train.infer import Arrays, load
from avsc.train.infer.prediction import Prediction

DROPPED = {"modality_dropout": 0.5, "modality_dropout_epochs": 0}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = Trained(tmp_path_factory.mktemp("lacking"))
    world.fit("joint", **DROPPED)
    return world


@pytest.fixture
def predict(world, monkeypatch, capsys):
    """Run avsc-fit predict in the folder of the recordings."""
    monkeypatch.chdir(world.root)
    command = ("predict", world.folder / "joint", "--device=cpu")
    return lambda *arguments: run_fit(monkeypatch, capsys, *command, *arguments)


def test_answers_are_of_what_is_there(world, predict):
    sound, video = world.files("clip-7")
    model = load(world.folder / "joint", device="cpu")
    assert model.takes_missing and not model.predict(video, audio=sound).without
    found = {"audio": model.predict(video), "visual": model.predict(sound)}
    for lacking, prediction in found.items():
        assert prediction.without == (lacking,) and len(prediction) == 13
        word = {"audio": "no sound", "visual": "no images"}[lacking]
        assert f"{word}; answered" in prediction.warnings[0]

    images, frames = {}, []
    for piece in pieces(model.wanted("clip-7", sound, video)):
        images.update(piece.images)
        frames.append(piece.frames)
    network = model.runtime.network
    views = model.views([bytes(images[second]) for second in sorted(images)])
    with torch.no_grad():
        seen, silence = network.embed_images(views), network.missing.audio
        rows = torch.stack([torch.cat([silence, row]) for row in seen])
        wanted = torch.softmax(network.classifier(rows).double(), 1).numpy()
    np.testing.assert_allclose(found["audio"].probability, wanted, atol=1e-6)
    embedded = model.embed(sound).embeddings
    vector = network.missing.visual.detach().numpy()
    assert np.array_equal(embedded[:, 1024:], np.tile(vector, (len(embedded), 1)))
    with torch.no_grad():
        heard = network.embed_sound(torch.from_numpy(np.concatenate(frames)))[: len(embedded)]
        rows = torch.cat([heard, network.missing.visual.expand(len(heard), -1)], 1)
        shares = torch.softmax(network.classifier(rows).double(), 1).numpy()
    whole = model.predict(sound, protocol="clip").probability[0]
    np.testing.assert_allclose(whole, shares.mean(0), atol=1e-6)


def test_the_output_says_what_is_lacking(world, predict):
    status, out, err = predict("video/clip-8.mp4", "audio/clip-8.wav", "--format=jsonl")
    assert status == 0
    assert sorted(err.splitlines()) == [  # as recordings finish
        "note: audio/clip-8.wav: no images; answered by its sound alone.",
        "note: video/clip-8.mp4: no sound; answered by its images alone.",
    ]
    lacking = {line["file"]: line["without"] for line in map(json.loads, out.splitlines())}
    assert lacking == {"video/clip-8.mp4": ["audio"], "audio/clip-8.wav": ["visual"]}
    status, out, _ = predict("video/clip-8.mp4")
    assert status == 0 and out.splitlines()[0] == "video/clip-8.mp4  (no sound)"
    status, out, err = predict("clips.csv", "--format=jsonl")
    assert (status, err) == (0, "") and "without" not in out


def test_each_pattern_is_answered_with_its_own_temperature(world, predict):
    run, (sound, video) = world.folder / "joint", world.files("clip-8")
    refused(predict(video, "--temperature"), 2, "temperatures.json: not there", "--temperature`")
    trained = restore(run)
    heat = {"complete": 2.0, "no-audio": 3.0, "no-image": 0.5}
    fitted = {name: FittedTemperature(value, 9, 1, 1, 0, 0) for name, value in heat.items()}
    values = {
        "run_digest": trained.record.digest,
        "epoch": trained.epoch,
        "store_fingerprint": "",
        "protocols": {"strict": {name: asdict(each) for name, each in fitted.items()}},
    }
    (run / "temperatures.json").write_text(json.dumps(values))
    cold, warm = load(run, device="cpu"), load(run, device="cpu", temperature=True)
    assert cold.fingerprint != warm.fingerprint and "temperature 2 / 3 / 0.5" in repr(warm)
    recordings = {
        "complete": (video, {"audio": sound}),
        "no-audio": (video, {}),
        "no-image": (sound, {}),
    }
    for name, (recording, options) in recordings.items():
        power = cold.predict(recording, **options).probability ** (1 / heat[name])
        found = warm.predict(recording, **options).probability
        np.testing.assert_allclose(found, power / power.sum(1, keepdims=True), rtol=1e-9)
    values["protocols"] = {"clip": values["protocols"]["strict"]}
    (run / "temperatures.json").write_text(json.dumps(values))
    refused(predict(video, "--temperature"), 2, "temperatures for clip, and the run was validated")
    (run / "temperatures.json").unlink()


def test_damage_is_no_lack(world, predict, tmp_path):
    sound, video = world.files("clip-8")
    cut = tmp_path / "cut.wav"
    cut.write_bytes(sound.read_bytes()[:60_000])
    refused(predict(video, f"--audio={cut}"), 1, "copy it again")
    (tmp_path / "text.mkv").write_text("what no container begins with\n" * 20)
    assert predict(tmp_path / "text.mkv")[0] == 1
    refused(predict(video, f"--audio={tmp_path / 'none.wav'}"), 1, "none.wav")


def test_arrays_may_lack_one(world):
    model = load(world.folder / "joint", device="cpu")
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 96_000)).astype(np.float32)
    grey = [np.full((48, 64, 3), shade, np.uint8) for shade in (90, 160)]
    without = {
        ("audio",): Arrays(images=grey),
        ("visual",): Arrays(noise, 48_000),
        (): Arrays(noise, 48_000, grey),
    }
    for lacking, arrays in without.items():
        found = model.predict(arrays)
        assert isinstance(found, Prediction) and len(found) == 2 and found.without == lacking
    with pytest.raises(Exception, match="the model hears"):
        model.predict(Arrays())


def test_other_systems_refuse(world):
    out = world.fit("end-to-end")
    model = load(out, device="cpu")
    assert not model.takes_missing
    sound, video = world.files("clip-8")
    for recording, code in ((sound, "no-video"), (video, "no-sound")):
        with pytest.raises(MediaError) as caught:
            model.predict(recording)
        assert caught.value.code == code


def test_export_says_that_it_cannot(world, fit):
    run, out = world.folder / "joint", world.folder / "out"
    refused(fit("export", run, "--out", out), 2, "trained with --modality-dropout")
    assert not out.exists()
