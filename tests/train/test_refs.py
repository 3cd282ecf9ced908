"""Runs, evaluations and tables on stores that were relabelled, extended or moved, or are old."""

import json
from dataclasses import replace

import pytest
from commands import refused
from stores import small_clips, small_store

from avsc.features.specs import VisualEmbeddingSpec
from avsc.features.store.failures import Failure, encode_failures
from avsc.features.store.index import read_index, write_index
from avsc.features.store.layout import failures_file, read_description
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.preprocess.close import open_store
from avsc.train.fit.embeddings import embedding_spec
from avsc.train.fit.refs import StoreRef
from avsc.train.model.visual import visual_encoder
from avsc.train.paper.tsne_maps import _check_truth

FAST = ["--batch-size", 16, "--device", "cpu", "--workers", 0, "--epochs", 1]
EVALUATE = ["--device", "cpu", "--workers", 0, "--resamples", 100, "--protocol", "strict"]


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path / "store", products=("scalogram",))


@pytest.fixture
def earlier(monkeypatch):
    """Let runs begin with the records that 799888c wrote: a fingerprint of the earlier form."""

    def earlier_ref(store, products, images, previous, run):
        specs = {name: store.spec(name).digest for name in products}
        fingerprint = store.identity.earlier
        return StoreRef(str(store.path), store.name, fingerprint, store.classes, specs)

    def begin(function):
        with monkeypatch.context() as patch:
            patch.setattr("avsc.train.fit.prepare.store_ref", earlier_ref)
            return function()

    return begin


def relabel(store, by=1):
    """Move every clip on by one scene, as extracting with a corrected manifest does."""
    tables, description = read_index(store).tables, read_description(store)
    classes = description.classes
    clips = [
        replace(clip, scene=classes[(classes.index(clip.scene) + by) % len(classes)])
        for clip in Store.open(store).clips
    ]
    open_store(store, clips, description)
    write_index(store, read_description(store), tables)


def losses(run):
    found = json.loads((run / "evaluation-test/metrics.json").read_text())["protocols"]
    return {protocol: each["log_loss"] for protocol, each in found.items()}


@pytest.mark.parametrize("form", ["new", "earlier"])
def test_a_run_is_refused_on_corrected_scenes_and_taken_again_when_they_are_back(
    fit, store, earlier, tmp_path, form
):
    run = tmp_path / "run"
    train = ["audio", "--store", store, "--out", run, *FAST]
    begin = (lambda: fit(*train)) if form == "new" else (lambda: earlier(lambda: fit(*train)))
    assert begin()[0] == 0
    assert (json.loads((run / "settings.json").read_text())["store"]["parts"] is None) == (
        form == "earlier"
    )
    last = (run / "last.pt").read_bytes()
    code, said, _ = fit(*train)
    assert code == 0 and "resuming after 1 epochs" in said
    assert ("taken to be unchanged" in said) == (form == "earlier")
    assert fit("evaluate", run, *EVALUATE)[0] == 0
    before = losses(run)

    relabel(store)
    changed = "different store's clips" if form == "new" else "were changed since"
    refused(fit(*train), 2, str(run), changed, "--no-resume")
    refused(
        fit("evaluate", run, *EVALUATE),
        2,
        "differs from what the run in",
        "clips (ids, scenes",
        "--st",
    )
    assert losses(run) == before and (run / "last.pt").read_bytes() == last
    if form == "new":
        refused(fit("compare", run, run), 1, "was evaluated on, in its clips (ids", "--truth")
        assert fit("evaluate", run, *EVALUATE, "--allow-other-store")[0] == 0
        assert losses(run)["strict"] > before["strict"]

    relabel(store, -1)
    code, said, _ = fit(*train)
    assert code == 0 and "resuming after 1 epochs" in said
    assert fit("evaluate", run, *EVALUATE)[0] == 0 and losses(run) == before


def test_an_earlier_run_is_refused_on_other_records(fit, store, earlier, tmp_path):
    train = ["audio", "--out", tmp_path / "run", *FAST]
    assert earlier(lambda: fit(*train, "--store", store))[0] == 0
    other = small_store(tmp_path / "other", products=("scalogram",), seed=1)
    refused(fit(*train, "--store", other), 2, "different store's fingerprint")
    refused(fit("evaluate", tmp_path / "run", "--store", other), 2, "in its fingerprint")


def test_a_product_more_is_nothing_to_a_run_that_does_not_use_it(fit, store, tmp_path):
    train = ["audio", "--out", tmp_path / "run", *FAST]
    assert fit(*train, "--store", store)[0] == 0
    more = small_store(tmp_path / "more", products=("scalogram", "images"))
    assert Store.open(more).fingerprint != Store.open(store).fingerprint
    code, said, _ = fit(*train, "--store", more)
    assert code == 0 and "resuming after 1 epochs" in said
    assert fit("evaluate", tmp_path / "run", "--store", more, *EVALUATE)[0] == 0


def test_a_store_is_found_from_another_folder_or_its_name_is_said(
    fit, store, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert fit("audio", "--store", "store", "--out", "runs/audio", *FAST)[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "store").mkdir()  # has the name, and is no store
    code, said, _ = fit("evaluate", "../runs/audio", *EVALUATE)
    assert code == 0 and f"clips of {tmp_path}/store" in said
    store.rename(tmp_path / "moved")
    refused(
        fit("evaluate", "../runs/audio", *EVALUATE), 1,
        "../runs/audio: was trained on the store store, and there is none", "--store",
    )  # fmt: skip
    assert fit("evaluate", "../runs/audio", "--store", "../moved", *EVALUATE)[0] == 0


def test_a_table_trains_anew_on_corrected_scenes_and_keeps_the_old_run(fit, tmp_path, earlier):
    store, out = small_store(tmp_path / "store", products=("fbank",)), tmp_path / "runs"
    table = ["table", 2, "--store", store, "--out", out, *FAST, "--only", "audio-fbank-seed0"]
    run = out / "audio-fbank-seed0"
    assert earlier(lambda: fit(*table))[0] == 0
    metrics = run / "evaluation-test/metrics.json"
    stamp = json.loads(metrics.read_text())
    stamp.pop("store_parts")  # as 799888c stamped it
    metrics.write_text(
        json.dumps({**stamp, "store_fingerprint": Store.open(store).identity.earlier})
    )
    before = metrics.read_bytes()
    code, said, _ = fit(*table)
    assert code == 0 and "already trained" in said and metrics.read_bytes() == before

    relabel(store)
    code, said, _ = fit(*table)
    assert code == 0 and "trained again" in said and "epoch 1" in said
    assert (out / "audio-fbank-seed0.1/evaluation-test/metrics.json").read_bytes() == before
    assert metrics.read_bytes() != before
    after = metrics.read_bytes()
    code, said, _ = fit(*table)
    assert code == 0 and "already trained" in said and metrics.read_bytes() == after


def test_a_table_does_not_count_an_evaluation_that_lacks_segments(fit, tmp_path):
    """The last clip is in the test fold, and the store has nothing of it."""
    store = small_store(tmp_path / "store", products=("fbank",), failed=(23,))
    table = ["table", 2, "--store", store, "--out", tmp_path / "runs", *FAST]
    table += ["--only", "audio-fbank-seed0"]
    assert fit(*table, "--allow-missing")[0] == 0
    refused(fit(*table), 1, "segments can be predicted", "--allow-missing")
    code, said, _ = fit(*table, "--allow-missing")
    assert code == 0 and "epoch 1" not in said


def test_points_of_two_runs_are_of_the_same_scenes(tmp_path):
    first = Store.open(small_store(tmp_path / "first", products=("images",)))
    _check_truth(first, first)
    relabel(small_store(tmp_path / "second", products=("images",)))
    with pytest.raises(SettingError, match="'scene0-city-00-0' is scene1 at city-00, and in"):
        _check_truth(first, Store.open(tmp_path / "second"))


def test_a_mended_second_is_another_store_to_a_run_with_images_alone(tmp_path):
    """Of a clip that lacked its last second: the same records, and a segment fewer to miss."""
    path = small_store(tmp_path / "store", products=("scalogram", "images"))
    tables, before = read_index(path).tables, Store.open(path).identity.parts
    lost = Failure(small_clips()[0].id, "images", 3, "pictures", "gap", "made up")
    failures_file(path).write_bytes(encode_failures([lost]))
    write_index(path, read_description(path), tables)
    after = Store.open(path).identity.parts
    assert {name for name in before if before[name] != after[name]} == {"lacking"}


def test_sets_of_embeddings_name_their_model_but_for_the_papers_two(tmp_path):
    """Two models may share the names and shapes of their weights, and see differently."""
    store = Store.open(small_store(tmp_path / "store", products=("images",)))
    encoder = visual_encoder("test_efficientnet.r160_in1k", "random", 32)
    spec = embedding_spec(store, "scalogram", encoder)
    unnamed = VisualEmbeddingSpec(
        encoder=encoder.digest,
        source=store.content("images"),
        shown=f"32 crop, mean {encoder.image_input.mean}, deviation {encoder.image_input.std}",
        features=encoder.features,
    )
    assert spec == replace(unnamed, shown=f"{unnamed.shown}, test_efficientnet")
    assert embedding_spec(store, "scalogram", encoder, unnamed.digest) == unnamed
    encoder.model.pretrained_cfg = {**encoder.model.pretrained_cfg, "architecture": "resnet50"}
    assert embedding_spec(store, "scalogram", encoder) == unnamed
