"""The benchmarks of extraction, at toy size: they run, and what they say of exactness holds."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from videos import drawn, write_video

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def said_by(name: str, *arguments: object) -> list[list[str]]:
    """Run a benchmark; return the cells of the rows that it prints."""
    command = [sys.executable, BENCHMARKS / f"{name}.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_images(tmp_path: Path) -> None:
    scene = list(drawn(60, np.random.default_rng(4)))
    path = write_video(tmp_path / "v.mp4", scene, options={"g": "30", "bf": "3"})
    rows = {row[1]: row for row in said_by("pictures", path, "--rounds", 1)}
    assert rows["full"][-1] == rows["avsc"][-1] == "2/2 identical"
    assert rows["avsc, stage"][-1] == "2/2 wanted"
    for row in rows.values():
        assert row[2] == "not installed" or row[2] in ("ms per clip", "---") or float(row[2]) >= 0


def test_sound() -> None:
    rows = {row[0]: row for row in said_by("sound", "--rounds", 1)}
    assert float(rows["avsc"][-1]) < 1e-4
    assert float(rows["scipy"][-1]) > 1e-3, "its resampling aliases"
    assert {"read", "resample", "magnitude", "scalogram", "fbank"} < set(rows)


def test_extraction(tmp_path: Path) -> None:
    small = ["--size", "96x64", "--seconds", 1, "--folder", tmp_path]
    rows = said_by("extraction", "--clips", 4, "--block-size", 1, "--rounds", 1, *small)
    shares = [float(row[1][:-2]) for row in rows if row[-1].endswith("%")]
    assert len(shares) == 9 and abs(sum(shares) - 100) < 1
    costs = {row[0]: row for row in rows}["TAU2021"]
    assert re.fullmatch(r"[\d.]+", costs[2]) and costs[1] == "12,291"
    # Part and receipt of three products in 193 blocks of 64, and the store's own.
    assert costs[-1] == f"{2 * 3 * 193 + 6:,}"


def test_closing() -> None:
    """Memory, in MB, grows with the clips and is that of the programs that are measured."""
    rows = {row[0]: row for row in said_by("closing", "--clips", 130, "--recordings", 3)}
    assert {"closing", "rerun that finds nothing to do", "plan, 5 blocks are missing"} < set(rows)
    assert 0 < float(rows["avsc-prep --help"][3]) < float(rows["closing"][3]) < 500


def test_dask_overhead() -> None:
    small = ["--clips", "1,2", "--rounds", 1, "--round-clips", 2, "--size", "96x64"]
    small += ["--full-size", "96x64"]
    head, _, *rows = said_by("dask_overhead", *small)
    assert [row[0] for row in rows] == ["1", "2"] and len(head) == len(rows[0]) == 9
    assert all(float(row[5]) > 0 for row in rows)


def test_dask_simulation() -> None:
    """What pretends to work leaves a store that a run finds complete, and closes."""
    toy = ["--clips", 130, "--workers", 2, "--speed", 600]
    _, _, row, *_, fifths = said_by("dask_simulation", *toy)
    assert row[:2] == ["130", "3"] and len(fifths) == 11
    # Part and receipt of three products in three blocks, and what else a store has.
    assert int(row[10]) > 3 * 3 * 2 and float(row[9]) >= 0


def test_startup() -> None:
    rows = {row[0]: row for row in said_by("startup", "--rounds", 1)}
    assert float(rows["`python -c pass`"][2]) < float(rows["`avsc-fit --help`"][2])


def test_coverage_of_calibration_errors() -> None:
    rows = said_by("calibration_coverage", "--trials", 12, "--resamples", 99)
    assert len(rows[2:]) == 8 and all(float(row[3]) > 0.5 for row in rows[2:])


def test_coverage() -> None:
    """Of 200 trials: enough to say which way is better, and no more."""
    rows = said_by("interval_coverage", "--trials", 200, "--resamples", 199)
    few, *by_number = (row for row in rows if row[0].startswith("few fail"))
    assert float(few[1]) + 0.02 < float(few[2]) > 0.9, "percentile, bootstrap-t"
    assert all(float(row[2]) < 0.85 < float(row[-1]) for row in by_number), "12 and 96 locations"
    (alike,) = (row for row in rows if row[0] == "alike: few fail")
    assert float(alike[3]) < 0.1 and float(alike[4]) < 0.1 and float(alike[-1]) < 0.1
