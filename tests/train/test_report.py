"""Reports: every file says what was found, and images hold what they should."""

import csv
import io
import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from stores import small_clips

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.calibration import Temperature, calibration
from avsc.train.evaluate.figures import confusion_figure, curves_figure, reliability_figure
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.evaluate.report import coverage, uncertainty, write_report
from avsc.train.evaluate.results import summarise
from avsc.train.evaluate.run_evaluation import RunEvaluation
from avsc.train.evaluate.score_tables import city_table, scene_table
from avsc.train.fit.history import Row, write_metrics
from avsc.train.fit.run_folder import RunFolder
from avsc.train.metrics import scores
from avsc.train.protocol import Segments

CLASSES = ("scene0", "scene1", "scene2")
CLIPS = tuple(
    replace(clip, location=f"{clip.scene}-{clip.location}") for clip in small_clips(locations=16)
)
SCENE = np.array([CLASSES.index(clip.scene) for clip in CLIPS])
MISSING = {"strict": ("scene2-city-35-1_9.wav",), "centred": ()}


def make(missing=None, temperature=None):
    rng = np.random.default_rng(3)
    segments = {}
    for protocol, lost in (missing or {"strict": (), "centred": ()}).items():
        clip = np.repeat(np.arange(len(CLIPS)), 10)[: 960 - len(lost)]
        second = np.tile(np.arange(10), len(CLIPS))[: 960 - len(lost)]
        logits = rng.normal(0, 2, (len(clip), 3)) + 2 * np.eye(3)[SCENE[clip]]
        probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        segments[protocol] = Segments(probability, clip, second, SCENE[clip])
    return RunEvaluation(
        provenance={
            "system": "joint",
            "fold": "test",
            "epoch": 2,
            "versions": {"torch": "9.9"},
            "resamples": 200,
        },
        classes=CLASSES,
        clips=CLIPS,
        expected=960,
        missing=missing or {"strict": (), "centred": ()},
        results={
            protocol: summarise(each, CLIPS, CLASSES, Resampling(200), temperature)
            for protocol, each in segments.items()
        },
    )


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    history = [Row(1, 0.01, 2.0, 1.5, 0.4), Row(2, 0.005, 1.0, 1.2, 0.6)]
    write_metrics(folder.metrics, history)
    return folder


def test_every_file_says_the_same(tmp_path, run):
    found, folder = make(MISSING), tmp_path / "report"
    write_report(folder, run, found)
    assert sorted(path.name for path in folder.iterdir()) == [
        "clips.csv", "confusion-centred.png", "confusion-centred.svg", "confusion-strict.png",
        "confusion-strict.svg", "curves.png", "curves.svg", "metrics.csv", "metrics.json",
        "predictions-centred.tsv", "predictions-strict.tsv", "reliability-centred.png",
        "reliability-centred.svg", "reliability-strict.png", "reliability-strict.svg", "report.md",
    ]  # fmt: skip
    values = json.loads((folder / "metrics.json").read_text())
    rows = list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))
    assert [row["group"] for row in rows] == [*3 * ["scene"], "city", "mean", "mean"]
    assert [row["name"] for row in rows] == [
        *CLASSES, "city", "mean over scenes", "over all segments"
    ]  # fmt: skip
    assert values["expected_segments"] == 960 and values["versions"] == {"torch": "9.9"}
    for protocol, count in (("strict", 959), ("centred", 960)):
        again = scores(read_predictions(folder / f"predictions-{protocol}.tsv", CLIPS, CLASSES),
                       CLASSES)  # fmt: skip
        said = values["protocols"][protocol]
        assert said["segments"] == count and said["missing"] == list(MISSING[protocol])
        assert (said["log_loss"], said["accuracy"]) == (again.log_loss, again.accuracy)
        assert list(said["class_log_loss"].values()) == again.class_log_loss.tolist()
        assert said["confusion"] == again.confusion.tolist()
        pooled = sum(again.class_log_loss * again.confusion.sum(1)) / count
        assert [float(row[f"log_loss_{protocol}"]) for row in rows] == pytest.approx(
            [*again.class_log_loss, pooled, again.log_loss, pooled], rel=1e-12
        )
        right = np.diagonal(again.confusion).sum() / count
        assert [float(row[f"accuracy_{protocol}"]) for row in rows] == pytest.approx(
            [*again.class_accuracy, right, again.accuracy, right], rel=1e-12
        )
        assert int(rows[-1][f"segments_{protocol}"]) == count
        assert said["city_segments"] == {"city": count}
        low, high = said["log_loss_interval"]
        assert low < said["log_loss"] < high
        assert said["resampled"] == {"what": "location", "number": 48}
        assert sum(said["calibration"]["segments"]) == count
        assert said["temperature"] is None


def test_the_page_shows_table_coverage_stamp_and_images(tmp_path, run):
    found, folder = make(MISSING), tmp_path / "report"
    write_report(folder, run, found)
    page = (folder / "report.md").read_text()
    assert scene_table(found).markdown() in page and city_table(found).markdown() in page
    for line in (*coverage(found), *uncertainty(found)):
        assert f"- {line}\n" in page
    assert "| versions | torch 9.9 |" in page
    for name in ("confusion-strict.png", "reliability-centred.png", "curves.png"):
        assert f"]({name})" in page and (folder / name).is_file()


def test_the_table_is_aligned_and_fits_a_terminal():
    found = make()
    lines = scene_table(found).markdown().splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 80
    strict = found.results["strict"].scores
    half = [
        (each.high - each.low) / 2
        for each in (
            found.results["strict"].log_loss_interval,
            found.results["strict"].accuracy_interval,
        )
    ]
    assert 0.01 < half[0] < 0.0995 and 0.01 < half[1] < 0.0995, "three decimals, and one of percent"
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells[:3] == [
        "mean over scenes", f"{strict.log_loss:.3f}", f"{100 * strict.accuracy:.1f}"
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[2:5]] == list(CLASSES)


def test_missing_segments_are_counted_and_named():
    assert coverage(make()) == ["strict: 960/960 segments", "centred: 960/960 segments"]
    strict, centred = coverage(make(MISSING))
    assert strict.startswith("strict: 959/960 segments; not the official figure")
    assert strict.endswith("Missing: scene2-city-35-1_9.wav")
    assert centred == "centred: 960/960 segments"
    many = replace(make(), missing={"strict": tuple(f"x_{k}.wav" for k in range(1234))})
    assert coverage(many)[0].endswith("x_19.wav and 1,214 more")


def test_what_is_certain_is_said_in_words():
    strict, _ = uncertainty(make())
    assert (
        "(95 % confidence, bootstrap-t, 200 resamples of the 48 locations within each scene); "
        in strict
    )
    assert strict.endswith("(15 bins)")
    line = uncertainty(make(temperature=Temperature(1.5, 40, 0.9, 0.1234)))[0]
    assert line.endswith(
        "with temperature 1.500, fitted on 40 predictions for the run's validation clips (without "
        "it log-loss 0.900, expected calibration error 0.123)"
    )
    found = make()
    clips = [replace(clip, location=None, city=None) for clip in CLIPS]
    bare = {
        protocol: summarise(each.segments, clips, CLASSES, Resampling(200))
        for protocol, each in found.results.items()
    }
    found = replace(found, clips=clips, results=bare)
    assert "of the 96 clips (locations are not known) within each scene" in uncertainty(found)[0]
    assert city_table(found) is None


def test_an_interval_of_too_few_locations_is_withheld_and_the_reason_said(tmp_path, run):
    found = make()
    clips = [replace(clip, location=clip.location.replace("5", "4")) for clip in CLIPS]
    few = summarise(found.results["strict"].segments, clips, CLASSES, Resampling(200))
    found = replace(found, clips=clips, results={"strict": few}, missing={"strict": ()})
    assert 3 < len(few.units.group) < 48
    assert few.log_loss_interval is None and few.accuracy_interval is None
    said = uncertainty(found)[0]
    assert "%  -" not in said and "no interval (-): it needs 48" in said
    write_report(tmp_path / "report", run, found)
    values = json.loads((tmp_path / "report" / "metrics.json").read_text())["protocols"]["strict"]
    assert values["log_loss_interval"] is None and values["accuracy_interval"] is None


def test_whole_clips_are_told_from_segments():
    found = make()
    strict = found.results["strict"].segments
    first = np.arange(0, 960, 10)
    whole = replace(strict, probability=strict.probability[first], clip=strict.clip[first],
                    second=None, scene=strict.scene[first])  # fmt: skip
    found = replace(
        found,
        missing={"clip": ()},
        results={"clip": summarise(whole, CLIPS, CLASSES, Resampling(200))},
    )
    assert coverage(found) == ["clip: 960/960 segments, in 96 clips, each predicted once"]


def test_a_runs_own_folder_is_refused(tmp_path, run):
    run.settings.write_text("{}")
    before = run.metrics.read_bytes()
    with pytest.raises(SettingError, match=r"--out is .*run, the folder of a run"):
        write_report(run.path, run, make())
    assert run.metrics.read_bytes() == before


def test_the_page_comes_last_so_that_half_a_report_has_none(tmp_path, run):
    folder = tmp_path / "report"
    (folder / "metrics.json").mkdir(parents=True)  # cannot be replaced by a file
    with pytest.raises(AvscError, match=r"metrics\.json: could not be written"):
        write_report(folder, run, make())
    assert not (folder / "report.md").exists()
    assert not list(folder.glob(".tmp-*"))


def pixels(drawing):
    return matplotlib.image.imread(io.BytesIO(drawing.png), format="png")


@pytest.mark.parametrize("classes", [2, 10])
def test_a_confusion_figure_is_darkest_where_the_segments_are(classes):
    """A permutation instead of the diagonal, so that rows and columns cannot be confused."""
    place = np.roll(np.arange(classes), 1)
    confusion = np.zeros((classes, classes), np.int64)
    confusion[np.arange(classes), place] = np.arange(1, classes + 1)
    shown = pixels(confusion_figure(confusion, [f"scene {i}" for i in range(classes)], "title"))
    dark = (shown[..., 2] - shown[..., 0] > 0.3) & (shown[..., 0] < 0.2)  # Blues at its end
    top, left = np.argwhere(dark).min(0)
    bottom, right = np.argwhere(dark).max(0) + 1
    side = (bottom - top) / classes
    assert side == pytest.approx((right - left) / classes, abs=1)
    centres = ((np.arange(classes) + 0.12) * side).astype(int)  # beside the number in each cell
    cells = dark[top:bottom, left:right][np.ix_(centres, centres)]
    np.testing.assert_array_equal(cells, confusion > 0)


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_curves_of_any_run_are_drawn(tmp_path, validated, epochs):
    values = (1.0, 0.5) if validated else (None, None)
    history = [Row(e + 1, 1e-2 / (e + 1), 2 / (e + 1), *values) for e in range(epochs)]
    write_metrics(tmp_path / "metrics.csv", history)
    shown = pixels(curves_figure(tmp_path / "metrics.csv", epochs))
    orange = (shown[..., 0] > 0.9) & (shown[..., 2] < 0.2)
    assert orange.any() == (validated and epochs > 0)
    green = (shown[..., 1] > 0.55) & (shown[..., 0] < 0.3) & (shown[..., 2] < 0.3)
    assert green.any() == (epochs > 0)


def test_images_depend_on_what_they_show_alone():
    confusion = np.array([[3, 1], [0, 2]])
    one, two = (confusion_figure(confusion, ("a", "b"), "t") for _ in range(2))
    assert one == two
    assert confusion_figure(confusion.T, ("a", "b"), "t") != one


def test_a_reliability_figure_shows_each_bins_accuracy():
    """Two bins, one always right and one half right: their bars end at 1 and at 1/2."""
    probability = np.repeat([[0.9, 0.1], [0.62, 0.38]], 100, axis=0)
    scene = np.concatenate([np.zeros(100, int), np.arange(100) % 2])
    place = np.arange(200)
    shown = pixels(
        reliability_figure(calibration(Segments(probability, place, place, scene)), "title")
    )
    blue = (shown[..., 2] > 0.6) & (shown[..., 0] < 0.2)
    upper = blue[: shown.shape[0] * 2 // 3]
    heights = upper.sum(0)
    tall = heights > 0.9 * heights.max()
    half = (heights > 0) & ~tall
    assert tall.sum() == pytest.approx(half.sum(), abs=2)
    assert np.flatnonzero(half).max() < np.flatnonzero(tall).min()
    assert np.median(heights[half]) / heights.max() == pytest.approx(0.5, abs=0.03)
