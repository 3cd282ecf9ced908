"""Cross-validation over locations: groups, runs that resume, and pooled evaluation."""

import json
from dataclasses import replace

import pytest
import torch
from commands import refused
from stores import small_clips, small_store, timed_clips
from systems import SMALL, make

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.fit.held_out import location_groups
from avsc.train.fit.split import make_split
from avsc.train.infer.run import restore_with_encoders
from avsc.train.settings.scenes import Settings

OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


def located(groups, clips):
    return [{clips[row].location for row in group} for group in groups]


@pytest.mark.parametrize("number", [2, 5, 12])
def test_groups_are_whole_locations_and_hold_every_clip_once(number):
    for clips in (small_clips(classes=3, locations=4, clips_per_location=3), timed_clips()):
        groups = location_groups(clips, range(len(clips)), number, 0)
        assert sorted(row for group in groups for row in group) == list(range(len(clips)))
        places = located(groups, clips)
        assert all(places) and sum(map(len, places)) == len(set().union(*places))
        sizes = [len(group) for group in groups]
        assert max(sizes) - min(sizes) <= 3


def test_groups_have_all_labels_where_they_can():
    clips = small_clips(classes=3, locations=4)
    for group in location_groups(clips, range(len(clips)), 4, 1):
        assert {clips[row].scene for row in group} == {"scene0", "scene1", "scene2"}


def test_groups_depend_on_the_seed_and_not_on_the_order_of_rows():
    clips = small_clips(classes=3, locations=6)
    rows = range(len(clips))
    assert location_groups(clips, rows, 4, 0) == location_groups(clips, rows[::-1], 4, 0)
    assert location_groups(clips, rows, 4, 0) != location_groups(clips, rows, 4, 1)


def test_what_cannot_be_cross_validated():
    clips = small_clips()
    with pytest.raises(SettingError, match="--folds is 13, and the clips are of 12 locations"):
        location_groups(clips, range(len(clips)), 13, 0)
    nowhere = [replace(clips[0], location=None), *clips[1:]]
    with pytest.raises(SettingError, match="clip 'scene0-city-00-0' has no location"):
        location_groups(nowhere, range(len(clips)), 2, 0)
    with pytest.raises(SettingError, match="--folds is 1"):
        Settings(folds=1)
    with pytest.raises(SettingError, match="--fold-number is 3, and --folds is 2"):
        Settings(folds=2, fold_number=3)


def test_parts_of_a_fold_are_disjoint_and_the_test_fold_stays_unseen(home):
    store = Store.open(home / "store")
    training = {row for row, clip in enumerate(store.clips) if clip.fold == "train"}
    tested = []
    for number in (1, 2, 3):
        split = make_split(store, Settings(folds=3, fold_number=number))
        parts = [split.training, split.validation, split.test]
        assert sorted(row for part in parts for row in part) == sorted(training)
        assert sorted(split.training + split.validation) == split.fold
        tested += split.test
    assert sorted(tested) == sorted(training)
    with pytest.raises(SettingError, match="--fold-number is 0"):
        make_split(store, Settings(folds=3))


def test_runs_without_folds_have_the_identity_that_they_had(home):
    record = make(home, home / "unused", "audio").run.record
    assert not {"--folds", "--fold-number"} & set(record.identity())


def test_an_encoder_that_has_seen_the_test_clips_is_refused(home, tmp_path):
    message = r"audio: trained or validated on \d+ of the \d+ clips that this fold is tested on"
    with pytest.raises(AvscError, match=message):
        make(home, tmp_path / "run", "pipeline", folds=3, fold_number=1)


def test_from_training_to_pooled_robustness(tmp_path, fit):
    """Two folds, killed between them; the encoders of each fold go into the same fold."""
    clips = [replace(clip, fold=None) for clip in timed_clips()]
    store = small_store(tmp_path / "store", clips=tuple(clips), products=("scalogram", "images"))
    options = ["--store", store, *OPTIONS, "--epochs=1", "--folds=2", "--protocol=centred"]
    options += ["--validation-fraction=0.3"]
    audio, joint = tmp_path / "audio", tmp_path / "joint"
    assert fit("audio", *options, "--out", audio, "--fold-number=1")[0] == 0
    refused(fit("evaluate", audio), 1, "holds 1 of the 2 runs", "fold-02 is missing")
    before = (audio / "fold-01" / "best.pt").stat().st_mtime_ns
    status, out, _ = fit("audio", *options, "--out", audio)
    assert status == 0 and f"avsc-fit evaluate {audio}\n" in out
    assert (audio / "fold-01" / "best.pt").stat().st_mtime_ns == before
    parts = [(audio / f"fold-0{k}" / "split.csv").read_text().split() for k in (1, 2)]
    tested = [{row.partition(",")[0] for row in part if row.endswith(",test")} for part in parts]
    assert not tested[0] & tested[1] and tested[0] | tested[1] == {clip.id for clip in clips}

    assert fit("pipeline", *options, "--out", joint, "--acoustic-run", audio)[0] == 0
    for run, page in ((audio, "--page"), (joint, "--no-page")):
        status, out, _ = fit("evaluate", run, "--device=cpu", page)
        assert status == 0 and "12 locations" in out
    report = joint / "evaluation-test"
    found = json.loads((report / "metrics.json").read_text())
    assert found["clips"] == 24 and found["epoch"] == [1, 1] and found["expected_segments"] == 72
    assert "curves" not in (report / "report.md").read_text()
    opened = Store.open(store)
    pooled = read_predictions(report / "predictions-strict.tsv", opened.clips, opened.classes)
    assert len(pooled) == 72
    assert fit("evaluate", joint / "fold-02", "--device=cpu", "--no-page")[0] == 0
    of_one = joint / "fold-02" / "evaluation-test" / "predictions-strict.tsv"
    lines = [{*file.read_text().split("\n")} for file in (of_one, report / of_one.name)]
    assert lines[0] < lines[1]
    assert fit("compare", audio, joint, "--out", tmp_path / "c", "--no-page")[0] == 0
    status, out, _ = fit(
        "robustness", joint, "--audio-run", audio, "--device=cpu",
        "--conditions=complete,no-audio,audio-late-1s",
    )  # fmt: skip
    assert status == 0, out
    refused(fit("evaluate", joint, "--fold=train"), 2, "is a cross-validation, whose runs share")
    refused(fit("evaluate", joint, "--temperature"), 2, "of one run, and", "name one of its")
    refused(fit("audio", *options[:-4], "--out", audio / "fold-01", "--folds=2"), 2, "holds a run")
    for command in (["export", joint, "--out", tmp_path / "e"], ["offset", joint]):
        refused(fit(*command), 2, "holds the 2 runs of a cross-validation", "(fold-01)")
    refused(fit("predict", joint, "a.mp4"), 2, "holds the 2 runs of a cross-validation")
    mine, theirs = (restore_with_encoders(run / "fold-02").network for run in (joint, audio))
    weights = [network.acoustic.state_dict().values() for network in (mine, theirs)]
    assert all(map(torch.equal, *weights))
