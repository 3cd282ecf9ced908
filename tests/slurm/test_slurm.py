"""Extraction in the jobs of a real Slurm: the same bytes as on one machine, whatever happens."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from digests import digests
from recordings import write_clips
from slurm_service import Slurm
from strangers import is_answered, listening

from avsc.features.store.reader import Store

pytestmark = pytest.mark.slurm
PREP = Path(sys.executable).with_name("avsc-prep")
LOGS = (".out", ".log")
ODD = """it's 50%j #1 "$(touch x)\""""  # what a shell and sbatch each take for something else
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
    return many_clips(tmp_path_factory.mktemp("clips"), 120)


def many_clips(root: Path, count: int, seconds: float = 2) -> Path:
    """Many clips of a few recordings."""
    write_clips(root, 4, seconds)
    rows = [
        f"clip-{row:05d},scene{row % 2},audio/clip-{row % 4}.wav,video/clip-{row % 4}.mp4"
        for row in range(count)
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

    def __init__(
        self, queue: Slurm, manifest: Path, folder: Path, text: str = CLUSTER, name: str = "store"
    ) -> None:
        self.queue, self.store = queue, folder / name
        file = folder / "cluster.toml"
        file.write_text(text)
        self.command = command(manifest, self.store, "--cluster", "slurm", "--cluster-config", file)
        self.environment = dict(queue.environment)

    def preload(self, text: str, *options: str) -> None:
        """Let workers run a script first, as the user's configuration of dask-jobqueue can."""
        file = self.store.with_name("preload.py")
        file.write_text(text)
        words = str([*options, "--preload", str(file)])
        self.environment["DASK_JOBQUEUE__SLURM__WORKER_EXTRA_ARGS"] = words

    def start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command, env=self.environment, stdout=pipe, stderr=pipe, text=True
        )

    def run(self, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def wait_for(self, blocks: int) -> None:
        """Wait until so many blocks are made."""
        limit = time.monotonic() + 600
        while len(list(self.store.glob("images/*/*/*.json"))) < blocks:
            assert time.monotonic() < limit, self.events()
            time.sleep(0.05)

    def events(self) -> list[dict[str, object]]:
        return events(self.store)


def events(store: Path) -> list[dict[str, object]]:
    files = sorted((store / "events").rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def same(store: Path, other: Path) -> None:
    """All parts and the index are equal, byte for byte."""
    found, wanted = (digests(folder, "*.h5") for folder in (store, other))
    assert found == wanted and len(wanted) > 3


def test_jobs_make_the_same_bytes(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    """Two workers in one job, in a folder of an odd name, with credentials of their own."""
    text = CLUSTER.replace("cores = 1", "cores = 2").replace("1500 MB", "3 GB")
    run = OnSlurm(queue, manifest, tmp_path, text, name=f"{ODD}/store")
    done = run.run()
    assert done.returncode == 0, done.stderr
    assert queue.jobs() == [], "cancelled before the program ends"
    same(run.store, local)
    assert Store.open(local).fingerprint in done.stdout
    assert len([e for e in run.events() if e["event"] == "job-submitted"]) == 1
    assert not list((run.store / "logs").glob(".*")), "credentials are gone"
    logs = sorted(re.sub(r"\d+", "N", path.name) for path in (run.store / "logs").iterdir())
    assert logs == ["avsc-N.err", "avsc-N.out"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [ODD]


# Blocks from the ninth on wait for a file, so that each worker has one until then.
HELD = """
import time
from pathlib import Path
from avsc.preprocess import block
make = getattr(block.make_block, "first", block.make_block)  # Dask loads a preload twice
def hold(task):
    while task.block >= 8 and not Path({file!r}).exists():
        time.sleep(0.05)
    return make(task)
hold.first = make
block.make_block = hold
"""


def test_cancelled_job_costs_only_its_blocks(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    run = OnSlurm(queue, manifest, tmp_path)
    run.preload(HELD.format(file=str(tmp_path / "go")))
    driver = run.start()
    queue.wait_for(2)
    run.wait_for(4)
    queue.say("scancel", queue.jobs()[0])
    (tmp_path / "go").touch()
    one_worker_was_lost(run, driver, local)


def test_lost_node_costs_only_its_blocks(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    """One job fits on each node; of one, the daemon and all that it runs are ended."""
    run = OnSlurm(queue, manifest, tmp_path, CLUSTER.replace("1500 MB", "2500 MB"))
    run.preload(HELD.format(file=str(tmp_path / "go")))
    driver = run.start()
    queue.wait_for(2)
    run.wait_for(4)
    node, other = queue.nodes()
    assert node != other
    queue.lose(node)
    (tmp_path / "go").touch()
    try:
        one_worker_was_lost(run, driver, local)
    finally:
        queue.start_node(node)


def one_worker_was_lost(run: OnSlurm, driver: subprocess.Popen[str], local: Path) -> None:
    """No block but the one that the worker had was begun twice, and none was done twice."""
    out, err = driver.communicate(timeout=600)
    assert driver.returncode == 0, err
    same(run.store, local)
    done = Counter(event["block"] for event in run.events() if event["event"] == "done")
    assert done == dict.fromkeys(range(30), 1)
    lost = [event for event in run.events() if event["event"] in ("worker-lost", "worker-retired")]
    assert len(lost) >= 1
    assert sum(len(event["blocks"]) for event in lost) <= 1
    assert Store.open(local).fingerprint in out


def test_nothing_is_left_in_the_queue(queue: Slurm, tmp_path: Path) -> None:
    manifest = many_clips(tmp_path / "clips", 2000)  # too many to be done before it is interrupted
    run = OnSlurm(queue, manifest, tmp_path)
    driver = run.start()
    run.wait_for(2)
    assert queue.jobs()
    found = listening(psutil.Process(driver.pid))
    assert found and {host for host, _ in found} == {"127.0.0.1"}, "the interface that was named"
    assert not any(is_answered(each, tmp_path, seconds=2) for each in found)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=600)
    assert driver.returncode == 130, err
    assert queue.jobs() == []
    assert "Traceback" not in err and "run the command again to resume" in err
    assert not (run.store / "claims").exists()


# Retires as at the end of its --lifetime, within a block, when it has made some, however slow the
# machine is.
SHORT_LIVED = """
import asyncio
async def live(worker):
    while worker.state.executed_count < 15 or worker.data:
        await asyncio.sleep(0.005)
    await worker.close_gracefully(reason="worker-lifetime-reached")
def dask_setup(worker):
    worker.loop.add_callback(live, worker)
"""


def test_workers_whose_time_is_over_are_replaced(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    """One worker at a time, and none lives for all blocks.

    The user's own configuration of dask-jobqueue says so.
    """
    run = OnSlurm(queue, manifest, tmp_path, CLUSTER.replace("maximum = 2", "maximum = 1"))
    run.preload(SHORT_LIVED, "--lifetime", "3600s")
    done = run.run()
    assert done.returncode == 0, done.stderr
    same(run.store, local)
    assert len([e for e in run.events() if e["event"] == "job-submitted"]) > 1
    # Lost, when it ended its block just then: a result that nobody has keeps Dask from retiring it.
    assert {"worker-retired", "worker-lost"} & {event["event"] for event in run.events()}


@pytest.mark.long
def test_work_for_three_minutes_in_jobs_of_one(queue: Slurm, tmp_path: Path) -> None:
    """The real walltime: Slurm ends a job after a minute, and the worker retires before."""
    manifest = many_clips(tmp_path / "clips", 2000, 8)
    text = CLUSTER.replace("00:10:00", "00:01:00").replace("maximum = 2", "maximum = 1")
    run, begin = OnSlurm(queue, manifest, tmp_path, text), time.monotonic()
    done = run.run(1800)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin > 150, "not work for three minutes on this machine"
    events = run.events()
    assert len([e for e in events if e["event"] == "job-submitted"]) >= 3
    made = Counter(event["block"] for event in events if event["event"] == "done")
    assert made == dict.fromkeys(range(500), 1)
    log = (queue.folder / "log" / "slurmctld.log").read_text()
    assert "Time limit exhausted" not in log, "no job was ended by its walltime"
    plain = tmp_path / "local"
    subprocess.run(command(manifest, plain, "--workers", 2), check=True, capture_output=True)
    same(run.store, plain)


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


# Looks every second for jobs that have ended, not every half minute.
WATCHFUL = """
from avsc.preprocess.workers import jobs
jobs.LOOK_AFTER = 1.0
from avsc.preprocess.cli import main
main()
"""


def test_jobs_that_end_before_their_worker_are_one_line(
    queue: Slurm, manifest: Path, tmp_path: Path
) -> None:
    run = OnSlurm(queue, manifest, tmp_path, f"{CLUSTER}prologue = ['echo no scratch; exit 1']\n")
    run.command[:1] = [sys.executable, "-c", WATCHFUL]
    done = run.run()
    assert done.returncode == 1, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert " jobs in a row ended before their worker arrived. Their logs are in " in line
    assert line.endswith("; the newest ends in: no scratch")
    assert "Traceback" not in done.stderr
    assert queue.jobs() == []


def test_documented_job_array_then_close(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    script = Path(__file__).parents[2] / "docs" / "array.sh"
    store = tmp_path / "store"
    options = command(manifest, store)[2:]
    logs = submit(queue, tmp_path, "--array=1-3", "--mem=1G", script, *options)
    assert logs.count("is made.") == 3, logs
    closed_as(local, store)


def test_planned_job_array_then_close(
    queue: Slurm, manifest: Path, local: Path, tmp_path: Path
) -> None:
    """The script that `avsc-prep plan` writes; of work for seconds, one job of two workers."""
    script, store = tmp_path / "job.sh", tmp_path / ODD
    plan = [PREP, "plan", *command(manifest, store)[2:], "--cluster-script", script, "--cores", "2"]
    subprocess.run(plan, check=True, capture_output=True)
    logs = submit(queue, tmp_path, script)
    assert "Part 1/1 is made." in logs
    assert [re.sub(r"\d+-1\.log", "N", path.name) for path in tmp_path.glob("*.log")] == [
        f"{ODD}-N"
    ]
    closed_as(local, store)


def submit(queue: Slurm, folder: Path, *options: object) -> str:
    """Submit a script by `sbatch`, wait for its jobs, and return their logs."""
    subprocess.run(
        ["sbatch", *map(str, options)],
        env={**queue.environment, "PATH": f"{PREP.parent}:{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        check=True,
    )
    queue.wait_empty()
    return "\n".join(path.read_text() for path in folder.iterdir() if path.suffix in LOGS)


def closed_as(local: Path, store: Path) -> None:
    """Close a store by `avsc-prep close`, to the bytes that one machine makes."""
    closed = subprocess.run([PREP, "close", store], capture_output=True, text=True, check=False)
    assert closed.returncode == 0, closed.stderr
    same(store, local)
    assert Store.open(local).fingerprint in closed.stdout


def test_doctor_finds_the_cluster_well(queue: Slurm, tmp_path: Path) -> None:
    doctor = [PREP, "doctor", "--cluster", "slurm", "--out", tmp_path / "store"]
    done = subprocess.run(
        doctor, env=queue.environment, capture_output=True, text=True, check=False
    )
    line = "ok    cluster: sbatch, squeue, scancel are there; `squeue -h -t running` answers."
    assert line in done.stdout.splitlines(), done
