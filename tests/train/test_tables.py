"""Tables: the paper's figures, plans, forecasts, measures, layouts; the command on small runs."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from commands import refused
from stores import small_clips, small_store

from avsc.manifests import folder_claims
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.folder_claims import claimed
from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.submissions import Truth
from avsc.train.fit.console import Console
from avsc.train.metrics import scores
from avsc.train.paper.forecast import Pace, RunForecast, recorded, total
from avsc.train.paper.plan import TABLES, make_plan, published_results
from avsc.train.paper.runs import EvaluationOptions, RunState, is_evaluated, make_runs, state
from avsc.train.paper.table import TableLine, ensemble, seed_scores
from avsc.train.paper.table_report import comma_separated, latex, markdown, open_choices
from avsc.train.protocol import Segments
from avsc.train.settings.scenes import Settings

OUT = Path("runs/tables")
SIGHT = ["--backbone", "test_efficientnet.r160_in1k", "--visual-weights", "random",
         "--image-size", "32"]  # fmt: skip
FAST = ["--batch-size", "16", "--epochs", "1", "--device", "cpu", "--workers", "0"]


def test_the_papers_figures():
    """A few by hand, from the paper's pages; all within what a figure can be."""
    assert [(row.log_loss, row.accuracy) for row in published_results("2")] == [
        (0.6968, pytest.approx(0.7608)), (0.6325, pytest.approx(0.7798)),
        (0.3939, pytest.approx(0.8703)), (0.2731, pytest.approx(0.9091)),
    ]  # fmt: skip
    best = published_results("3")[-1]
    assert (best.verb, best.feature, best.backbone) == ("joint", "scalogram", "effnetv2-s")
    assert (best.log_loss, best.accuracy) == (0.1517, pytest.approx(0.9459))
    assert [len(published_results(table)) for table in "2345"] == [4, 8, 4, 5]
    assert [row.verb for row in published_results("4")] == [
        "pipeline", "ablation-2", "ablation-3", "joint"
    ]  # fmt: skip
    for table in "2345":
        for row in published_results(table):
            assert 0.1 < row.log_loss < 0.8 and 0.7 < row.accuracy < 1
            assert row.source.endswith(f"Table {table}")


@pytest.mark.parametrize("table", TABLES)
def test_needed_runs_come_first_and_each_run_once(table):
    plan = make_plan(table, OUT, (0, 1), {})
    names = list(plan.runs)
    for run in plan.runs.values():
        if run.donor is not None:
            assert names.index(run.donor) < names.index(run.name)
            assert run.settings.acoustic_run == OUT / run.donor
            donor = plan.runs[run.donor].settings
            assert (donor.feature, donor.seed) == (run.settings.feature, run.settings.seed)
    assert {name for row in plan.rows for name in row.runs} <= {*names}


def test_tables_share_their_runs():
    plans = {table: make_plan(table, OUT, (0,), {}) for table in TABLES}
    counts = {table: len(plan.runs) for table, plan in plans.items()}
    assert counts == {"2": 4, "3": 10, "4": 5, "5": 1, "augment": 8}
    every = {}
    for plan in plans.values():
        for name, run in plan.runs.items():
            assert every.setdefault(name, run) == run, name
    assert len(every) == 4 + 8 + 2 + 7
    rows = {row.label[:3]: row.runs for row in plans["4"].rows}
    assert rows["I: "] == ("pipeline-scalogram-effnetv2-s-seed0",)
    assert rows["IV:"] == ("joint-scalogram-effnetv2-s-seed0",) == plans["5"].rows[-1].runs
    assert plans["augment"].rows[-1].runs == rows["IV:"]


def test_the_augmentation_table_has_every_subset_once():
    plan = make_plan("augment", OUT, (0,), {})
    chosen = [plan.runs[row.runs[0]].settings.augment for row in plan.rows]
    assert [len(each.split(",")) for each in chosen] == [1, 1, 1, 1, 2, 2, 2, 3]
    assert chosen[0] == "none" and len(set(chosen)) == 8
    assert [row.published is not None for row in plan.rows] == [False] * 7 + [True]
    with pytest.raises(SettingError, match="--augment is what this table varies"):
        make_plan("augment", OUT, (0,), {"augment": "crop"})


def test_settings_go_to_all_runs_and_defaults_to_none():
    plan = make_plan("3", OUT, (0,), {"batch_size": 64, "backbone": "resnet10t"})
    assert {run.settings.batch_size for run in plan.runs.values()} == {64}
    assert len(plan.runs) == 6 and "joint-fbank-resnet10t-seed0" in plan.runs
    plain = make_plan("3", OUT, (0,), {}).runs["joint-scalogram-effnetv2-s-seed0"].settings
    assert plain == Settings()


def test_each_backbone_has_its_own_weights():
    given = {"visual_weights": "resnet50=a.pth,effnetv2-s=b.pth"}
    plan = make_plan("3", OUT, (0,), given)
    for run in plan.runs.values():
        wanted = {"resnet50": "a.pth", "effnetv2-s": "b.pth"}[run.settings.backbone]
        assert run.settings.visual_weights == (
            "pretrained" if run.system.visual is None else wanted
        )
    with pytest.raises(SettingError, match="it names none for resnet50; add resnet50=FILE"):
        make_plan("3", OUT, (0,), {"visual_weights": "effnetv2-s=b.pth"})


def test_the_command_of_a_run_says_the_same_settings(fit):
    """What --list prints is parsed by the very verbs that it names."""
    from avsc.train.cli import program

    given = {"batch_size": 64, "store": Path("my store")}
    plan = make_plan("3", OUT, (3,), given)
    robust = make_plan("3", OUT, (3,), {"preset": "robust", "modality_dropout": 0.0})
    assert {run.settings.modality_dropout for run in robust.runs.values()} == {0.0}
    for run in (*plan.runs.values(), *robust.runs.values()):
        words = shlex.split(run.command())
        assert words[:2] == ["avsc-fit", run.system.name]
        command = program.get_command(click.Context(program), words[1])
        values = command.make_context(words[1], words[2:]).params
        assert values.pop("out") == run.folder and values.pop("resume") is True
        assert values.pop("wait") is False
        assert Settings(**values) == run.settings
    code, said, _ = fit("table", "3", "--list", "--seeds", 3, "--batch-size", 64, "--store",
                        "my store")  # fmt: skip
    assert code == 0
    assert said.splitlines() == [f"{run.name}\t{run.command()}" for run in plan.runs.values()]


def test_wrong_use_is_refused(fit):
    refused(fit("table", "6"), 2, "'6' is not one of")
    refused(fit("table", "2", "--seeds", "0,0"), 2, "--seeds is '0,0'", "0,1,2")
    refused(fit("table", "2", "--seeds", "two"), 2, "--seeds is 'two'")
    refused(fit("table", "2", "--only", "joint"), 2, "--only is 'joint'; the runs are audio-fbank")
    refused(fit("table", "2", "--ensemble"), 2, "--seeds is 0")
    refused(fit("table", "2", "--predictions", "a.tsv"), 2, "--predictions is for table 5")
    refused(fit("table", "2", "--seed", "1"), 2, "--seed")
    refused(fit("table", "2", "--batch-size", "1"), 2, "--batch-size is 1")


CLASSES = ("bus", "tram")
CLIPS = tuple(
    replace(clip, location=f"{clip.scene}-{clip.location}")
    for clip in small_clips(classes=2, locations=24)
)


def predictions(seed):
    rng = np.random.default_rng(seed)
    clip = np.repeat(np.arange(len(CLIPS)), 4)
    scene = (clip >= len(CLIPS) // 2).astype(np.int64)
    probability = rng.dirichlet((1, 1), len(clip))
    return Segments(probability, clip, np.tile(np.arange(4), len(CLIPS)), scene)


def test_mean_and_deviation_over_seeds_by_hand():
    truth = Truth(Path("store"), CLIPS, CLASSES)
    runs = [predictions(seed) for seed in range(3)]
    found = seed_scores(runs, truth, Resampling(500))
    losses = [scores(each, CLASSES).log_loss for each in runs]
    assert found.log_loss.mean == pytest.approx(np.mean(losses), rel=1e-12)
    assert found.log_loss.std == pytest.approx(np.std(losses, ddof=1), rel=1e-12)
    assert found.log_loss.interval.low < found.log_loss.mean < found.log_loss.interval.high
    alone = seed_scores(runs[:1], truth, Resampling(500))
    assert alone.log_loss.std is None
    # The mean of three seeds wavers less over locations than one of them.
    width = [each.log_loss.interval.high - each.log_loss.interval.low for each in (found, alone)]
    assert width[0] < width[1]


def test_an_ensemble_is_the_mean_of_probabilities():
    runs = [predictions(seed) for seed in range(3)]
    found = ensemble(runs)
    np.testing.assert_allclose(
        found.probability, sum(run.probability for run in runs) / 3, rtol=1e-12
    )
    assert (found.clip == runs[0].clip).all() and (found.scene == runs[0].scene).all()


def test_layouts_hold_the_same_figures():
    truth = Truth(Path("store"), CLIPS, CLASSES)
    found = seed_scores([predictions(0), predictions(1)], truth, Resampling(500))
    printed = published_results("3")[-1]
    lines = [
        TableLine("Joint", ("scalogram", "a_b"), "ImageNet", "strict", 2, found, printed),
        TableLine("Others & co.", (), None, None, 0, None, printed),
    ]
    text = markdown(lines)
    low, high = found.log_loss.interval.low, found.log_loss.interval.high
    assert 0.01 < (high - low) / 2 < 0.0995, "so that it carries three decimals"
    shown = f"{found.log_loss.mean:.3f} ± {found.log_loss.std:.3f} [{low:.3f}, {high:.3f}]"
    assert shown in text
    assert f"{found.log_loss.mean - 0.1517:+.3f}" in text and "94.59" in text
    rows = list(csv.DictReader(comma_separated(lines).decode().splitlines()))
    assert float(rows[0]["log_loss_mean"]) == found.log_loss.mean
    assert float(rows[0]["log_loss_difference"]) == found.log_loss.mean - 0.1517
    assert float(rows[0]["accuracy_high"]) == found.accuracy.interval.high
    assert rows[1]["log_loss_mean"] == "" and float(rows[1]["log_loss_paper"]) == 0.1517
    tex = latex(lines, "Table 3: 100 %").decode()
    assert r"scalogram + a\_b" in tex and r"Others \& co." in tex and r"100 \%" in tex
    assert r"$\pm$" in tex and "±" not in tex
    twice = markdown([lines[0], replace(lines[0], protocol="centred")]).splitlines()[-1]
    assert twice.startswith("|       |") and "| centred " in twice
    body = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert len(body) == 3 and {len(re.findall(r"(?<!\\)&", line)) for line in body} == {9}


def test_what_is_left_open_is_said_with_the_runs_own_values():
    said = open_choices(make_plan("3", OUT, (0,), {"validation": "random", "weight_decay": 0.1}))
    assert said["weight decay"] == "0.1"
    assert said["validation clips (the paper: about 10 % at random)"].startswith("random clips")


def test_an_epochs_time_is_that_of_whole_epochs_on_the_last_device(tmp_path):
    run = next(iter(make_plan("5", tmp_path, (0,), {}).runs.values()))
    assert recorded(run) == Pace()
    run.folder.mkdir()
    lines = [
        "epoch,first_batch,seconds,device,processes",
        '1,0,900.0,"cpu, 2 threads",1',
        '2,0,40.0,"cuda:0, NVIDIA H100",1',
        '3,17,9.0,"cuda:0, NVIDIA H100",1',
        '4,0,50.0,"cuda:0, NVIDIA H100",1',
        '5,0,45.0,"cuda:0, NVIDIA H100",1',
    ]
    timing = run.folder / "timing.csv"
    timing.write_text("\n".join([*lines, ""]))
    assert recorded(run) == Pace(45.0, "cuda:0, NVIDIA H100", f"3 epochs of {run.name}")
    timing.write_text("\n".join([*lines, '6,0,12.5,"cuda:0, NVIDIA H100",4', ""]))
    assert recorded(run).seconds == 12.5
    assert recorded(run).device == "4 processes, each cuda:0, NVIDIA H100"
    timing.write_text("\n".join([*lines[:2], '2,5,40.0,"cuda:0, NVIDIA H100",1', ""]))
    assert recorded(run).seconds is None
    assert recorded(run).source == f"{run.name} has no epoch that was trained without interruption"
    timing.write_text("epoch\n1\n")
    with pytest.raises(AvscError, match=r"timing\.csv: not the epoch times .*may be removed"):
        recorded(run)


def test_a_run_of_a_version_that_timed_no_epochs_gives_no_forecast(fit, small, tmp_path):
    """Neither it nor one of another seed is guessed from, and what is missing is said."""
    command = ["table", 2, "--store", small[0], "--out", tmp_path, *FAST, *SIGHT]
    audio = [*command, "--only", "audio-fbank-seed0"]
    assert fit(*audio)[0] == 0
    more = ["--seeds", "0,1", "--epochs", 3, "--dry-run"]
    line = r"\| audio-fbank-seed{} +\| +{}/3 \| +{} \| +{} \| +{} \|"
    measured, unknown = r"0\.00", "not measured"
    said = fit(*command, *more)[1]
    for seed, done in enumerate((1, 0)):
        cells = (seed, done, 3 - done, measured, "1 epoch of audio-fbank-seed0")
        assert re.search(line.format(*cells), said), said
    (tmp_path / "audio-fbank-seed0" / "timing.csv").unlink()
    said = fit(*command, *more)[1]
    assert re.search(line.format(0, 1, 2, unknown, "audio-fbank-seed0 has no timing.csv"), said)
    assert re.search(line.format(1, 0, 3, unknown, ""), said), said
    # Trained on, it times what it trains.
    assert fit(*audio, "--epochs", 2)[0] == 0
    rows = csv_rows(tmp_path / "audio-fbank-seed0" / "timing.csv")
    assert [row["epoch"] for row in rows] == ["2"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A store and a folder for the runs of all the tests that follow."""
    folder = tmp_path_factory.mktemp("tables")
    clips = small_clips(locations=6, clips_per_location=1)
    clips = tuple(clip if int(clip.location[-1]) < 4 else _tested(clip) for clip in clips)
    return small_store(folder / "store", clips=clips), folder / "runs"


def _tested(clip):
    return replace(clip, fold="test")


def csv_rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def how(small):
    store, out = small
    return ["--store", store, "--out", out, *FAST, *SIGHT, "--resamples", 200]


def test_table_4_is_made_from_nothing(fit, small):
    """Each run once, in an order in which they can be made; then nothing is left to do."""
    out = small[1]
    code, said, _ = fit("table", 4, *how(small), "--dry-run")
    assert code == 0 and "not measured: 5 runs" in said and not out.exists()
    code, said, _ = fit("table", 4, *how(small))
    assert code == 0, said
    names = sorted(path.name for path in out.iterdir() if path.is_dir())
    model = "test_efficientnet.r160_in1k"
    assert names == [
        f"ablation-2-scalogram-{model}-seed0", f"ablation-3-scalogram-{model}-seed0",
        "audio-scalogram-seed0", f"joint-scalogram-{model}-seed0",
        f"pipeline-scalogram-{model}-seed0",
    ]  # fmt: skip
    page = (out / "table-4.md").read_text()
    assert "Not the paper's settings" in page and "--epochs 1" in page and "--batch-size 16" in page
    assert "**VE: nothing**, not Places365 as in the paper, is what the visual encoder" in page
    assert "**Not the paper's test fold**: it has 36,450 segments, this one 18" in page
    assert (
        "6 locations (no intervals: they need 48, and two in each scene)" in page
        and "One run per row, seed 0" in page
    )
    assert "weight decay: 0" in page
    rows = csv_rows(out / "table-4.csv")
    assert [row["protocol"] for row in rows] == ["strict", "centred"] * 4
    assert {row["visual_pretraining"] for row in rows} == {"nothing"}
    joint = out / f"joint-scalogram-{model}-seed0" / "evaluation-test" / "metrics.json"
    strict = json.loads(joint.read_text())["protocols"]["strict"]
    assert float(rows[6]["log_loss_mean"]) == pytest.approx(strict["log_loss"], rel=1e-12)
    assert rows[6]["log_loss_low"] == "" and strict["log_loss_interval"] is None
    assert float(rows[6]["log_loss_paper"]) == 0.1517
    assert (out / "table-4.tex").read_text().count("&") > 40

    before = joint.stat().st_mtime_ns
    code, said, _ = fit("table", 4, *how(small))
    assert code == 0 and said.count("already trained") == 5 and "epoch 1" not in said
    assert joint.stat().st_mtime_ns == before
    code, said, _ = fit("table", 4, *how(small), "--dry-run")
    assert code == 0 and "nothing is left to train" in said

    # An evaluation whose intervals were made otherwise, as by older versions, is made once more.
    values = json.loads(joint.read_text())
    intervals = values.pop("intervals")
    joint.write_text(json.dumps(values))
    code, said, _ = fit("table", 4, *how(small))
    assert code == 0 and said.count("already trained") == 5 and said.count("test fold: ") == 1
    assert json.loads(joint.read_text())["intervals"] == intervals


def test_table_5_takes_the_run_and_any_systems_predictions(fit, small, tmp_path):
    out = small[1]
    found = next(out.glob("pipeline-*")) / "evaluation-test" / "predictions-centred.tsv"
    theirs = shutil.copy(found, tmp_path / "theirs.tsv")
    assert fit("table", 5, *how(small), "--predictions", theirs)[0] == 0
    rows = csv_rows(out / "table-5.csv")
    assert [row["protocol"] for row in rows] == [""] * 4 + ["strict", "centred", "as given"]
    assert [float(row["log_loss_paper"]) for row in rows[:4]] == [0.658, 0.159, 0.183, 0.223]
    assert rows[-1]["row"] == "theirs.tsv"
    four = csv_rows(out / "table-4.csv")
    assert float(rows[-1]["log_loss_mean"]) == pytest.approx(
        float(four[1]["log_loss_mean"]), rel=1e-12
    )
    short = tmp_path / "short.tsv"
    short.write_text("".join(Path(theirs).read_text().splitlines(keepends=True)[:-4]))
    refused(
        fit("table", 5, *how(small), "--predictions", short), 1, "short.tsv: 14 of 18 segments",
        "_0.wav", "--allow-missing",
    )  # fmt: skip
    code, said, _ = fit("table", 5, *how(small), "--predictions", short, "--allow-missing")
    assert code == 0 and "short.tsv (14/18)" in said


def test_seeds_are_averaged_and_one_run_can_be_made_alone(fit, small):
    out = small[1]
    two = [*how(small), "--seeds", "0,1"]
    code, said, _ = fit("table", 2, *two, "--only", "audio-fbank-seed1")
    assert code == 0 and not (out / "table-2.md").exists()
    assert (out / "audio-fbank-seed1" / "evaluation-test" / "report.md").exists()
    code, said, _ = fit("table", 2, *two, "--ensemble")
    assert code == 0, said
    assert "audio-fbank-seed1: already trained" in said
    rows = csv_rows(out / "table-2.csv")
    losses = [
        json.loads((out / f"audio-fbank-seed{seed}/evaluation-test/metrics.json").read_text())[
            "protocols"
        ]["strict"]["log_loss"]
        for seed in (0, 1)
    ]
    assert float(rows[0]["log_loss_mean"]) == pytest.approx(np.mean(losses), rel=1e-9)
    assert float(rows[0]["log_loss_deviation"]) == pytest.approx(np.std(losses, ddof=1), rel=1e-6)
    assert rows[0]["visual_pretraining"] == "" and rows[0]["runs"] == "2"
    # Its ensemble: by convexity no worse than the mean of the two.
    together = [row for row in rows if row["row"].endswith(", ensemble")]
    assert len(together) == len(rows) / 2 and together[0]["log_loss_paper"] == ""
    assert float(together[0]["log_loss_mean"]) < float(rows[0]["log_loss_mean"])
    # The same run of other settings is refused, and what is there stays.
    refused(fit("table", 2, *two, "--dropout", 0.1), 2, "different --dropout", "--no-resume")


def test_a_run_waits_for_the_one_it_needs(fit, small, tmp_path):
    command = ["--store", small[0], "--out", tmp_path / "out", *FAST, *SIGHT]
    name = "pipeline-scalogram-test_efficientnet.r160_in1k-seed0"
    code, said, _ = fit("table", 4, *command, "--only", name)
    assert code == 75 and "takes its acoustic encoder from audio-scalogram-seed0" in said


def test_runs_that_another_trains_are_left_to_it_and_the_rest_is_made(
    small, tmp_path, capsys, monkeypatch
):
    given = {"store": small[0], "batch_size": 16, "epochs": 1, "device": "cpu", "workers": 0,
             "backbone": SIGHT[1], "visual_weights": "random", "image_size": 32}  # fmt: skip
    plan = make_plan("4", tmp_path / "out", (0,), given)
    audio, pipeline, joint = (
        next(name for name in plan.runs if name.startswith(each))
        for each in ("audio", "pipeline", "joint")
    )
    options = EvaluationOptions(Resampling(100), False)
    with Console() as console:

        def make():
            return make_runs(plan, [audio, pipeline, joint], options, console)

        with claimed(plan.runs[audio].folder, "busy", "", print) as claim:
            assert make() == 75
            said = capsys.readouterr().out
            for name in (audio, pipeline):
                assert f"{name}: left to process {os.getpid()} on " in said
            assert f"left to other processes: {audio}, {pipeline}. Run the same command" in said
            assert state(plan.runs[joint]).finished and is_evaluated(plan.runs[joint], False)
            assert [path.name for path in plan.runs[audio].folder.iterdir()] == ["claim"]
            clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: claim.give_up())
            monkeypatch.setattr(folder_claims, "time", clock)  # given up once it is waited for
            assert make_runs(plan, [audio], options, console, wait=True) == 0
        assert is_evaluated(plan.runs[audio], False)
        assert "waiting for its end" in capsys.readouterr().out


def test_a_probe_times_an_epoch_and_leaves_nothing(fit, small, tmp_path):
    out = tmp_path / "out"
    command = ["--store", small[0], "--out", out, *FAST, *SIGHT, "--epochs", 100]
    code, said, _ = fit("table", 4, *command, "--dry-run", "--probe", 0.2)
    assert code == 0
    assert re.search(r"audio-scalogram: \d+\.\d s per epoch \(a probe of \d+ steps\)", said)
    assert re.search(r"expected: \d+\.\d\d hours on cpu, 1 threads \(training only\)", said)
    assert "not measured: 3 runs" in said  # two read stored embeddings, one needs the audio run
    assert list(out.iterdir()) == []


def test_a_signal_stops_the_run_under_way_and_the_table_goes_on(fit, small, tmp_path):
    out = tmp_path / "out"
    command = ["table", 2, "--store", small[0], "--out", out, *FAST, *SIGHT]
    metrics = out / "audio-fbank-seed0" / "metrics.csv"

    def send():
        end = time.monotonic() + 600
        while not (metrics.exists() and len(metrics.read_text().splitlines()) > 1):
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    code, said, _ = fit(*command, "--epochs", 100_000)
    sender.join()
    assert code == 75
    assert "stopped by SIGUSR1" in said and "The same command resumes." in said
    assert not (out / "table-2.md").exists()
    done = len(metrics.read_text().splitlines()) - 1
    code, said, _ = fit(*command, "--epochs", done + 1, "--only", "audio-fbank-seed0")
    assert code == 0 and f"resuming after {done} epochs" in said


def test_forecasts_add_up_by_device():
    runs = list(make_plan("2", OUT, (0,), {}).runs.values())
    gpu, cpu = Pace(36.0, "cuda:0, A", "timing"), Pace(3.6, "cpu", "timing")
    made = [
        RunForecast(runs[0], RunState(50, False), gpu),
        RunForecast(runs[1], RunState(0, False), gpu),
        RunForecast(runs[2], RunState(150, True), Pace()),
        RunForecast(runs[3], RunState(0, False), cpu),
    ]
    assert total(made) == pytest.approx({"cuda:0, A": 2.5, "cpu": 0.15})
    assert [each.hours for each in made] == pytest.approx([1.0, 1.5, 0.0, 0.15])
    unknown = RunForecast(runs[0], RunState(0, False), Pace())
    assert unknown.hours is None and total([unknown]) == {"not measured": 1}
