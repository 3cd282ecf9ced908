"""Extraction in the jobs of a real Slurm: the same bytes as on one machine, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from recordings import write_clips
from slurm_service import Slurm

from avsc.features.store.reader import Store

pytestmark = pytest.mark.slurm
PREP = Path(sys.executable).with_name("avsc-prep")
CLUSTER = """\
queue = "main"
cores = 1
memory = "1500 MB"
walltime = "00:10:00"
interface = "lo"
maximum = 2
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many clips of a few recordings."""
    root = tmp_path_factory.mktemp("clips")
    write_clips(root, 4)
    rows = [
        f"clip-{row:03d},scene{row % 2},audio/clip-{row % 4}.wav,video/clip-{row % 4}.mp4"
        for row in range(120)
    ]
    path = root / "many.csv"
    path.write_text("\n".join(["id,scene,audio,video", *rows]) + "\n")
    return path


def command(manifest: Path, store: Path, *more: object) -> list[str]:
    options = ["--manifest", manifest, "--out", store, "--block-size", 4, *more]
    return list(map(str, [PREP, "extract", *options]))


@pytest.fixture(scope="module")
def local(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one machine makes."""
    path = tmp_path_factory.mktemp("local") / "store"
    subprocess.run(command(manifest, path, "--workers", 2), check=True, capture_output=True)
    return path


class OnSlurm:
    """One extraction whose workers run in Slurm's jobs."""

    def __init__(self, queue: Slurm, manifest: Path, folder: Path, text: str = CLUSTER) -> None:
        self.queue, self.store = queue, folder / "store"
        file = folder / "cluster.toml"
        file.write_text(text)
        self.command = command(manifest, self.store, "--cluster", "slurm", "--cluster-config", file)
        self.environment = dict(queue.environment)

    def start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command, env=self.environment, stdout=pipe, stderr=pipe, text=True
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def wait_for(self, blocks: int) -> None:
        """Wait until so many blocks are made."""
        limit = time.monotonic() + 300
        while len(list(self.store.glob("images/*/*/*.json"))) < blocks:
            assert time.monotonic() < limit, self.events()
            time.sleep(0.05)

    def events(self) -> list[dict[str, object]]:
        files = sorted((self.store / "events").rglob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def same(store: Path, other: Path) -> None:
    """All parts and the index are equal, byte for byte."""
    found, wanted = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.h5")}
        for folder in (store, other)
    )
    assert found == wanted and len(wanted) > 3


def test_jobs_make_the_same_bytes(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    """Two workers in one job, whose credentials and pages nobody else can use."""
    text = CLUSTER.replace("cores = 1", "cores = 2").replace("1500 MB", "3 GB")
    run = OnSlurm(queue, manifest, tmp_path, text)
    done = run.run()
    assert done.returncode == 0, done.stderr
    assert queue.jobs() == [], "cancelled before the program ends"
    same(run.store, local)
    assert Store.open(local).fingerprint in done.stdout
    assert len([e for e in run.events() if e["event"] == "job-submitted"]) == 1
    assert not list((run.store / "logs").glob(".*")), "credentials are gone"


def test_cancelled_job_costs_only_its_blocks(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    run = OnSlurm(queue, manifest, tmp_path)
    driver = run.start()
    queue.wait_for(2)
    run.wait_for(4)
    queue.say("scancel", queue.jobs()[0])
    out, err = driver.communicate(timeout=600)
    assert driver.returncode == 0, err
    same(run.store, local)
    done = Counter(event["block"] for event in run.events() if event["event"] == "done")
    assert done == dict.fromkeys(range(30), 1)
    lost = [event for event in run.events() if event["event"] in ("worker-lost", "worker-retired")]
    assert len(lost) >= 1
    assert sum(len(event["blocks"]) for event in lost) <= 2
    assert Store.open(local).fingerprint in out


@pytest.mark.parametrize(("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_is_left_in_the_queue(
    queue: Slurm, manifest: Path, tmp_path: Path, kind: signal.Signals, status: int
) -> None:
    run = OnSlurm(queue, manifest, tmp_path)
    driver = run.start()
    run.wait_for(2)
    assert queue.jobs()
    driver.send_signal(kind)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == status, err
    assert queue.jobs() == []
    assert "Traceback" not in err and "run the command again to go on" in err
    assert not (run.store / "claims").exists()


def test_workers_whose_time_is_over_are_replaced(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    """Workers live for six seconds, by the user's own configuration of dask-jobqueue."""
    run = OnSlurm(queue, manifest, tmp_path)
    life = ["--lifetime", "6s", "--lifetime-stagger", "1s"]
    run.environment["DASK_JOBQUEUE__SLURM__WORKER_EXTRA_ARGS"] = str(life)
    done = run.run()
    assert done.returncode == 0, done.stderr
    same(run.store, local)
    assert len([e for e in run.events() if e["event"] == "job-submitted"]) > 2
    assert "worker-retired" in [event["event"] for event in run.events()]


def test_memory_limit_ends_in_a_clear_line(queue: Slurm, manifest: Path, tmp_path: Path) -> None:
    run = OnSlurm(queue, manifest, tmp_path, CLUSTER.replace("1500 MB", "120 MB"))
    done = run.run()
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "workers go over their memory limit of 120 MB" in line
    assert "memory in the cluster's file" in line and "--block-size" in line
    assert "Traceback" not in done.stderr
    assert queue.jobs() == []


def test_jobs_that_are_refused_are_one_line(queue: Slurm, manifest: Path, tmp_path: Path) -> None:
    run = OnSlurm(queue, manifest, tmp_path, CLUSTER.replace("main", "moon"))
    done = run.run()
    assert done.returncode == 1
    assert "sbatch refuses the jobs" in done.stderr and "invalid partition" in done.stderr
    assert "Traceback" not in done.stderr


def test_documented_job_array_then_close(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    script = Path(__file__).parents[2] / "docs" / "array.sh"
    store = tmp_path / "store"
    options = command(manifest, store)[2:]
    bin_folder = f"{PREP.parent}:{os.environ['PATH']}"
    submitted = subprocess.run(
        ["sbatch", "--parsable", "--array=1-3", "--mem=1G", str(script), *options],
        env={**queue.environment, "PATH": bin_folder},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    queue.wait_empty(300)
    logs = "\n".join(path.read_text() for path in tmp_path.glob("*.out"))
    assert logs.count("is made.") == 3, (submitted, logs)
    closed = subprocess.run([PREP, "close", store], capture_output=True, text=True, check=False)
    assert closed.returncode == 0, closed.stderr
    same(store, local)
    assert Store.open(local).fingerprint in closed.stdout
