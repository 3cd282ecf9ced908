"""Modality dropout: who loses what, the learned vectors, exact resumption, and what it is worth."""

import json

import numpy as np
import pytest
import torch
from epochs import training_batches
from systems import bits, fit_for, make, make_world, on_vectors
from torch.nn.functional import cross_entropy

from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.data.modality_dropout import ModalityDropout
from avsc.train.evaluate.predict import clip_samples
from avsc.train.evaluate.robustness.condition_predictions import Asked, run_answers
from avsc.train.evaluate.robustness.conditions import named_conditions
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.trained_run import restore
from avsc.train.metrics import scores
from avsc.train.model.inference import evaluating
from avsc.train.protocol import segments
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

DROPPED = {"modality_dropout": 0.5, "modality_dropout_epochs": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("dropped"))


def test_the_probability_rises_and_no_sample_loses_both():
    dropout = ModalityDropout(0.6, 4)
    assert [dropout.rate(epoch) for epoch in (0, 1, 2.5, 4, 100)] == pytest.approx(
        [0, 0.15, 0.375, 0.6, 0.6]
    )
    assert ModalityDropout(0.6, 0).rate(0) == 0.6
    half, full = (dropout.draw(np.random.default_rng(3), t, 10_000) for t in (2, 4))
    for drawn, rate in ((half, 0.3), (full, 0.6)):
        assert drawn.shape == (10_000, 2) and not drawn.all(axis=1).any()
        assert drawn.mean(axis=0) == pytest.approx([rate / 2, rate / 2], abs=0.015)
    assert not dropout.draw(np.random.default_rng(3), 0, 100).any()


def test_draws_are_of_the_batch_wherever_it_is_made(world):
    trainer = on_vectors(world, world / "draws", **DROPPED)
    source, samples = trainer.run.source, trainer.run.training

    def masks(seed=0, epoch=1, start=0, shard=(0, 1)):
        batches = training_batches(
            source, samples, image_input=None, batch_size=16, seed=seed, epoch=epoch,
            start_batch=start, shard=shard, modality_dropout=ModalityDropout(0.8, 1),
        )  # fmt: skip
        return [batch.missing.numpy() for batch in batches]

    whole = masks()
    assert len(whole) > 5 and all(mask.any() and mask.shape == (16, 2) for mask in whole)
    for wanted, found in zip(whole[3:], masks(start=3), strict=True):
        assert np.array_equal(wanted, found)
    for wanted, *parts in zip(whole, masks(shard=(0, 2)), masks(shard=(1, 2)), strict=True):
        assert np.array_equal(wanted, np.concatenate(parts))
    others = [masks(seed=1), masks(epoch=2), [*whole[1:], whole[0]]]
    assert not any(np.array_equal(whole, other) for other in others)


@pytest.mark.parametrize("system", ["joint", "end-to-end"])
def test_vectors_replace_exactly_what_is_missing_and_learn(world, tmp_path, system):
    trainer = make(world, tmp_path / "run", system, **{**DROPPED, "frames_per_image": "all"})
    network = trainer.network
    with torch.no_grad():
        network.missing.audio.normal_()
        network.missing.visual.normal_()
    trainer.progress.epoch = 1
    batch = next(trainer._batches())
    assert batch.view is not None and 0 < batch.missing.sum() < 32
    network.eval()
    heard = network.embed_sound(batch.acoustic)
    seen = network.embed_images(batch.images)[batch.view]
    assert torch.equal(
        network(batch.acoustic, batch.images, batch.view),
        network.classifier(torch.cat([heard, seen], 1)),
    )
    audio, visual = network.missing.audio, network.missing.visual
    rows = [
        torch.cat([audio if no_audio else a, visual if no_image else v])
        for a, v, (no_audio, no_image) in zip(heard, seen, batch.missing.tolist(), strict=True)
    ]  # fmt: skip
    logits = network(batch.acoustic, batch.images, batch.view, batch.missing)
    assert torch.equal(logits, network.classifier(torch.stack(rows)))
    cross_entropy(logits, batch.scene).backward()
    assert all(vector.grad.abs().sum() > 0 for vector in network.missing.parameters())

    every = torch.ones(len(heard), dtype=torch.bool)
    for column, (a, v) in enumerate([(None, seen), (batch.acoustic, None)]):
        mask = torch.stack([every & (column == 0), every & (column == 1)], 1)
        assert torch.equal(network.classify(a, v), network.classify(batch.acoustic, seen, mask))
    with pytest.raises(ValueError, match="both modalities are missing"):
        network.classify(None, None)


def test_off_is_the_papers_system(world, tmp_path):
    plain = make(world, tmp_path / "plain", "joint", epochs=1)
    off = make(world, tmp_path / "off", "joint", epochs=1, modality_dropout_epochs=3)
    single = make(world, tmp_path / "audio", "audio", epochs=1, **DROPPED)
    for trainer in (plain, off, single):
        assert not trainer.network.takes_missing and trainer.task.modality_dropout is None
        parts = {name.split(".")[0] for name in trainer.network.state_dict()}
        assert parts <= {"acoustic", "visual", "classifier"}
    assert plain.fit() and off.fit()
    assert plain.run.digest == off.run.digest
    assert (tmp_path / "plain/metrics.csv").read_bytes() == (
        tmp_path / "off/metrics.csv"
    ).read_bytes()
    frames = plain.run.source.acoustic[:2]
    mask = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="nothing in the place of a missing modality"):
        plain.network.eval()(torch.from_numpy(frames), torch.zeros(2, 3, 32, 32), None, mask)


def test_records_from_before_the_setting_keep_their_identity(world, tmp_path):
    make(world, tmp_path / "run", "joint", epochs=1).fit()
    file = tmp_path / "run" / "settings.json"
    values = json.loads(file.read_text())
    for name in DROPPED:
        del values["settings"][name]
    file.write_text(json.dumps(values))
    assert restore(tmp_path / "run").record.settings.modality_dropout == 0
    assert make(world, tmp_path / "run", "joint", epochs=2).progress.epoch == 1
    said = r"different --modality-dropout \(None, now 0.5\)"
    with pytest.raises(SettingError, match=said):
        make(world, tmp_path / "run", "joint", epochs=2, **DROPPED)


def test_the_best_epoch_may_be_that_of_a_mean_over_what_is_missing(world, tmp_path):
    how = {**DROPPED, "epochs": 1, "validation": "location"}
    trainer = on_vectors(world, tmp_path / "mean", **how, validation_missing=0.5)
    assert trainer.fit()
    run, network = trainer.run, trainer.network.eval()
    own, protocol = run.validation, run.settings.protocol
    heard = torch.from_numpy(run.source.acoustic[own.frame])
    seen = torch.from_numpy(run.source.visual[own.image])
    found = []
    for a, v in ((heard, seen), (None, seen), (heard, None)):
        with torch.no_grad():
            probability = torch.softmax(network.classify(a, v).double(), 1).numpy()
        found.append(scores(segments(probability, own, protocol), run.classes))
    assert len({each.log_loss for each in found}) == 3
    (row,) = trainer.progress.history
    for name in ("log_loss", "accuracy"):
        complete, *missing = (getattr(each, name) for each in found)
        wanted = (complete + 0.5 * sum(missing)) / 2
        assert getattr(row, f"validation_{name}") == pytest.approx(wanted, rel=1e-6)
    plain = on_vectors(world, tmp_path / "plain", **how)
    assert "--validation-missing" not in plain.run.record.identity()
    assert plain.run.digest != run.digest
    single = make(world, tmp_path / "audio", "audio", epochs=1, validation_missing=0.5)
    assert single.task.validated == ((None, 1.0),)
    with pytest.raises(SettingError, match="--validation-missing is -1"):
        Settings(validation_missing=-1)


def test_limits():
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingError, match="--modality-dropout is"):
            Settings(modality_dropout=wrong)
    with pytest.raises(SettingError, match="--modality-dropout-epochs is -1"):
        Settings(modality_dropout_epochs=-1)
    assert Settings(**DROPPED).dropout_of_modalities(SYSTEMS["video"]) is None


@pytest.mark.parametrize("looks", [3, 9])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path, looks):
    how = {**DROPPED, "epochs": 2, "modality_dropout_epochs": 2}
    assert on_vectors(world, tmp_path / "straight", **how).fit()
    assert not fit_for(on_vectors(world, tmp_path / "run", **how), looks)
    went_on = on_vectors(world, tmp_path / "run", **how)
    assert went_on.progress.batch > 0
    assert went_on.fit()
    one, other = tmp_path / "straight", tmp_path / "run"
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    states = [torch.load(run / "last.pt", weights_only=True)["network"] for run in (one, other)]
    assert {"missing.audio", "missing.visual"} < set(states[0])
    assert states[0]["missing.audio"].any() and bits(states[0]) == bits(states[1])


def test_with_a_modality_gone_it_beats_the_papers_system(world, tmp_path):
    """On vectors whose optimum is known: normal noise, 3 standard deviations apart."""
    draw, scene = np.random.default_rng(99), torch.arange(300) % 3
    audio, visual = (torch.from_numpy(draw.normal(size=(300, 6))).float() for _ in range(2))
    for vector in (audio, visual):
        vector[:, 4] = 3
        vector[range(300), scene] += 3
    cases = {"complete": (audio, visual), "no audio": (None, visual), "no image": (audio, None)}

    def losses(network, fill):
        found = {}
        with evaluating(network):
            for name, inputs in cases.items():
                given = [torch.zeros(300, 6) if fill and x is None else x for x in inputs]
                found[name] = float(cross_entropy(network.classify(*given), scene))
        return found

    best = {
        name: float(cross_entropy(3 * sum(x[:, :3] for x in inputs if x is not None), scene))
        for name, inputs in cases.items()
    }
    for seed in range(2):
        how = {"epochs": 8, "seed": seed, "modality_dropout_epochs": 2}
        paper = on_vectors(world, tmp_path / f"paper-{seed}", **how)
        robust = on_vectors(world, tmp_path / f"robust-{seed}", **how, modality_dropout=0.5)
        assert paper.fit() and robust.fit()
        zeros, learned = losses(paper.network, True), losses(robust.network, False)
        for name in ("no audio", "no image"):
            assert best[name] < learned[name] < min(best[name] + 0.12, zeros[name] - 0.05)
        assert learned["complete"] < zeros["complete"] + 0.01


def test_robustness_is_measured_with_the_learned_vectors(world, tmp_path):
    trainer = on_vectors(world, tmp_path / "run", epochs=1, **DROPPED)
    assert trainer.fit()
    trained, store = restore(tmp_path / "run"), Store.open(world / "store")
    rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    computing = Computing(torch.device("cpu"), 16, 0)
    clips = clip_samples(trained, store, rows, ("strict",), False)
    asked = Asked(named_conditions("no-audio,no-image"))
    with Console() as console:
        answers = run_answers(trained, store, rows, asked, computing, console)
    network, samples = trained.network.eval(), clips.samples
    assert network.missing.audio.any() and network.missing.visual.any()
    heard = torch.from_numpy(clips.source.acoustic[samples.frame])
    seen = torch.from_numpy(clips.source.visual[samples.image])
    for name, inputs in {"no-audio": (None, seen), "no-image": (heard, None)}.items():
        with torch.no_grad():
            probability = torch.softmax(network.classify(*inputs).double(), 1).numpy()
        wanted = segments(probability, samples, "strict").probability
        np.testing.assert_allclose(answers["strict"][name].segments.probability, wanted, atol=1e-6)
        assert answers["strict"][name].note.startswith("the learned vector in the place of the")
