"""Every system over the one loop: what it reads, what it learns, how it goes on."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from stores import small_clips, small_store
from systems import SMALL, clips_of, fit_for, make, write_vectors

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.evaluate.predict import predict_clips
from avsc.train.fit import inputs
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.encoders import ACOUSTIC, VISUAL
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.trained_run import restore
from avsc.train.model.inference import predict
from avsc.train.model.visual import visual_encoder
from avsc.train.model.weights import digest
from avsc.train.systems import SYSTEMS, VERBS

CPU = torch.device("cpu")


class Killed(BaseException):
    """The process is no more."""


def bits(value):
    """Return a checkpoint with its tensors as bytes, for exact comparison."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(each) for name, each in value.items()}
    return [bits(each) for each in value] if isinstance(value, list) else value


def test_the_ablations_that_are_rows_of_table_3_are_those_very_systems():
    assert VERBS["ablation-1"] is SYSTEMS["pipeline"]
    assert VERBS["ablation-4"] is SYSTEMS["joint"]
    assert {f"ablation-{number}" for number in (1, 2, 3, 4)} <= set(VERBS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_moves_what_learns_and_nothing_else(home, tmp_path, system):
    training = make(home, tmp_path / "run", system)
    network, chosen = training.network, SYSTEMS[system]
    before = {name: digest(part) for name, part in network.named_children()}
    assert not fit_for(training, 1)
    after = {name: digest(part) for name, part in network.named_children()}
    moved = {name for name in before if before[name] != after[name]}
    branches = {"acoustic": chosen.audio, "visual": chosen.visual}
    learns = {name for name, branch in branches.items() if branch is not None and branch.trained}
    assert moved == {"classifier", *learns}  # statistics of batch normalisation are among these
    gradients = {
        name: any(p.grad is not None and bool(p.grad.abs().sum()) for p in part.parameters())
        for name, part in network.named_children()
    }
    assert {name for name, there in gradients.items() if there} == moved


@pytest.mark.parametrize(
    "system", ["pipeline", "ablation-3", "joint", "end-to-end", "baseline-audio"]
)
def test_three_epochs_a_kill_and_three_more_are_six_straight(home, tmp_path, monkeypatch, system):
    make(home, tmp_path / "straight", system, epochs=6).fit()
    make(home, tmp_path / "run", system, epochs=3).fit()
    killed = make(home, tmp_path / "run", system, epochs=6, save_minutes=1e-9)
    step, steps = killed._step, []

    def die_at_the_second(batch):
        if steps:
            raise Killed
        steps.append(step(batch))

    monkeypatch.setattr(killed, "_step", die_at_the_second)
    with pytest.raises(Killed):
        killed.fit()
    went_on = make(home, tmp_path / "run", system, epochs=6)
    assert (went_on.progress.epoch, went_on.progress.batch) == (3, 1)
    assert went_on.fit()
    one, other = tmp_path / "straight", tmp_path / "run"
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()
    for name in ("best.pt", "last.pt"):
        found = [bits(torch.load(folder / name, weights_only=True)) for folder in (one, other)]
        assert found[0] == found[1], name


READS = {
    "audio": {"scalogram"},
    "video": {"images"},
    "pipeline": {ACOUSTIC, VISUAL},
    "ablation-2": {"scalogram", VISUAL},
    "ablation-3": {"scalogram", "images"},
    "joint": {"scalogram", "images"},
    "end-to-end": {"scalogram", "images"},
    "baseline-audio": set(),
    "baseline-video": set(),
    "baseline": set(),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_training_reads_what_its_row_says_of_the_training_fold_alone(
    home, tmp_path, touched, system
):
    make(home, tmp_path / "before", system)  # makes the embeddings that were missing
    touched.clear()
    make(home, tmp_path / "run", system, epochs=1).fit()
    store = Store.open(home / "store")
    assert {product for product, _ in touched} == READS[system]
    assert {row for _, row in touched} == (clips_of(store, "train") if READS[system] else set())

    touched.clear()
    trained, rows = restore(tmp_path / "run"), sorted(clips_of(store, "test"))
    source = trained_inputs(trained.record, store, trained.folder.path).source(rows)
    samples = source.samples(rows)
    assert set(samples.clip) == set(rows)
    predict(trained.network, source, samples, batch_size=32, workers=0, device=CPU)
    assert {product for product, _ in touched} == READS[system]
    assert {row for _, row in touched} == (set(rows) if READS[system] else set())


def test_a_given_encoder_keeps_its_runs_weights_and_normalisation(home, tmp_path):
    before = digest(restore(home / "audio").network.acoustic)
    # Another seed draws another split, of other frames; the normalisation is still the run's.
    make(home, tmp_path / "run", "ablation-3", epochs=1, seed=5).fit()
    assert digest(restore(tmp_path / "run").network.acoustic) == before
    record = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert record["acoustic"]["digest"] == before
    assert record["acoustic"]["origin"].startswith(f"run {home / 'audio'} (audio, epoch 1, digest")


def test_validation_clips_that_the_encoder_knows_are_told(home, tmp_path, capsys):
    make(home, tmp_path / "same", "ablation-3")
    assert "validation will look too good" not in capsys.readouterr().out
    make(home, tmp_path / "other", "ablation-3", seed=5)
    assert "validation clips, so that validation will look too good" in capsys.readouterr().out


def test_weights_of_a_run_on_scenes_are_refused(home, tmp_path):
    """Nothing would check which clips it has seen."""
    with pytest.raises(SettingError, match=r"audio, a run on scenes; wanted .* by --visual-run\."):
        make(home, tmp_path / "run", "video", visual_weights=str(home / "audio"))


@pytest.mark.parametrize("part", ["training", "validation"])
def test_an_encoder_that_has_seen_the_test_fold_is_refused(home, tmp_path, part):
    rows = (home / "audio" / "split.csv").read_text().split()
    seen = {row.partition(",")[0] for row in rows if row.endswith(f",{part}")}
    folds = {True: "test", False: "train"}
    clips = tuple(replace(clip, fold=folds[clip.id in seen]) for clip in small_clips())
    small_store(tmp_path / "store", products=("scalogram", "images"), clips=clips)
    message = r"audio: trained or validated on \d+ of the \d+ clips of .*'s test fold"
    with pytest.raises(AvscError, match=message):
        make(home, tmp_path / "run", "ablation-3", store=tmp_path / "store", validation="random")


def test_the_runs_that_an_encoders_run_started_from_are_checked_too(home, tmp_path, capsys):
    """That run is on a store without the clips in question, so that it has seen none of them."""
    clips = tuple(clip for clip in small_clips() if clip.location[-1] != "0")
    store = small_store(tmp_path / "store", products=("scalogram",), clips=clips)
    write_vectors(file := tmp_path / "vectors.h5", Store.open(store), 0.2)
    settings = {"epochs": 1, "validation": "random", "validation_fraction": 0.5, "seed": 5}
    settings |= {"acoustic_embeddings": file, "visual_embeddings": file, "store": store}
    first = shutil.copytree(home / "baseline-audio", tmp_path / "first")
    encoders = {"acoustic_run": first, "visual_run": home / "baseline-video"}
    run = tmp_path / "run"
    make(home, run, "baseline", **settings, **encoders).fit()
    capsys.readouterr()
    again = {**settings, "acoustic_run": run, "visual_run": run}
    make(home, tmp_path / "new", "baseline", **again)
    told = rf"{first} \(on which {run} depends\): was trained on \d+ of these \d+ validation clips"
    assert re.search(told, said := capsys.readouterr().out) and f"{run}: was trained" not in said
    folds = {True: "train", False: "test"}
    others = tuple(replace(clip, fold=folds[clip in clips]) for clip in small_clips())
    small_store(tmp_path / "others", products=("scalogram",), clips=others)
    write_vectors(file, Store.open(tmp_path / "others"), 0.2)
    again["store"] = tmp_path / "others"
    message = rf"{first} \(on which {run} depends\): trained or validated on 6 of the 6 clips"
    with pytest.raises(AvscError, match=message):
        make(home, tmp_path / "other", "baseline", **again)
    shutil.rmtree(first)
    with pytest.raises(AvscError, match=r"video \(on which .* depends\): trained or validated"):
        make(home, tmp_path / "other", "baseline", **again)
    told = rf"{run}: depends on run {first} .*, which is no longer there, or cannot be read, so"
    assert re.search(told, capsys.readouterr().out)
    first.mkdir()
    (first / "settings.json").write_text('{"system": "places"}')
    with pytest.raises(AvscError, match=r"video \(on which .* depends\): trained or validated"):
        make(home, tmp_path / "other", "baseline", **again)
    assert re.search(told, capsys.readouterr().out)


def test_another_acoustic_run_under_a_begun_pipeline_is_named(home, tmp_path):
    make(home, tmp_path / "run", "pipeline", epochs=1).fit()
    make(home, tmp_path / "other", "audio", epochs=1, momentum=0.5).fit()
    before = (tmp_path / "run" / "settings.json").read_bytes()
    told = rf"different acoustic encoder \(.*{home / 'audio'} .*now .*{tmp_path / 'other'} "
    with pytest.raises(SettingError, match=told):
        make(home, tmp_path / "run", "pipeline", acoustic_run=tmp_path / "other")
    assert (tmp_path / "run" / "settings.json").read_bytes() == before
    shutil.copytree(home / "audio", tmp_path / "moved")  # the same encoder by another name
    assert make(
        home, tmp_path / "run", "pipeline", acoustic_run=tmp_path / "moved", epochs=1
    ).finished


def test_the_same_weights_by_another_path_go_on(home, tmp_path, monkeypatch):
    """By any spelling, copied, or wrapped; other weights, or none of a file, are another run's."""
    for name, seed in (("w.pt", 3), ("other.pt", 4)):
        model = visual_encoder(SMALL["backbone"], "random", seed=seed).model
        torch.save(model.state_dict(), tmp_path / name)
    state = torch.load(tmp_path / "w.pt", weights_only=True)
    torch.save(
        {"model": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "c"
    )
    monkeypatch.chdir(tmp_path)
    make(home, tmp_path / "run", "pipeline", epochs=1, visual_weights="w.pt").fit()
    before = (tmp_path / "run" / "settings.json").read_bytes()
    for same in ("w.pt", "./w.pt", str(tmp_path / "w.pt"), "../" + tmp_path.name + "/w.pt", "c"):
        again = make(home, tmp_path / "run", "pipeline", epochs=1, visual_weights=same)
        assert again.finished and (tmp_path / "run" / "settings.json").read_bytes() == before
    for other, told in (
        ("other.pt", r"different visual encoder \(.* \(file w\.pt .* \(file other\.pt "),
        ("none.pt", r"none\.pt: no such file of weights"),
        ("random", r"different --visual-weights \('w.pt', now 'random'\)"),
    ):
        with pytest.raises(AvscError, match=told):
            make(home, tmp_path / "run", "pipeline", epochs=1, visual_weights=other)
    assert (tmp_path / "run" / "settings.json").read_bytes() == before
    shutil.move("w.pt", "moved.pt")  # and embeddings that are gone are made of it
    again = make(
        home, tmp_path / "run", "pipeline", epochs=1, visual_weights="moved.pt",
        embeddings=tmp_path / "embeddings",
    )  # fmt: skip
    assert again.finished


def test_other_settings_are_refused_before_lost_embeddings_are_made_again(home, tmp_path):
    kwargs = {"epochs": 1, "embeddings": tmp_path / "embeddings"}
    make(home, tmp_path / "run", "pipeline", **kwargs).fit()
    shutil.rmtree(tmp_path / "embeddings")
    with pytest.raises(SettingError, match=r"different --dropout \(0\.5, now 0\.1\)"):
        make(home, tmp_path / "run", "pipeline", **kwargs, dropout=0.1)
    assert not (tmp_path / "embeddings").exists()
    assert make(home, tmp_path / "run", "pipeline", **kwargs).finished


def test_embeddings_that_come_out_otherwise_are_not_trained_on(home, tmp_path, monkeypatch):
    make(home, tmp_path / "run", "pipeline", epochs=1).fit()
    real = inputs.embedding_ref
    changed = {"fingerprint": "0" * 64}
    monkeypatch.setattr(inputs, "embedding_ref", lambda stored: replace(real(stored), **changed))
    with pytest.raises(SettingError, match=r"found content 000000000000, wanted .*--no-resume"):
        make(home, tmp_path / "run", "pipeline", epochs=2)


def test_other_vectors_under_a_begun_run_are_named(home, tmp_path):
    make(home, tmp_path / "run", "baseline-audio", epochs=1).fit()
    write_vectors(tmp_path / "other.h5", Store.open(home / "store"), 0.2, seed=1)
    with pytest.raises(SettingError, match=f"different {ACOUSTIC}' fingerprint"):
        make(home, tmp_path / "run", "baseline-audio", acoustic_embeddings=tmp_path / "other.h5")


def test_vectors_take_the_place_of_either_encoder(home, tmp_path):
    run = make(
        home, tmp_path / "both", "pipeline", acoustic_run=None,
        acoustic_embeddings=home / "acoustic.h5", visual_embeddings=home / "visual.h5", epochs=8,
    )  # fmt: skip
    assert run.fit()
    assert run.progress.history[-1].validation_accuracy == 1.0
    assert run.network.classifier.layers[0].in_features == 12
    one = make(home, tmp_path / "one", "ablation-2", visual_embeddings=home / "visual.h5")
    assert one.run.source.acoustic.shape[1:] == (2, 290)
    assert one.run.source.visual.shape[1:] == (6,)


def test_clips_without_vectors_are_told_and_withhold_the_figure(home, tmp_path, capsys):
    store = Store.open(home / "store")
    missing = [min(clips_of(store, "train")), min(clips_of(store, "test"))]
    write_vectors(tmp_path / "some.h5", store, 0.2, without=missing)
    run = make(
        home, tmp_path / "run", "baseline-audio", epochs=1,
        acoustic_embeddings=tmp_path / "some.h5",
    )  # fmt: skip
    name = store.clips[missing[0]].id
    assert f"some.h5: 1 of these 18 clips have no vectors, {name} first" in capsys.readouterr().out
    assert missing[0] not in run.run.source.every.clip
    run.fit()
    how = (["strict"], Computing(CPU, 32, 0), Console())
    rows = sorted(clips_of(store, "test"))
    with pytest.raises(AvscError, match=f"missing are {store.clips[missing[1]].id}"):
        predict_clips(restore(tmp_path / "run"), store, rows, *how)
    found = predict_clips(restore(tmp_path / "run"), store, rows, *how, allow_missing=True)
    assert (found.expected, len(found.missing["strict"])) == (18, 3)


@pytest.mark.parametrize(
    ("system", "changes", "told"),
    [
        ("pipeline", {"acoustic_run": None}, "--acoustic-run; `avsc-fit audio` trains one"),
        ("baseline", {"acoustic_run": None}, "`avsc-fit baseline-audio` trains one"),
        ("baseline-video", {"visual_embeddings": None}, "Name it by --visual-embeddings"),
        ("joint", {"visual_embeddings": "x.h5"}, "computes its visual embeddings itself"),
        ("joint", {"acoustic_run": "runs/audio"}, "trains its acoustic encoder from scratch"),
        ("pipeline", {"acoustic_embeddings": "x.h5"}, "use only one of them"),
    ],
)
def test_what_a_system_needs_or_cannot_take_is_named(home, tmp_path, system, changes, told):
    with pytest.raises(SettingError, match=told):
        make(home, tmp_path / "run", system, **changes)
    assert not (tmp_path / "run").exists()


def test_an_encoder_of_another_kind_is_refused(home, tmp_path):
    for system, run, told in (
        ("pipeline", "baseline-audio", "whose acoustic encoder is for vectors"),
        ("baseline", "audio", "Name a run of `avsc-fit baseline-audio`"),
        ("pipeline", "baseline-video", "which has no acoustic encoder of its own"),
    ):
        with pytest.raises(SettingError, match=told):
            make(home, tmp_path / "run", system, acoustic_run=home / run)
    with pytest.raises(AvscError, match="holds no run that can be read"):
        make(home, tmp_path / "run", "pipeline", acoustic_run=tmp_path / "none")


def test_a_trained_image_model_is_in_the_checkpoint_and_others_may_take_it(home, tmp_path):
    run = make(home, tmp_path / "whole", "end-to-end", epochs=1, image_size=40)
    run.fit()
    names = torch.load(tmp_path / "whole" / "best.pt", weights_only=True)["network"]
    assert {name.split(".")[0] for name in names} == {"acoustic", "visual", "classifier"}
    trained = restore(tmp_path / "whole").network.visual
    begun = visual_encoder(run.run.settings.backbone, "random", 40)
    assert digest(trained.model) == digest(run.network.visual.model) != begun.digest
    taken = make(home, tmp_path / "taken", "joint", visual_run=tmp_path / "whole").network.visual
    assert digest(taken.model) == digest(trained.model)
    assert taken.image_input.size == 40  # what it learned on, not the 32 that joint was given


def test_the_order_of_augmentations_makes_no_other_run(home, tmp_path):
    make(home, tmp_path / "run", "video", augment="crop,flip", epochs=1).fit()
    again = make(home, tmp_path / "run", "video", augment=" flip,crop , flip", epochs=1)
    assert again.finished


def test_the_learning_rate_of_every_step_is_the_closed_forms(home, tmp_path):
    training = make(home, tmp_path / "run", "pipeline", epochs=8, lr_period=1)
    rates = []
    training.optimiser.register_step_pre_hook(
        lambda optimiser, *_: rates.append(optimiser.param_groups[0]["lr"])
    )
    training.fit()
    n = training.run.batches
    cycles = ((0, 1), (1, 2), (3, 4), (7, 8))  # start and length, epochs
    wanted = []
    for step in range(8 * n):
        start, length = max(cycle for cycle in cycles if cycle[0] * n <= step)
        share = (1 + np.cos(np.pi * (step / n - start) / length)) / 2
        wanted.append(1e-5 + (1e-2 - 1e-5) * share)
    np.testing.assert_allclose(rates, wanted, rtol=1e-12)
