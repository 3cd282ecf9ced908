"""Unimodal heads: what they learn from, exact resumption, and the answers that they give."""

import csv

import numpy as np
import pytest
import torch
from commands import refused
from inferred import Trained
from systems import bits, fit_for, make, make_world, on_vectors
from torch.nn.functional import cross_entropy

from avsc.features.piecewise import pieces
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.evaluate.predict import clip_samples
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.fit.trained_run import restore
from avsc.train.infer import load
from avsc.train.infer.export import ExportRequest, export
from avsc.train.model.inference import evaluating
from avsc.train.protocol import segments

HEADED = {"unimodal_heads": 0.5}
DROPPED = {"modality_dropout": 0.5, "modality_dropout_epochs": 0}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = make_world(tmp_path_factory.mktemp("headed"))
    assert on_vectors(folder, folder / "run", epochs=1, **HEADED).fit()
    return folder


@pytest.mark.parametrize("dropped", [{}, DROPPED])
def test_the_loss_is_of_all_classifiers_and_reaches_what_it_should(world, tmp_path, dropped):
    trainer = make(world, tmp_path / "run", "joint", **HEADED, **dropped)
    batch, network = next(trainer._batches()), trainer.network.eval()
    heard, seen = network.embed_sound(batch.acoustic), network.embed_images(batch.images)
    own = [network.heads.audio(heard), network.heads.visual(seen)]
    both = network.classifier(network.join(heard, seen, batch.missing))
    assert (batch.missing is not None and batch.missing.any()) == bool(dropped)
    losses = [cross_entropy(logits, batch.scene) for logits in (both, *own)]
    loss = trainer.task.loss(network, batch)
    torch.testing.assert_close(loss, losses[0] + 0.5 * (losses[1] + losses[2]))

    def reached(loss):
        network.zero_grad(set_to_none=True)
        loss.backward()
        named = network.named_parameters()
        return {".".join(name.split(".")[:2]) for name, p in named if p.grad is not None}

    encoder = {"acoustic.blocks", "acoustic.linear"}
    vectors = {"missing.audio", "missing.visual"} if dropped else set()
    heads = {"heads.audio", "heads.visual"}
    assert reached(loss) == encoder | vectors | heads | {"classifier.layers"}
    parts = network.heads(*network.embeddings(batch.acoustic, batch.images, batch.view))
    assert reached(cross_entropy(parts[0], batch.scene)) == encoder | {"heads.audio"}
    parts = network.heads(*network.embeddings(batch.acoustic, batch.images, batch.view))
    assert reached(cross_entropy(parts[1], batch.scene)) == {"heads.visual"}


def test_off_is_the_papers_system_and_all_else_starts_as_there(world, tmp_path):
    plain = on_vectors(world, tmp_path / "plain")
    headed = on_vectors(world, tmp_path / "headed", **HEADED)
    single = make(world, tmp_path / "audio", "audio", **HEADED)
    assert plain.network.heads is None and single.network.heads is None
    ours, theirs = headed.network.state_dict(), plain.network.state_dict()
    assert {
        name: ours[name] for name in ours if not name.startswith("heads.")
    }.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(SettingError, match=r"different --unimodal-heads \(None, now 0.5\)"):
        on_vectors(world, tmp_path / "plain", **HEADED)
    with pytest.raises(SettingError, match="--unimodal-heads is -1; wanted 0 or more"):
        on_vectors(world, tmp_path / "wrong", unimodal_heads=-1)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path):
    how = {**HEADED, **DROPPED, "epochs": 2}
    assert on_vectors(world, tmp_path / "straight", **how).fit()
    assert not fit_for(on_vectors(world, tmp_path / "run", **how), 5)
    went_on = on_vectors(world, tmp_path / "run", **how)
    assert went_on.progress.batch > 0 and went_on.fit()
    one, other = tmp_path / "straight", tmp_path / "run"
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    states = [torch.load(run / "last.pt", weights_only=True)["network"] for run in (one, other)]
    assert "heads.audio.layers.0.weight" in states[0] and bits(states[0]) == bits(states[1])


def late_probability(run, world):
    """Return by condition what the heads make of the test clips, computed without the network."""
    trained, store = restore(run), Store.open(world / "store")
    rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    clips = clip_samples(trained, store, rows, ("strict",), False)
    inputs = (clips.source.acoustic[clips.samples.frame], clips.source.visual[clips.samples.image])
    heads = (trained.network.heads.audio, trained.network.heads.visual)
    with evaluating(trained.network):
        audio, visual = (
            torch.softmax(head(torch.from_numpy(values)).double(), 1).numpy()
            for head, values in zip(heads, inputs, strict=True)
        )
    product = audio * visual / (audio * visual).sum(1, keepdims=True)
    found = {"complete": product, "no-audio": visual, "no-image": audio}
    return {name: segments(each, clips.samples, "strict") for name, each in found.items()}


def read_tsv(path):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return np.array([[float(row[f"scene{k}"]) for k in range(3)] for row in rows])


def test_the_late_product_is_an_answer(fit, world, tmp_path):
    run, cpu = world / "run", ("--device=cpu", "--workers=0", "--resamples=100")
    wanted = late_probability(run, world)
    assert fit("evaluate", run, "--answer=late", "--no-page", "--protocol=strict", *cpu)[0] == 0
    report = run / "evaluation-test-late"
    found = read_tsv(report / "predictions-strict.tsv")
    np.testing.assert_allclose(found, wanted["complete"].probability, atol=1e-6)
    asked = ("--answer=late", "--conditions=no-audio,no-image", "--save-predictions")
    assert fit("robustness", run, *asked, *cpu)[0] == 0
    folder = run / "robustness-test-late"
    for name, predicted in wanted.items():
        found = read_tsv(folder / f"predictions-{name}.tsv")
        np.testing.assert_allclose(found, predicted.probability, atol=1e-6)
    text = (folder / "robustness.md").read_text()
    assert "without the acoustic head" in text and "without the visual head" in text
    assert fit("evaluate", run, "--no-page", "--protocol=strict", *cpu)[0] == 0
    code, out, _ = fit("compare", run, report, "--no-page", "--resamples=100", "--out", tmp_path)
    assert code == 0 and f"second: {report}" in out


def test_the_fallback_is_the_classifier_or_the_head_that_is_left(fit, world):
    run, cpu = world / "run", ("--device=cpu", "--workers=0", "--resamples=100")
    asked = ("--save-predictions", "--conditions=complete,no-audio,no-audio-50,no-image")
    heads = late_probability(run, world)
    assert fit("robustness", run, *asked, *cpu)[0] == 0
    assert fit("robustness", run, *asked, *cpu, "--answer=fallback")[0] == 0
    fused, found = run / "robustness-test", run / "robustness-test-fallback"
    name = "predictions-complete.tsv"
    assert (found / name).read_bytes() == (fused / name).read_bytes()
    complete, half = read_tsv(found / name), read_tsv(found / "predictions-no-audio-50.tsv")
    for each in ("no-audio", "no-image"):
        single = read_tsv(found / f"predictions-{each}.tsv")
        np.testing.assert_allclose(single, heads[each].probability, atol=1e-6)
        assert np.abs(single - read_tsv(fused / f"predictions-{each}.tsv")).max() > 1e-3
    silent = (half != complete).any(1)
    assert 0.4 < silent.mean() < 0.6
    mute = read_tsv(found / "predictions-no-audio.tsv")
    np.testing.assert_array_equal(half[silent], mute[silent])


def test_what_has_no_late_product_is_refused(fit, world, tmp_path):
    on_vectors(world, tmp_path / "plain", epochs=1).fit()
    late = ("--answer=late", "--device=cpu")
    refused(fit("evaluate", tmp_path / "plain", *late), 2, "without unimodal heads")
    refused(fit("evaluate", world / "run", *late, "--embeddings"), 2, "Use only one of them")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Recordings, and a run on them."""
    world = Trained(tmp_path_factory.mktemp("recordings"))
    world.fit("joint", **HEADED)
    return world


def test_predict_answers_by_the_late_product_as_evaluate_does(fit, recordings, monkeypatch):
    run, late = recordings.folder / "joint", ("--answer=late", "--device=cpu")
    options = ("--protocol=strict", "--resamples=100", "--no-page")
    assert fit("evaluate", run, *late, *options)[0] == 0
    evaluated = read_predictions(
        run / "evaluation-test-late" / "predictions-strict.tsv",
        recordings.dataset.clips,
        recordings.dataset.classes,
    )
    monkeypatch.chdir(recordings.root)
    status, out, err = fit("predict", run, "clips.csv", *late, "--format=csv")
    assert (status, err) == (0, "")
    lines = list(csv.DictReader(out.splitlines()))
    for row, clip in enumerate(recordings.dataset.clips):
        if clip.fold == "test":
            found = [[float(line[name]) for name in recordings.dataset.classes]
                     for line in lines if line["file"] == clip.id]  # fmt: skip
            np.testing.assert_array_equal(found, evaluated.probability[evaluated.clip == row])


def test_where_one_modality_is_missing_the_other_head_answers(fit, recordings):
    model = load(recordings.folder / "joint", device="cpu", answer="late")
    fused = load(recordings.folder / "joint", device="cpu")
    sound, video = recordings.files("clip-8")
    assert model.takes_missing and not fused.takes_missing
    assert "joint, answer late, " in repr(model) and model.fingerprint != fused.fingerprint
    both, seen, heard = (
        model.predict(recording, audio=audio, protocol="strict").probability[:, None]
        for recording, audio in ((video, sound), (video, None), (sound, None))
    )
    network, frames, images = model.runtime.network, [], {}
    for piece in pieces(model.wanted("clip-8", sound, video)):
        frames.append(piece.frames)
        images.update(piece.images)
    with torch.no_grad():
        views = model.views([bytes(images[second]) for second in sorted(images)])
        logits = network.heads.visual(network.embed_images(views))
    np.testing.assert_allclose(seen[:, 0], torch.softmax(logits.double(), 1), atol=1e-6)
    assert np.abs(seen - heard).max() > 1e-3 and np.abs(both - seen).max() > 1e-3
    with pytest.raises(SettingError, match="'late' is of unimodal heads, too"):
        model.embed(video, audio=sound)
    warm = ("predict", recordings.folder / "joint", video, "--answer=late", "--temperature")
    refused(fit(*warm), 2, "temperatures-late.json: not there", "--answer late --temperature`")


def test_what_has_no_heads_to_predict_by_is_told(fit, recordings, tmp_path):
    sound, video = recordings.files("clip-8")
    late, single = ("--answer=late", "--device=cpu"), recordings.fit("audio")
    for command in (("predict", single, sound), ("evaluate", single)):
        said = ("a run of audio, which has one modality", "Omit --answer late.")
        refused(fit(*command, *late), 2, *said)
    out, run = tmp_path / "out", recordings.folder / "joint"
    export(ExportRequest(run, out, forms=("safetensors",)), lambda text: None)
    here, there = (load(each, device="cpu") for each in (run, out))
    assert here.runtime.network.heads is not None and there.runtime.network.heads is None
    found = here.predict(video, audio=sound).probability
    np.testing.assert_array_equal(there.predict(video, audio=sound).probability, found)
    refused(fit("predict", out, video, *late), 2, "no unimodal heads", "exported from")
    with pytest.raises(SettingError, match="answer is 'product'; one of fused, late, fallback"):
        load(run, device="cpu", answer="product")
