"""A trained model on recordings: the answers of evaluation, and its Python interface."""

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import run_fit
from inferred import LENGTHS, Trained
from stores import small_store
from systems import make_home

from avsc.features.specs import ScalogramSpec
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, MediaError, SettingError
from avsc.train.evaluate.calibration import FittedTemperature
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.evaluate.robustness.conditions import PATTERNS
from avsc.train.fit.trained_run import restore
from avsc.train.infer import Arrays, load
from avsc.train.infer.run import check_version
from avsc.train.protocol import EVERY


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("inferred"))


@pytest.mark.parametrize("system", ["joint", "audio", "video", "end-to-end"])
def test_answers_are_those_of_evaluation_bit_for_bit(world, system, monkeypatch, capsys):
    run = world.fit(system)
    status, _, err = run_fit(
        monkeypatch, capsys, "evaluate", run, "--device=cpu", "--workers=2", "--resamples=100",
        "--protocol=strict,centred,clip", "--out", world.folder / f"report-{system}",
    )  # fmt: skip
    assert status == 0, err
    model = load(run, device="cpu")
    clips = world.dataset.clips
    for protocol in EVERY:
        report = world.folder / f"report-{system}" / f"predictions-{protocol}.tsv"
        evaluated = read_predictions(report, clips, model.classes)
        for row, clip in enumerate(clips):
            if clip.id not in LENGTHS:
                continue
            audio, video = world.files(clip.id)
            first = audio if system == "audio" else video
            found = model.predict(first, audio=audio, protocol=protocol)
            wanted = evaluated.clip == row
            np.testing.assert_array_equal(found.probability, evaluated.probability[wanted])
            if evaluated.second is not None:
                assert found.times[:, 0].tolist() == evaluated.second[wanted].tolist()
                assert (found.times[:, 1] - found.times[:, 0] == 1).all()


def test_windows_hops_and_smoothing(world):
    model = load(world.fit("joint"), device="cpu")
    audio, video = world.files("clip-7")
    seconds = model.predict(video, audio=audio)
    assert seconds.times.tolist() == [[k, k + 1] for k in range(13)]
    found = model.predict(video, audio=audio, window=3, hop=1.5)
    assert found.times[:2].tolist() == [[0, 3], [1.5, 4.5]]
    assert found.times[-1].tolist() == [10.5, 13.5]  # its middle, 12, lies before the end
    np.testing.assert_allclose(found.probability.sum(1), 1)
    smooth = model.predict(video, audio=audio, smooth=2)
    np.testing.assert_allclose(smooth.probability[5], seconds.probability[4:7].mean(0))
    np.testing.assert_allclose(smooth.probability[0], seconds.probability[:2].mean(0))
    with pytest.raises(MediaError, match="13 s that can be classified, and no window of 30 s"):
        model.predict(video, audio=audio, window=30)


def test_a_window_of_several_seconds_is_the_mean_of_what_lies_in_it(world):
    """Three seconds hold frames that no second holds whole."""
    model = load(world.fit("audio"), device="cpu")
    audio, _ = world.files("clip-8")
    centred = model.predict(audio, protocol="centred", window=3)
    clip = model.predict(audio, protocol="clip")
    np.testing.assert_array_equal(centred.probability, clip.probability)
    strict = model.predict(audio, protocol="strict", window=3)
    np.testing.assert_array_equal(strict.probability, clip.probability)  # all lie in [0, 3)
    assert (model.predict(audio).mean().probability != clip.probability).all()


def test_arrays_get_the_answers_of_their_file(world):
    model = load(world.fit("audio"), device="cpu")
    audio, video = world.files("clip-7")
    waveform, rate = soundfile.read(audio, dtype="float32")
    arrays = Arrays(waveform=waveform.T, rate=rate)
    wanted = model.predict(audio)
    found = model.predict(arrays)
    np.testing.assert_array_equal(found.probability, wanted.probability)
    assert found.times.tolist() == wanted.times.tolist()
    joint = load(world.fit("joint"), device="cpu")
    store = Store.open(world.store)
    images, row = store.records("images"), [clip.id for clip in store.clips].index("clip-7")
    jpegs = [images.read(number).tobytes() for number in np.flatnonzero(images.clip == row)]
    found = joint.predict(Arrays(waveform.T, rate, jpegs))
    wanted = joint.predict(video, audio=audio)
    np.testing.assert_array_equal(found.probability, wanted.probability)


def test_images_have_times(world):
    model = load(world.fit("video"), device="cpu")
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 255, (2, 400, 500, 3), dtype=np.uint8)
    found = model.predict(Arrays(images=[first, second], times=[0.6, 3.0]))
    assert found.times[:, 0].tolist() == [1, 2, 3]
    assert (found.probability[0] == found.probability[1]).all()
    assert (found.probability[1] != found.probability[2]).all()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"waveform": np.zeros((100, 2))}, r"shape \(100, 2\); wanted float \[2, samples\].*trans"),
        ({"waveform": np.zeros(100)}, r"shape \(100,\); wanted float \[2, samples\]"),
        ({"waveform": np.zeros((2, 9), np.int16), "rate": 9}, r"is of int16; wanted float"),
        ({"waveform": np.full((2, 9), np.nan), "rate": 9}, r"not finite; wanted float"),
        ({"waveform": np.zeros((2, 9))}, r"rate is None; wanted the waveform's, 1000 to 384000 Hz"),
        ({"images": [np.zeros((4, 4, 3))]}, r"image 0 is float64 \[4, 4, 3\]; wanted uint8 RGB"),
        ({"images": [b"no"]}, r"image 0: 2 bytes are not a JPEG .* Wanted uint8 RGB"),
        ({"images": ["a.jpg"]}, r"image 0 is a str; wanted uint8 RGB"),
        (
            {"images": [np.zeros((4, 4, 3), np.uint8)] * 2, "times": [1, 1]},
            r"times have shape \(2,\); wanted 2 finite, rising numbers",
        ),
        (
            {"images": [np.zeros((4, 4, 3), np.uint8)], "times": [np.nan]},
            r"times have shape \(1,\); wanted 1 finite, rising numbers",
        ),
    ],
)
def test_arrays_of_another_form_are_refused(arrays, said):
    with pytest.raises(SettingError, match=said):
        Arrays(**arrays)


def test_arrays_lack_what_the_model_takes(world):
    model = load(world.fit("joint"), device="cpu")
    with pytest.raises(SettingError, match="the model hears; wanted `waveform`"):
        model.predict(Arrays(images=[np.zeros((40, 40, 3), np.uint8)]))
    with pytest.raises(SettingError, match="the model sees; wanted `images`"):
        model.predict(Arrays(waveform=np.ones((2, 48_000)), rate=48_000))
    with pytest.raises(SettingError, match=r"audio is a\.wav, and the recording is arrays"):
        model.predict(Arrays(images=[np.zeros((40, 40, 3), np.uint8)]), audio="a.wav")


def test_embeddings_are_in_time(world):
    model = load(world.fit("joint"), device="cpu")
    audio, video = world.files("clip-8")
    found = model.embed(video, audio=audio)
    assert found.timestamps[:2].tolist() == [256.0, 256.0 + 171.0]
    n_visual = model.runtime.network.visual.features
    assert found.embeddings.shape == (len(found.timestamps), 1024 + n_visual)
    np.testing.assert_allclose(found.scene, found.embeddings.mean(0), rtol=1e-5)
    one = found.timestamps < 1000  # they share the image of the first second
    assert (found.embeddings[one, 1024:] == found.embeddings[0, 1024:]).all()
    seen = load(world.fit("video"), device="cpu").embed(video)
    assert seen.timestamps.tolist() == [500.0, 1500.0, 2500.0]


def test_a_prediction_shows_itself(world, tmp_path):
    model = load(world.fit("audio"), device="cpu")
    audio, _ = world.files("clip-8")
    found = model.predict(audio)
    assert repr(model).startswith(f"<Model {world.folder / 'audio'}: audio, 2 scenes, hears scalo")
    assert repr(found).startswith(f"<Prediction {audio}: 3 answers from 0 to 3 s; scene")
    ((label, score), (other, rest)) = found.top(2)[0]
    assert {label, other} == {"scene0", "scene1"} and score >= rest
    text = found.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == text
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ["file", "start", "end", "scene", "scene0", "scene1"]
    assert [float(row["scene1"]) for row in rows] == found.probability[:, 1].tolist()


@pytest.mark.parametrize("system", ["pipeline", "ablation-2", "ablation-3"])
def test_frozen_encoders_are_found_again(world, system, monkeypatch, capsys):
    """Embeddings that are stored were computed in other batches, so that the last bits differ."""
    audio_run = world.fit("audio")
    run = world.fit(system, acoustic_run=None if system == "ablation-2" else audio_run)
    status, _, err = run_fit(
        monkeypatch, capsys, "evaluate", run, "--device=cpu", "--workers=0", "--resamples=100"
    )
    assert status == 0, err
    model = load(run, device="cpu")
    report = run / "evaluation-test" / "predictions-strict.tsv"
    evaluated = read_predictions(report, world.dataset.clips, model.classes)
    row = [clip.id for clip in world.dataset.clips].index("clip-7")
    audio, video = world.files("clip-7")
    found = model.predict(video, audio=audio).probability
    np.testing.assert_allclose(found, evaluated.probability[evaluated.clip == row], atol=1e-5)
    fitted = {name: asdict(FittedTemperature(2.0, 9, 1, 1, 0, 0)) for name in PATTERNS.values()}
    kept = {**restore(run).key, "store_fingerprint": "", "protocols": {"strict": fitted}}
    (run / "temperatures.json").write_text(json.dumps(kept))
    warm = load(run, device="cpu", temperature=True)  # encoders of other runs are no part of it
    assert (model.temperature, warm.temperature) == (1.0, 2.0) and not warm.temperature_without
    if system == "pipeline":
        audio_run.rename(world.folder / "audio.away")
        try:
            with pytest.raises(AvscError, match=f"{run}: its acoustic encoder is of the run"):
                load(run, device="cpu")
        finally:
            (world.folder / "audio.away").rename(audio_run)


def test_features_that_are_not_the_default_ones_are_the_stores(tmp_path):
    """The golden run was trained on small images."""
    golden = Path(__file__).parents[1] / "golden"
    shutil.copytree(golden / "video", tmp_path / "video")
    with pytest.raises(SettingError, match="trained on images 4f06149a436b, which is not what"):
        load(tmp_path / "video", device="cpu")
    model = load(tmp_path / "video", device="cpu", store=golden / "store")
    assert model.images.digest[:12] == "4f06149a436b"
    other = small_store(tmp_path / "other", products=("images",))
    with pytest.raises(SettingError, match=r"has images .*; wanted 4f06149a436b"):
        load(tmp_path / "video", device="cpu", store=other)


def test_features_of_another_version_are_refused(monkeypatch):
    check_version(ScalogramSpec(), "a run")
    with pytest.raises(SettingError, match="by version 2 of that feature, and this version of avs"):
        check_version(ScalogramSpec(version=2), "a run")


def test_vectors_from_elsewhere_cannot_be_made(tmp_path):
    home = make_home(tmp_path)
    with pytest.raises(SettingError, match="a run of baseline-audio on acoustic vectors that were"):
        load(home / "baseline-audio", device="cpu")


def test_temperature_is_that_of_evaluation(world):
    model = load(world.fit("audio"), device="cpu")
    audio, _ = world.files("clip-8")
    plain = model.predict(audio).probability
    found = replace(model, temperature=2.0).predict(audio).probability
    root = np.sqrt(plain)
    np.testing.assert_allclose(found, root / root.sum(1, keepdims=True))
    assert "temperature 2" in repr(replace(model, temperature=2.0))
