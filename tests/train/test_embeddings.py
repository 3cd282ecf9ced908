"""Stored embeddings: what they are, how they are made and made again, at the command line too."""

import json
import shutil
import signal

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from commands import refused
from stale import stale_file
from stores import small_clips, small_store
from systems import SMALL, StopAfter, clips_of, make

from avsc.features.store.part import read_part
from avsc.features.store.reader import Store
from avsc.features.store.verify import verify
from avsc.manifests.errors import AvscError, SettingError, StoreError
from avsc.manifests.table import encode_table
from avsc.preprocess.cli import program as avsc_prep
from avsc.train.data.batches import Preparation, image_batches
from avsc.train.data.source import Source
from avsc.train.fit import make_embeddings
from avsc.train.fit.encoders import ACOUSTIC, VISUAL
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.signals import StoppedError
from avsc.train.fit.trained_run import restore
from avsc.train.model.inference import predict
from avsc.train.model.network import Network
from avsc.train.model.visual import visual_encoder

HOW = {"batch_size": 32, "workers": 0, "device": torch.device("cpu")}


def image_model():
    return visual_encoder(SMALL["backbone"], "random", SMALL["image_size"]).eval()


def by_product(folder):
    return {path.name.rsplit("-", 1)[0]: path for path in folder.iterdir()}


def test_embeddings_are_what_the_encoders_make_of_every_clip(home, tmp_path):
    make(home, tmp_path / "run", "pipeline", embeddings=tmp_path / "made")
    paths = by_product(tmp_path / "made")
    assert set(paths) == {ACOUSTIC, VISUAL}
    store = Store.open(home / "store")
    frames, _ = store.records("scalogram").load()
    found, offset = Store.open(paths[ACOUSTIC]).records(ACOUSTIC).load()
    with torch.no_grad():
        wanted = restore(home / "audio").network.acoustic(torch.from_numpy(frames)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert len(offset) == len(store.clips) + 1

    visual, source = image_model(), Source.open(store, None, True)
    preparation = Preparation(visual.image_input, HOW["workers"], HOW["device"])
    batches = image_batches(source, source.every.image, 7, preparation)
    records, images = Store.open(paths[VISUAL]).records(VISUAL), store.records("images")
    found, _ = records.load()
    with torch.no_grad():
        wanted = torch.cat([visual(batch) for batch in batches]).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(records.clip, images.clip)
    np.testing.assert_array_equal(records.key, images.key)


def test_a_pipeline_is_its_encoders_and_its_classifier_on_raw_input(home, tmp_path):
    make(home, tmp_path / "run", "pipeline").fit()
    store, trained = Store.open(home / "store"), restore(tmp_path / "run")
    rows = sorted(clips_of(store, "test"))
    stored = trained_inputs(trained.record, store, trained.folder.path).source(rows)
    raw = Source.open(store, "scalogram", True, rows)
    assembled = Network(
        restore(home / "audio").network.acoustic, image_model(), trained.network.classifier
    ).eval()
    np.testing.assert_allclose(
        predict(trained.network, stored, stored.samples(rows), **HOW),
        predict(assembled, raw, raw.samples(rows), **HOW),
        rtol=1e-3,
        atol=1e-6,
    )


def test_making_goes_on_where_it_was_stopped_and_then_does_nothing(home, tmp_path, monkeypatch):
    monkeypatch.setattr(make_embeddings, "BLOCK", 8)
    folder, stop = tmp_path / "made", StopAfter(1)
    stop.signal = signal.SIGTERM
    with pytest.raises(StoppedError, match=r"SIGTERM after 2 of 3 parts .*same command") as fault:
        make(home, tmp_path / "run", "pipeline", stop, embeddings=folder)
    assert fault.value.exit_code == 75
    assert not (tmp_path / "run").exists()
    (path,) = folder.iterdir()
    before = {each: each.stat().st_mtime_ns for each in path.rglob("part-*")}
    assert len(before) == 4  # two parts, each with its receipt
    half = stale_file(next(iter(before)).parent, "part-00002.h5")
    make(home, tmp_path / "run", "pipeline", embeddings=folder)
    assert {each: each.stat().st_mtime_ns for each in before} == before
    assert not half.exists()
    paths = sorted(folder.iterdir())
    assert [(verify(path).problems, verify(path).parts) for path in paths] == [((), 3)] * 2
    after = {each: each.stat().st_mtime_ns for each in folder.rglob("*") if each.is_file()}
    make(home, tmp_path / "run", "pipeline", embeddings=folder)
    assert {each: each.stat().st_mtime_ns for each in after} == after
    make(home, tmp_path / "straight", "pipeline", embeddings=tmp_path / "straight-made")
    assert [Store.open(path).fingerprint for path in paths] == [
        Store.open(path).fingerprint for path in sorted((tmp_path / "straight-made").iterdir())
    ]


def test_what_the_store_lacks_its_embeddings_lack(home, tmp_path):
    small_store(tmp_path / "store", products=("scalogram", "images"), failed=(0, 20))
    here = {"store": tmp_path / "store"}
    make(home, tmp_path / "audio", "audio", epochs=1, **here).fit()
    run = make(home, tmp_path / "run", "pipeline", acoustic_run=tmp_path / "audio", **here)
    assert 0 not in run.run.source.every.clip and 1 in run.run.source.every.clip
    failures = {
        (each.clip, each.product)
        for path in (tmp_path / "store-embeddings").iterdir()
        for each in Store.open(path).failures
    }
    names = {small_clips()[row].id for row in (0, 20)}
    assert failures == {(name, product) for name in names for product in (ACOUSTIC, VISUAL)}


def test_embeddings_belong_to_a_store_and_can_be_made_again(home, tmp_path):
    made = tmp_path / "made"
    make(home, tmp_path / "run", "ablation-2", epochs=1, embeddings=made).fit()
    record, store = restore(tmp_path / "run").record, Store.open(home / "store")
    other = small_store(tmp_path / "other", products=("scalogram", "images"), seed=1)
    with pytest.raises(SettingError, match="embeddings of another store's images"):
        trained_inputs(record, Store.open(other), tmp_path / "run")
    shutil.rmtree(made)
    with pytest.raises(AvscError, match=r"visual-embeddings-\w+: .*Run the same `avsc-fit"):
        trained_inputs(record, store, tmp_path / "run")
    assert make(home, tmp_path / "run", "ablation-2", epochs=1, embeddings=made).finished
    assert trained_inputs(record, store, tmp_path / "run").source([0]).visual.shape == (3, 256)


def test_a_damaged_part_is_told_with_its_remedy(home, tmp_path):
    made = tmp_path / "made"
    make(home, tmp_path / "run", "ablation-2", embeddings=made)
    (path,) = made.iterdir()
    (part,) = path.rglob("part-*.h5")
    data = bytearray(part.read_bytes())
    data[read_part(part).data_offset] ^= 1  # of the first clip, which is one of training
    part.write_bytes(data)
    assert verify(path).problems
    with pytest.raises(StoreError, match=r"its checksum differs.*Remove the folder .*avsc-fit"):
        make(home, tmp_path / "again", "ablation-2", embeddings=made)


FAST = ("--epochs", 1, "--batch-size", 32, "--device", "cpu", "--workers", 0)
MODEL = ("--backbone", SMALL["backbone"], "--visual-weights", "random", "--image-size", 32)


def test_commands_from_audio_to_the_evaluation_of_a_pipeline(fit, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, made = ("--store", home / "store"), ("--embeddings", "made")
    assert fit("audio", *store, *FAST)[0] == 0
    code, said, _ = fit("embed", "runs/audio", "--out", "made", "--device", "cpu")
    assert code == 0
    assert "acoustic-embeddings: made/acoustic-embeddings-" in said and "fingerprint" in said
    code, said, _ = fit("ablation-1", *store, *FAST, *MODEL, *made, "--acoustic-run", "runs/audio")
    assert code == 0
    assert said.count("is not made yet") == 1  # the visual ones; the acoustic ones are there
    assert "acoustic encoder: run runs/audio (audio, epoch 1, digest " in said
    record = json.loads((tmp_path / "runs/ablation-1/settings.json").read_text())
    assert record["system"] == "pipeline"
    code, said, _ = fit("embed", *store, *MODEL, "--out", "made", "--device", "cpu")
    assert code == 0 and "is not made yet" not in said
    assert fit("evaluate", "runs/ablation-1", "--device", "cpu", "--resamples", 100)[0] == 0
    found = json.loads((tmp_path / "runs/ablation-1/evaluation-test/metrics.json").read_text())
    assert found["acoustic_encoder"].startswith("run runs/audio")
    assert set(found["embeddings"]) == {ACOUSTIC, VISUAL}


def test_embed_says_what_it_cannot_use(fit, home, tmp_path):
    code, _, err = fit("embed", home / "audio", "--backbone", "resnet50")
    assert code == 2 and "--backbone says which image model, and so does" in err
    code, _, err = fit("embed", home / "baseline-audio", "--out", tmp_path)
    assert code == 2 and "has no encoder of frames or images" in err
    code, _, err = fit("embed", tmp_path / "none")
    assert code == 1 and "holds no run that can be read" in err


def test_avsc_prep_looks_at_embeddings_and_extraction_keeps_away(home, tmp_path):
    make(home, tmp_path / "run", "ablation-2", embeddings=tmp_path / "made")
    (path,) = (tmp_path / "made").iterdir()
    for verb, told in (("verify", "0 problems"), ("info", "Closed. Fingerprint")):
        done = CliRunner().invoke(avsc_prep, [verb, str(path)])
        assert told in done.output, done.output
    (tmp_path / "small.csv").write_bytes(encode_table(small_clips()))
    extract = ["extract", "--manifest", str(tmp_path / "small.csv"), "--out", str(path)]
    done = CliRunner().invoke(avsc_prep, extract)
    assert "holds visual-embeddings, which avsc-fit made" in str(done.exception)


def test_beside_a_store_that_can_only_be_read_another_folder_is_named(home, fit, tmp_path):
    """The system ends what may not be written even for root: a file where a folder is to be."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    store = shelf / "store"
    store.symlink_to(home / "store")
    (shelf / "store-embeddings").touch()
    shelf.chmod(0o555)
    text = r"store-embeddings/.*: could not be written to \(.*, by --embeddings say, and run"
    with pytest.raises(AvscError, match=text):
        make(home, tmp_path / "run", "pipeline", store=store)
    refused(fit("embed", home / "audio", "--store", store), 1, "could not be written to", "--out")
    elsewhere = tmp_path / "made"
    make(home, tmp_path / "run", "pipeline", store=store, embeddings=elsewhere)
    assert set(by_product(elsewhere)) == {ACOUSTIC, VISUAL}
    assert [path.name for path in shelf.iterdir() if path != store] == ["store-embeddings"]
    shelf.chmod(0o755)
