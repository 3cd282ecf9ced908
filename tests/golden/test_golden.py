"""What version 0.1.0 (commit 799888c) wrote opens, resumes and evaluates to the same numbers."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import run_fit

from avsc.features.store.reader import Store
from avsc.features.store.verify import verify

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
ELSEWHERE = {"rtol": 1e-4, "atol": 1e-6}
"""Another processor rounds otherwise."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A copy of the golden files, for programs write into run folders."""
    for name in ("store", "video"):
        shutil.copytree(HERE / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_store_opens(home):
    store = Store.open(home / "store")
    assert len(store.clips) == 12
    assert store.classes == ("airport", "bus", "metro")
    assert [each.product for each in store.failures] == ["scalogram"]
    images = store.records("images")
    assert len(images) == 24
    assert all(bytes(images.read(number))[:2] == b"\xff\xd8" for number in range(24))
    assert len(store.records("scalogram")) == 11


def test_store_verifies(home):
    found = verify(home / "store")
    assert (found.parts, found.records, found.problems) == (6, 35, ())


def test_run_resumes_and_evaluates(home, monkeypatch, capsys):
    here = ("--device=cpu", "--workers=0")
    record = json.loads((home / "video" / "settings.json").read_text())["settings"]
    options = [
        f"--{name.replace('_', '-')}={record[name]}"
        for name in ("backbone", "visual_weights", "image_size", "batch_size", "validation",
                     "validation_fraction", "epochs", "seed")
    ]  # fmt: skip
    resume = ("video", "--store=store", "--out=video", *here, *options)
    status, said, err = run_fit(monkeypatch, capsys, *resume)
    assert status == 0, err
    assert "after 1 epochs" in said
    with (home / "video" / "metrics.csv").open(newline="") as file:
        found = [[float(cell) for cell in row.values()] for row in csv.DictReader(file)]
    wanted = [[float(cell) for cell in row.values()] for row in EXPECTED["epochs"]]
    np.testing.assert_allclose([row[: len(wanted[0])] for row in found], wanted, **ELSEWHERE)

    status, _, err = run_fit(monkeypatch, capsys, "evaluate", "video", *here, "--resamples=100")
    assert status == 0, err
    written = (home / "video" / "evaluation-test" / "predictions-strict.tsv").read_text()
    for line, line_wanted in zip(
        written.splitlines()[1:], EXPECTED["predictions"].splitlines()[1:], strict=True
    ):
        cells, cells_wanted = line.split("\t"), line_wanted.split("\t")
        assert cells[:2] == cells_wanted[:2]
        np.testing.assert_allclose(
            [float(cell) for cell in cells[2:]],
            [float(cell) for cell in cells_wanted[2:]],
            **ELSEWHERE,
        )
