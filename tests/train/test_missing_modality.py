"""Recordings without sound or without images, and systems that take them or do not."""

import csv
import io
import json
from dataclasses import asdict, replace

import numpy as np
import onnxruntime
import pytest
import torch
from commands import refused, run_fit
from inferred import Trained
from live_media import left_out, write_av

from avsc.features.live.address import parse_addresses
from avsc.features.live.feed import FeedSettings
from avsc.features.piecewise import pieces
from avsc.manifests.errors import MediaError
from avsc.train.evaluate.calibration import FittedTemperature
from avsc.train.fit.trained_run import restore
from avsc.train.infer import Arrays, load
from avsc.train.infer.export import ExportRequest, export
from avsc.train.infer.formats import Format
from avsc.train.infer.graph import drawn_inputs
from avsc.train.infer.live import ROUNDING
from avsc.train.infer.live_lines import write_live
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.verify_export import TOLERANCE
from avsc.train.infer.windows import Windows
from avsc.train.model.weights import digest

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
    status, out, _ = predict("video/clip-8.mp4", "audio/clip-8.wav", "clips.csv", "--format=csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert status == 0 and {(row["file"], row["without"]) for row in rows} >= {
        ("video/clip-8.mp4", "audio"), ("audio/clip-8.wav", "visual"), ("clip-8", "")
    }  # fmt: skip
    status, out, _ = predict("audio/clip-8.wav", "--format=webvtt")
    assert status == 0 and out.startswith("WEBVTT\n\nNOTE (no images)\n\n00:00")
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
        "weights": digest(trained.network),
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


@pytest.fixture(scope="module")
def exported(world):
    out, lines = world.folder / "exported", []
    export(ExportRequest(world.folder / "joint", out), lines.append)
    assert len(lines) == 3
    return out


def test_an_exported_model_takes_what_its_run_takes(world, exported):
    sound, video = world.files("clip-7")
    run, computed, graph = (
        load(folder, device="cpu", runtime=runtime)
        for folder, runtime in (
            (world.folder / "joint", "torch"), (exported, "torch"), (exported, "onnx"))
    )  # fmt: skip
    assert computed.takes_missing and graph.takes_missing
    for recording, options in ((video, {"audio": sound}), (video, {}), (sound, {})):
        wanted = run.predict(recording, **options)
        same, near = (model.predict(recording, **options) for model in (computed, graph))
        assert np.array_equal(same.probability, wanted.probability)
        assert same.without == near.without == wanted.without
        assert 0 < np.abs(near.probability - wanted.probability).max() < TOLERANCE
    embedded = graph.embed(sound).embeddings
    np.testing.assert_allclose(embedded, run.embed(sound).embeddings, atol=1e-4)


def test_each_sample_of_a_graph_may_lack_another(world, exported):
    """By the names of config.json; whatever is given in the place of what is missing, even NaN."""
    interface = json.loads((exported / "config.json").read_text())["graph"]["inputs"]
    assert interface["missing"] == ["samples", 2]
    network = restore(world.folder / "joint").network
    inputs = drawn_inputs(network, 6, 4)
    lacks = inputs["missing"]
    assert (
        sorted(map(tuple, lacks.tolist()))
        == [(False, False)] * 2 + [(False, True)] * 2 + [(True, False)] * 2
    )
    wanted = torch.empty(6, 2)
    with torch.no_grad():
        for row, (deaf, blind) in enumerate(lacks.tolist()):
            frames = None if deaf else inputs["frames"][row : row + 1]
            images = None if blind else inputs["images"][inputs["view"][row : row + 1]]
            wanted[row] = network(frames, images)[0]
    inputs["frames"][lacks[:, 0]] = torch.nan
    program = torch.export.load(exported / "model.pt2").module()
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    (logits,) = session.run(["logits"], {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        torch.testing.assert_close(program(**inputs)[0], wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(logits), wanted, atol=1e-4, rtol=1e-4)


def test_predict_says_what_a_recording_lacks_of_an_exported_model(world, exported, fit):
    _, video = world.files("clip-8")
    status, out, err = fit("predict", exported, video, "--runtime", "onnx")
    assert status == 0 and out.splitlines()[0].endswith("clip-8.mp4  (no sound)")
    assert "no sound; answered by its images alone" in err
    refused(fit("predict", exported, video, "--temperature"), 2, "Omit --temperature")


def test_an_export_has_the_temperatures_of_its_evaluation(world, tmp_path, fit):
    run = restore(world.folder / "joint")
    fitted = {name: {"value": value} for name, value in
              (("complete", 2.0), ("no-audio", 3.0), ("no-image", 0.5))}  # fmt: skip
    protocol = {"temperature": {"value": 2.0}, "temperatures": fitted}
    protocol |= dict.fromkeys(("log_loss", "accuracy"), 0.5)
    protocol |= dict.fromkeys(("log_loss_interval", "accuracy_interval"))
    values = {
        "run_digest": run.record.digest, "epoch": run.epoch, "dataset": "d", "fold": "test",
        "clips": 1, "protocols": {"strict": protocol},
    }  # fmt: skip
    path, options = tmp_path / "evaluation", ("--forms", "safetensors", "--evaluation")
    path.mkdir()
    (path / "metrics.json").write_text(json.dumps(values))
    out = tmp_path / "out"
    code, _, err = fit("export", run.folder.path, "--out", out, *options, path)
    assert code == 0, err
    model = load(out, device="cpu")
    assert model.temperature == 2 and model.temperature_without == {"audio": 3, "visual": 0.5}
    card = (out / "README.md").read_text()
    assert "Temperature 2, without sound 3, without images 0.5: divide" in card
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"temperature_without": {"audio": 1}}))
    with pytest.raises(Exception, match="temperature_without is"):
        load(out, device="cpu")
    del protocol["temperatures"]
    (path / "metrics.json").write_text(json.dumps(values))
    refused(fit("export", run.folder.path, "--out", tmp_path / "no", *options, path), 2,
            "no temperature for no-audio")  # fmt: skip


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """As loud as what the run was trained on, so that no probability is 1."""
    return write_av(tmp_path_factory.mktemp("stream") / "a.ts", 12, reordered=False, loudness=0.03)


def live_lines(model, form, path):
    """Return what is written of a source that is read as fast as it is answered."""
    out = io.StringIO()
    lines = Format(form, model.classes, 2, False, model.takes_missing)
    write_live(model, parse_addresses(str(path)), Windows(), FeedSettings(pace=None), lines, out)
    return out.getvalue().splitlines()


def test_a_stream_is_answered_by_what_there_is_of_each_window(world, stream, tmp_path, capsys):
    """With the temperature of that, as the same seconds of a recording that lacks it throughout."""
    model = replace(
        load(world.folder / "joint", device="cpu"),
        temperature=2.0, temperature_without={"audio": 3.0, "visual": 0.5},
    )  # fmt: skip
    lacks = {
        name: left_out(stream, tmp_path / f"{name}.ts", kind)
        for name, kind in (("audio", "audio"), ("visual", "video"))
    }
    whole = {
        name: model.predict(path).probability
        for name, path in {"": stream, **lacks}.items()
    }  # fmt: skip
    deaf = left_out(stream, tmp_path / "deaf.ts", "audio", 3, 7)
    found = [json.loads(line) for line in live_lines(model, "jsonl", deaf)]
    assert [line["gap"] for line in found if "gap" in line] == ["its sound came again"]
    answers = [line for line in found if "scores" in line]
    assert [line["start"] for line in answers[:7]] == list(range(7))
    lacking = [line.get("without") for line in answers[:9]]
    assert lacking == [*[None] * 3, *[["audio"]] * 4, None, None]
    blind = left_out(stream, tmp_path / "blind.ts", "video", 3, 7)
    seen = [json.loads(line) for line in live_lines(model, "jsonl", blind)]
    without = [line["start"] for line in seen if line.get("without") == ["visual"]]
    assert without and set(without) <= set(range(3, 7)) and not any("gap" in s for s in seen)
    for line in [*answers[:7], *seen]:
        of = whole["".join(line.get("without", ()))]
        scores = {score["label"]: score["score"] for score in line["scores"]}
        wanted = of[int(line["start"])]
        np.testing.assert_allclose([scores[name] for name in model.classes], wanted, atol=ROUNDING)
    for name, path in lacks.items():
        rows = list(csv.DictReader(live_lines(model, "csv", path)))
        assert len(rows) == len(whole[name]) and {row["without"] for row in rows} == {name}
    assert "of them without sound" in capsys.readouterr().err
