"""The documented jobs that train, on a real Slurm: asked to stop, they are requeued and resume."""

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_service import Slurm
from stores import small_store

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.long,
]  # Slurm starts what it requeues after two minutes
PAGE = Path(__file__).parents[2] / "docs" / "training.md"
COMMAND = "avsc-fit joint --store stores/TAU2021 --out runs/joint"
HERE = (  # the documented requests are for GPUs, which no node of this Slurm has
    ("--gres=gpu:1 --cpus-per-task=8 ", ""),
    ("--ntasks=4 --gres=gpu:4 --cpus-per-task=8", "--ntasks=2 --cpus-per-task=1"),
)


def documented() -> dict[str, str]:
    """Return the scripts of the page, that of one process and that of several."""
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", PAGE.read_text("utf-8"), re.M)
    one, several = (textwrap.dedent(block).strip() for block in blocks if "#!/bin/bash" in block)
    return {"one": one, "several": several}


def wait_until(happened: Callable[[], bool], log: Path) -> None:
    limit = time.monotonic() + 400
    while not happened():
        assert time.monotonic() < limit, log.read_text() if log.exists() else "no log"
        time.sleep(0.2)


@pytest.mark.parametrize("which", ["one", "several"])
def test_a_documented_job_requeues_itself_and_resumes(
    queue: Slurm, tmp_path: Path, which: str
) -> None:
    script, store = documented()[which], small_store(tmp_path / "store", products=("scalogram",))
    for was, now in HERE:
        script = script.replace(was, now)
    assert COMMAND in script and "gpu" not in script
    run, log, file = tmp_path / "run", tmp_path / "job.log", tmp_path / "job.sh"
    options = "--batch-size 16 --device cpu --workers 0 --epochs 1000000 --save-minutes 0.02"
    file.write_text(
        script.replace(COMMAND, f"avsc-fit audio --store {store} --out {run} {options}")
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    submitted = subprocess.run(
        ["sbatch", "--parsable", "--mem=3000", f"--output={log}", str(file)],
        env={**queue.environment, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    job = submitted.stdout.strip()
    wait_until((run / "previous.pt").exists, log)
    queue.say("scancel", *(["--batch"] if which == "one" else []), "--signal=USR1", job)
    wait_until(lambda: "stopped by SIGUSR1" in log.read_text(), log)
    wait_until(lambda: "resuming after" in log.read_text(), log)
    text = log.read_text()
    assert "Traceback" not in text and "error: process" not in text
    assert text.count("training clips") == 2  # process 0 alone, at either start
    queue.say("scancel", job)
