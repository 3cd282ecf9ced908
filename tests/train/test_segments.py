"""Clips whose label changes from second to second: trained, evaluated, compared, browsed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import refused
from stores import small_store, timed_clips
from systems import SMALL

from avsc.features.store.labels import Labels, label_faults, store_labels
from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError
from avsc.manifests.label_spans import parse_spans
from avsc.train.data.source import Source
from avsc.train.evaluate.predictions import read_predictions


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("timed") / "store", clips=timed_clips())


def test_each_sample_has_the_label_of_its_second(timed):
    store = Store.open(timed)
    wanted = {0: [0, 1, 1], 1: [1, 1, 0], 2: [0, 0, 0], 3: [1, 0, 1]}
    for feature, images in (("scalogram", True), ("fbank", False), (None, True)):
        samples = Source.open(store, feature, images).every
        for clip, second, scene in zip(samples.clip, samples.second, samples.scene, strict=True):
            assert scene == wanted[clip % 4][second]


def test_a_clip_of_one_scene_has_it_in_every_second():
    clips = [
        Clip("a", "x", "a.wav", None),
        Clip("b", None, "b", None, segments=parse_spans("0-2 y; 2-3 x", "b")),
    ]
    labels = Labels.of(clips, ("x", "y"))
    assert labels.at(np.array([0, 0, 1, 1, 1, 1]), np.array([0, 9, 0, 1, 2, 3])).tolist() == [
        0, 0, 1, 1, 0, 0
    ]  # fmt: skip
    scene = np.array([2, 0, 1])
    clip = np.array([2, 0, 1, 1])
    assert (Labels.whole(scene).at(clip, np.arange(4)) == scene[clip]).all()


def test_segments_that_do_not_fit_the_recording_are_named(tmp_path):
    clips = [*timed_clips()]
    clips[1] = replace(clips[1], segments=parse_spans("0-1 a; 1-2 b", "x"))
    clips[2] = replace(clips[2], segments=parse_spans("0-1 a; 1-4 b", "x"))
    store = Store.open(small_store(tmp_path / "s", clips=tuple(clips), products=("images",)))
    assert label_faults(store) == [
        f"clip {clips[1].id!r}: its segments end at 2 s, and the recording has 3 seconds",
        f"clip {clips[2].id!r}: segment '1-4 b' lies outside the recording, which has 3 seconds",
    ]
    with pytest.raises(ManifestError, match=r"end at 2 s.*\(2 clips are wrong so\)\. Correct"):
        store_labels(store)
    heard = Store.open(small_store(tmp_path / "a", clips=tuple(clips), products=("fbank",)))
    assert len(label_faults(heard)) == 2


def test_from_training_to_report(timed, tmp_path, fit):
    run = tmp_path / "run"
    small = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    more = ["--epochs=4", "--lr-max=0.1", "--protocol=centred", "--validation-fraction=0.4"]
    assert fit("audio", "--store", timed, "--out", run, *small, *more)[0] == 0
    status, out, _ = fit("evaluate", run, "--device", "cpu")
    assert status == 0 and "6 locations" in out
    report = run / "evaluation-test"
    found = json.loads((report / "metrics.json").read_text())["protocols"]["strict"]
    counts = np.array(found["confusion"])
    labels = [SPANS_OF[row % 4] for row, clip in enumerate(timed_clips()) if clip.fold == "test"]
    assert counts.sum(1).tolist() == np.bincount(np.concatenate(labels)).tolist()
    assert found["accuracy"] > 0.9, "labels of seconds were not learned"
    store = Store.open(timed)
    segments = read_predictions(report / "predictions-strict.tsv", store.clips, store.classes)
    assert segments.scene.tolist() == np.concatenate(labels).tolist()
    assert '"a, b"' in (report / "clips.csv").read_text()
    assert any("(true in 1-2)" in p.read_text() for p in (report / "report-clips").glob("*.js"))
    refused(
        fit("evaluate", run, "--device", "cpu", "--protocol", "clip"),
        2,
        "clip 'scene0-city-03-1' is of b, a",
        "one prediction for all of it is neither right nor wrong",
    )
    assert fit("compare", run, report / "predictions-strict.tsv", "--out", tmp_path / "c")[0] == 0


SPANS_OF = ([0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 1])
