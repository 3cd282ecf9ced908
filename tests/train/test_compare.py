"""Comparing systems: against known differences, and at the command line with runs and files."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from commands import refused
from stores import small_clips, small_store

from avsc.features.store.layout import clips_file
from avsc.manifests.errors import AvscError
from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.compare import compare
from avsc.train.evaluate.compare_report import comparison_tables, in_words, legend
from avsc.train.metrics import scores
from avsc.train.protocol import Segments

CLASSES = ("scene0", "scene1", "scene2")
CLIPS = tuple(
    replace(clip, location=f"{clip.scene}-{clip.location}")
    for clip in small_clips(locations=16, clips_per_location=3)
)
SCENE = np.array([CLASSES.index(clip.scene) for clip in CLIPS])
HOW = Resampling(1000)


def predicted(seed, sureness):
    """Predictions whose difficulty is the location's: common to all systems of one seed."""
    rng = np.random.default_rng(seed)
    places = sorted({clip.location for clip in CLIPS})
    hard = dict(zip(places, rng.normal(0, 1, len(places)), strict=True))
    clip = np.repeat(np.arange(len(CLIPS)), 5)
    logit = sureness + np.array([hard[CLIPS[row].location] for row in clip])
    logits = logit[:, None] * np.eye(3)[SCENE[clip]]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Segments(probability, clip, np.tile(np.arange(5), len(CLIPS)), SCENE[clip])


def test_figures_are_the_official_ones_and_signs_are_second_minus_first():
    first, second = predicted(0, 1.0), predicted(0, 1.5)
    found = compare(first, second, CLIPS, CLASSES, HOW)
    assert [row.name for row in found.rows] == ["mean over scenes", *CLASSES, "city"]
    one, two = scores(first, CLASSES), scores(second, CLASSES)
    mean = found.rows[0]
    assert mean.log_loss.first == pytest.approx(one.log_loss, rel=1e-12)
    assert mean.log_loss.second == pytest.approx(two.log_loss, rel=1e-12)
    assert mean.log_loss.difference == pytest.approx(two.log_loss - one.log_loss, rel=1e-9)
    assert mean.log_loss.difference < 0 < mean.accuracy.difference + 1e-12
    for row, loss in zip(found.rows[1:4], two.class_log_loss, strict=True):
        assert row.log_loss.second == pytest.approx(loss, rel=1e-12)
        assert (row.segments, row.units) == (240, 16)
    assert (mean.segments, mean.units, found.kind) == (720, 48, "location")


def test_pairing_takes_out_what_is_hard_about_a_place():
    """The second is better everywhere by nearly the same: sure when paired, not when it is not."""
    first, second = predicted(0, 1.0), predicted(0, 1.1)
    paired = compare(first, second, CLIPS, CLASSES, HOW).rows[0].log_loss
    assert paired.interval.high < 0 and paired.p == pytest.approx(1 / 1001)
    other = compare(first, predicted(1, 1.1), CLIPS, CLASSES, HOW).rows[0].log_loss
    assert (other.interval.high - other.interval.low) > 5 * (
        paired.interval.high - paired.interval.low
    )


def test_swapped_systems_swap_the_signs_and_equal_ones_do_not_differ():
    first, second = predicted(0, 1.0), predicted(1, 1.2)
    there = compare(first, second, CLIPS, CLASSES, HOW).rows[0].log_loss
    back = compare(second, first, CLIPS, CLASSES, HOW).rows[0].log_loss
    assert (there.interval.low, there.interval.high) == pytest.approx(
        (-back.interval.high, -back.interval.low)
    )
    assert there.p == back.p
    same = compare(first, first, CLIPS, CLASSES, HOW).rows[0].log_loss
    assert (same.difference, same.interval, same.p) == (0, None, 1)


def test_no_difference_is_found_where_there_is_none():
    """Two systems of one kind: in about 5 % of comparisons p is at most 0.05, of 16 locations too.

    Of 100 comparisons the standard error of the share is 0.022; of 300 scenes 0.013.
    """
    means, scenes = [], []
    for seed in range(100):
        one, two = (predicted(2 * seed + which, 1) for which in (0, 1))
        found = [row.log_loss for row in compare(one, two, CLIPS, CLASSES, Resampling(199)).rows]
        assert (found[0].p <= 0.05) == (not found[0].interval.low <= 0 <= found[0].interval.high)
        assert found[1].interval is None
        means.append(found[0].p <= 0.05)
        scenes += [each.p <= 0.05 for each in found[1:4]]
    assert np.mean(means) <= 0.05 + 3 * 0.022 and 0.02 <= np.mean(scenes) <= 0.05 + 3 * 0.013


def test_other_segments_are_refused_by_name():
    first, second = predicted(0, 1), predicted(0, 1)
    fewer = Segments(second.probability[:-1], second.clip[:-1], second.second[:-1],
                     second.scene[:-1])  # fmt: skip
    with pytest.raises(
        AvscError, match=r"720 and 719; 'scene2-city-35-2_4.wav' is only in the first"
    ):
        compare(first, fewer, CLIPS, CLASSES, HOW)


def test_words_say_which_way():
    found = compare(predicted(0, 1.0), predicted(0, 1.1), CLIPS, CLASSES, HOW)
    words = in_words(found, 1000)
    low, high = (
        abs(found.rows[0].log_loss.interval.high),
        abs(found.rows[0].log_loss.interval.low),
    )
    size = abs(found.rows[0].log_loss.difference)
    assert low < size < high and 0.0005 < (high - low) / 2 < 0.00995, (
        "so that four digits are carried"
    )
    assert words.startswith(
        f"The second's log-loss is lower by {size:.4f} (95 % interval of the difference "
        f"[-{high:.4f}, -{low:.4f}]); p = 0.001 by 1,000 resamples."
    )
    table = comparison_tables(found).splitlines()
    assert f"[-{high:.4f}, -{low:.4f}]" in table[2]
    assert [cell.strip() for cell in table[3].split("|")][6:8] == ["-", "3.1e-05"], "2 / 2^16"
    scene = found.rows[1].log_loss
    assert f"| {scene.first:.4f} | {scene.second:.4f} |" in table[3], "the mean's digits"
    assert "at least 1/1,001" in legend(found, 1000)
    assert "fewer than 48 locations" in legend(found, 1000)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two of four locations of each scene are in the test fold."""
    clips = small_clips(clips_per_location=1)
    clips = tuple(c if int(c.location[-1]) < 2 else _tested(c) for c in clips)
    return small_store(tmp_path_factory.mktemp("stores") / "small", clips=clips,
                       products=("scalogram",))  # fmt: skip


def _tested(clip):
    return replace(clip, fold="test")


def test_runs_are_evaluated_and_compared(fit, store, tmp_path):
    runs = [tmp_path / name for name in ("one", "two")]
    for seed, run in enumerate(runs):
        how = ["--batch-size", 16, "--epochs", 1, "--device", "cpu", "--seed", seed]
        assert fit("audio", "--store", store, "--out", run, *how)[0] == 0
    out = tmp_path / "out"
    refused(fit("compare", *runs, "--out", out), 1, "no evaluation here", "avsc-fit evaluate")
    for run in runs:
        code, said, _ = fit("evaluate", run, "--device", "cpu", "--protocol", "strict,clip",
                            "--resamples", 100)  # fmt: skip
        assert code == 0
        assert "strict: 18/18 segments\nclip: 18/18 segments, in 6 clips, each predicted once" in (
            said
        )
        assert "over all segments" in said and "100 resamples of the 6 locations" in said
        assert "no interval (-): it needs 48 locations" in said
    names = {path.name for path in (runs[0] / "evaluation-test").iterdir()}
    assert names >= {"predictions-clip.tsv", "reliability-strict.png", "confusion-clip.png"}

    code, said, _ = fit("compare", *runs, "--out", out, "--resamples", 200)
    assert code == 0
    assert "18 segments; 6 of 6 clips of the test fold" in said and "p = " in said
    values = json.loads((out / "comparison.json").read_text())
    metrics = [json.loads((run / "evaluation-test" / "metrics.json").read_text()) for run in runs]
    assert values["rows"][0]["log_loss"]["first"] == pytest.approx(
        metrics[0]["protocols"]["strict"]["log_loss"], rel=1e-12
    )
    with (out / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["accuracy_second"]) == pytest.approx(
        metrics[1]["protocols"]["strict"]["accuracy"], rel=1e-12
    )
    assert [row["name"] for row in rows] == ["mean over scenes", *CLASSES, "city"]
    assert (out / "comparison.md").is_file()

    # The same two as prediction files, with the store's clip table as the truth.
    files = [run / "evaluation-test" / "predictions-strict.tsv" for run in runs]
    again = tmp_path / "again"
    refused(fit("compare", *files, "--out", again), 2, "--truth")
    truth = ["--truth", clips_file(store), "--resamples", 200]
    assert fit("compare", *files, "--out", again, *truth)[0] == 0
    assert (again / "comparison.csv").read_bytes() == (out / "comparison.csv").read_bytes()
    refused(
        fit("compare", files[0], runs[1] / "evaluation-test" / "predictions-clip.tsv", *truth,
            "--out", again), 1, "18 and 6", "is only in the second",
    )  # fmt: skip

    # A run that was trained on since: its evaluation is of other weights.
    metrics = runs[1] / "metrics.csv"
    head, row = metrics.read_text().splitlines()
    metrics.write_text(f"{head}\n{row}\n2,0.001,0.5,0.0001,1.0\n")
    refused(fit("compare", *runs), 1, "evaluated epoch 1", "its best is now epoch 2")
    shutil.rmtree(tmp_path)


def test_a_temperature_needs_a_validation_part(fit, store, tmp_path):
    run = tmp_path / "run"
    how = ["--batch-size", 16, "--epochs", 1, "--device", "cpu"]
    assert fit("audio", "--store", store, "--out", run, *how)[0] == 0
    quick = ["--device", "cpu", "--resamples", 100]
    code, said, _ = fit("evaluate", run, *quick, "--temperature")
    assert code == 0 and "predictions for the run's validation clips (without it log-loss" in said
    values = json.loads((run / "evaluation-test-temperature" / "metrics.json").read_text())
    strict = values["protocols"]["strict"]
    assert 0.05 <= strict["temperature"]["value"] <= 20
    assert fit("evaluate", run, *quick)[0] == 0
    plain = json.loads((run / "evaluation-test" / "metrics.json").read_text())
    plain = plain["protocols"]["strict"]
    assert plain["temperature"] is None
    assert strict["temperature"]["log_loss_before"] == plain["log_loss"]
    assert strict["accuracy"] == plain["accuracy"]
    refused(fit("evaluate", run, *quick, "--temperature", "--fold", "validation"), 2,
            "--fold validation would evaluate it on the same clips")  # fmt: skip
    refused(fit("evaluate", run, "--protocol", "whole"), 2, "'whole' is unknown")
    none = tmp_path / "none"
    how += ["--validation", "none"]
    assert fit("audio", "--store", store, "--out", none, *how)[0] == 0
    refused(fit("evaluate", none, *quick, "--temperature"), 2, "--validation none")
