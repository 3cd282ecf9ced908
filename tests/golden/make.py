"""Makes the golden store and runs beside this file, by the programs on the PATH.

They were made once, with commit 799888c (avsc 0.1.0), and are kept as they are: what that version
wrote must open, resume and evaluate to the same numbers. To make them again, install that commit
and run ``python tests/golden/make.py``.

    store/         12 clips of two seconds of three scenes; one lacks its sound
    video/         a run on its images, stopped after one epoch or a little more
    expected.json  fingerprint, failures, the finished run's epochs and its evaluation
"""

import csv
import json
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
SCENES = ("airport", "bus", "metro")
RUN = (
    *("--backbone", "test_efficientnet", "--visual-weights", "random", "--image-size", "32"),
    *("--batch-size", "4", "--device", "cpu", "--workers", "0", "--epochs", "4", "--seed", "7"),
    *("--validation", "location", "--validation-fraction", "0.5"),
)


def call(*command: object) -> None:
    """Run a program; what it says goes to the screen."""
    subprocess.run([*map(str, command)], check=True)


def make_store(work: Path) -> Path:
    """Return a store of some clips of a synthetic set, of which one recording is missing."""
    data, whole, store = work / "data", work / "whole", work / "store"
    call("avsc-prep", "synth", "--out", data, "--clips-per-scene", 4, "--seconds", 2, "--size",
         "96x64")  # fmt: skip
    call("avsc-prep", "extract", "--dataset", "TAU2021", "--root", data, "--out", whole,
         "--products", "images", "--workers", 1)  # fmt: skip
    with (whole / "clips.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["scene"] in SCENES]
    (data / rows[3]["audio"]).unlink()
    with (work / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    extract = ["avsc-prep", "extract", "--manifest", work / "clips.csv", "--root", data, "--out",
               store, "--block-size", 5, "--products", "scalogram,images", "--scalogram-q", 8,
               "--image-short-side", 48, "--workers", 1]  # fmt: skip
    status = subprocess.run([*map(str, extract)], check=False).returncode
    assert status == 3, f"one recording is missing: status {status}"
    return store


def make_run(work: Path) -> tuple[Path, Path]:
    """Return a finished run, and the same run as a signal stopped it."""
    whole, stopped = work / "whole-run", work / "video"
    train = ["avsc-fit", "video", "--store", "store", *RUN, "--out"]
    subprocess.run([*train, whole.name], cwd=work, check=True)
    with subprocess.Popen([*train, stopped.name], cwd=work) as process:
        while not (stopped / "best.pt").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 75, f"stopped: status {process.returncode}"
    return whole, stopped


def main() -> None:
    """Make all of it in a temporary folder, and put it beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        store = make_store(work)
        whole, stopped = make_run(work)
        call("avsc-fit", "evaluate", whole, "--store", store, "--device", "cpu", "--workers", 0,
             "--resamples", 100)  # fmt: skip
        evaluation = whole / "evaluation-test"
        with (whole / "metrics.csv").open(newline="") as file:
            epochs = list(csv.DictReader(file))
        from avsc.features.store.reader import Store

        expected = {
            "fingerprint": Store.open(store).fingerprint,
            "epochs": epochs,
            "predictions": (evaluation / "predictions-strict.tsv").read_text(),
        }
        for made in (store, stopped):
            shutil.rmtree(HERE / made.name, ignore_errors=True)
            shutil.copytree(made, HERE / made.name, ignore=shutil.ignore_patterns("tensorboard"))
        text = json.dumps(expected, indent=1) + "\n"
        (HERE / "expected.json").write_text(text)


if __name__ == "__main__":
    main()
