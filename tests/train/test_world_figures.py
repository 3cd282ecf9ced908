"""The tables of benchmarks/world.py, of runs whose figures are made up."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("world_figures")


def evaluated(work: Path, name: str, seed: int, **loss: float) -> None:
    """Leave what an evaluated run leaves, with a log-loss under each condition."""
    report = work / "runs" / f"{name}-{seed}" / "robustness-test"
    report.mkdir(parents=True)
    rows = [
        {
            "condition": condition.replace("_", "-"),
            "defined": True,
            "log_loss": value,
            "log_loss_interval": [value - 0.1, value + 0.1],
            "accuracy": 0.5,
        }
        for condition, value in loss.items()
    ]
    (report / "robustness.json").write_text(json.dumps({"rows": rows}))
    (report / "robustness.md").touch()
    timing = "epoch,first_batch,seconds,device,processes\n1,0,2.5,cpu,1\n"
    (report.parent / "timing.csv").write_text(timing)


def compared(work: Path, pair: str, difference: float) -> None:
    folder = work / "comparisons" / pair
    folder.mkdir(parents=True)
    interval = {"low": difference - 0.1, "high": difference + 0.1}
    row = {"log_loss": {"difference": difference, "interval": interval}}
    (folder / "comparison.json").write_text(json.dumps({"rows": [row]}))


@pytest.fixture
def runs(figures: Any, tmp_path: Path) -> Any:
    (tmp_path / "data").mkdir()
    best = {"accuracy": 0.9, "log_loss": 0.4}
    world = {
        "optimum": {"both": best, "sound": best},
        "oracle": {"test": {"both": best, "sound": best}},
        "conditions": {"complete": best, "audio-late-1s": {**best, "untold": {"log_loss": 1.1}}},
    }
    (tmp_path / "data" / "world.json").write_text(json.dumps(world))
    evaluated(tmp_path, "joint", 0, complete=0.45, audio_late_1s=0.9)
    evaluated(tmp_path, "joint", 1, complete=0.47, audio_late_1s=1.0)
    evaluated(tmp_path, "pipeline", 0, complete=0.8)
    compared(tmp_path, "joint-pipeline-0", -0.35)
    rows = {"joint": "both", "pipeline": "both", "ablation-2": "both"}
    return figures.WorldRuns(tmp_path, rows, [0, 1])


def cells(table: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split("|") for line in table.splitlines()]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_tables_hold_means_of_the_seeds_that_are_there(figures: Any, runs: Any) -> None:
    systems, conditions = cells(figures.system_table(runs)), cells(figures.condition_table(runs))
    assert systems["joint"][1:4] == ["2", "0.460 (0.360 to 0.560)", "0.450 to 0.470"]
    assert systems["pipeline"][1] == "1" and systems["joint"][-1] == "2.5"
    assert "ablation-2" not in systems
    assert conditions["condition"] == ["optimum", "untold", "joint", "pipeline"]
    assert conditions["audio-late-1s"] == ["0.400", "1.100", "0.950 (0.850 to 1.050)", "-"]


def test_expectations_hold_or_not_or_are_not_shown(figures: Any, runs: Any) -> None:
    pairs = [("joint", "pipeline"), ("joint", "ablation-2")]
    near = {"joint": 0.05, "pipeline": 0.05}
    assert list(figures.expectation_lines(runs, pairs, [], near)) == [
        "- holds: joint below pipeline: -0.350 (-0.450 to -0.250)",
        "- not shown: joint below ablation-2: ",
        "- DOES NOT HOLD: joint within 0.05 nats of its optimum: +0.060",
        "- DOES NOT HOLD: pipeline within 0.05 nats of its optimum: +0.400",
    ]
