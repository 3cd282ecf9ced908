"""Workers in batch jobs, by dask-jobqueue.

The scheduler runs in the driver, on a login node. Jobs are submitted while there are blocks for
them, replaced when they end, and cancelled when the run ends, however it ends. Scheduler and
workers speak TLS with credentials made for the run: any client could run programs as the user.

dask-jobqueue looks after the workers that came; `BatchJobs` looks after the jobs whose workers did
not: those that the batch system refused, and those that ended before their worker arrived.
"""

import asyncio
import queue
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from re import MULTILINE, search
from typing import Any

import dask
from distributed import Client
from distributed.core import Status
from distributed.security import Security

from avsc.manifests.errors import AvscError
from avsc.preprocess.workers.batch_systems import BATCH_SYSTEMS
from avsc.preprocess.workers.cluster_config import ClusterConfig
from avsc.preprocess.workers.job_script import arguments, cluster_class, job_class, log_folder
from avsc.preprocess.workers.local import Record, Say, Workers, quiet

REFUSALS = 20  # jobs in a row that the batch system may refuse when it took some before
FRUITLESS = 5  # jobs in a row that may end before their worker arrives
LOOK_AFTER = 30.0  # seconds between two looks at the jobs
TLS_IS_OFF = "TLS is off: any client that reaches the scheduler's port can run programs as you."
ANSWER = 60.0  # seconds that the batch system may take to say whether there is a job


@contextmanager
def job_workers(
    kind: str, settings: ClusterConfig, store: Path, most: int, dashboard: bool
) -> Iterator[Workers]:
    """Start workers in jobs of a batch system, as many as there is work for.

    Args:
        kind: a name in `BATCH_SYSTEMS`.
        settings: what the cluster's file says.
        store: the store's folder, which all nodes see.
        most: how many workers there may be.
        dashboard: whether Dask's dashboard is to be served, on the loopback device.
    """
    asked = BATCH_SYSTEMS[kind]
    if shutil.which(asked.submit) is None:
        raise AvscError(
            f"{asked.submit}: no such command here, and --cluster {kind} submits jobs by it. Run "
            "on a login node of the cluster, load what brings the command, or use --part in a job "
            "array."
        )
    with quiet():
        kwargs = arguments(kind, settings, log_folder(kind, settings, store), dashboard)
        logs = Path(kwargs["log_directory"])
        logs.mkdir(parents=True, exist_ok=True)
        jobs = BatchJobs(kind, logs)
        security = Security.temporary() if settings.tls else None
        with (
            jobs.cluster_class(cluster_class(kind))(security=security, **kwargs) as cluster,
            Client(cluster) as client,
        ):
            jobs.cluster = cluster
            adaptive = {"interval": "1s", "wait_count": 10, "target_duration": "0.1s"}
            cluster.adapt(minimum=min(settings.minimum, most), maximum=most, **adaptive)
            memory = f"{kwargs['memory']} for {kwargs['processes']} in a job"
            link = client.dashboard_link if dashboard else ""
            remedy = "memory in the cluster's file"
            note = "" if settings.tls else TLS_IS_OFF
            yield Workers(client, most, memory, remedy, link, note, jobs.check)


class BatchJobs:
    """The jobs of a run.

    Args:
        kind: their batch system, a name in `BATCH_SYSTEMS`.
        logs: the folder of their logs.

    Attributes:
        cluster: of dask-jobqueue, once it is there.
    """

    def __init__(self, kind: str, logs: Path) -> None:
        self.cluster: Any = None
        self._kind, self._asked, self._logs = kind, BATCH_SYSTEMS[kind], logs
        self._said: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._accepted = self._refusals = self._fruitless = 0
        self._waited = False
        self._looked = time.monotonic()

    def cluster_class(self, base: Any) -> Any:
        """Return one of dask-jobqueue's classes, with jobs that say what becomes of them.

        It also replaces a job of several workers when all of them are gone, which
        `distributed.SpecCluster` (2026.8) does for jobs of one worker only.
        """
        base_job: Any = job_class(self._kind, base.job_cls, self._logs)
        said = self._said

        class ReportingJob(base_job):  # type: ignore[misc]
            async def _submit_job(self, script_filename: str) -> Any:
                try:
                    answer = await super()._submit_job(script_filename)
                except (RuntimeError, OSError) as fault:
                    said.put(("job-refused", str(fault)))
                    self.status = Status.failed
                    raise
                said.put(("job-submitted", answer.strip()))
                return answer

        class Cluster(base):  # type: ignore[misc]
            job_cls = ReportingJob

            def _update_worker_status(self, op: str, msg: Any) -> None:
                known = self.scheduler_info["workers"]
                name = known[msg]["name"] if op == "remove" and msg in known else None
                super()._update_worker_status(op, msg)
                if name is not None:
                    delay = dask.config.get("distributed.deploy.lost-worker-timeout")
                    wait = dask.utils.parse_timedelta(delay)
                    asyncio.get_running_loop().call_later(wait, self._replace, name)

            def _replace(self, worker: str) -> None:
                present = {each["name"] for each in self.scheduler_info["workers"].values()}
                for job, spec in self.worker_spec.items():
                    members = {f"{job}{suffix}" for suffix in spec.get("group", ())}
                    if worker in members and not members & present and job in self.workers:
                        self._futures.add(asyncio.ensure_future(self.workers.pop(job).close()))

        return Cluster

    def check(self, record: Record, say: Say) -> None:
        """Look after the jobs; called every second.

        Raises:
            AvscError: the batch system refuses jobs, or they end before their workers arrive.
        """
        while not self._said.empty():
            event, text = self._said.get()
            record(event, job=" ".join(text.split()))
            if event == "job-submitted":
                self._accepted, self._refusals = self._accepted + 1, 0
                continue
            self._refusals += 1
            if self._refusals >= REFUSALS or not self._accepted:
                raise AvscError(
                    f"{self._asked.submit} refuses the jobs: {_reason(text)}. Fix the cluster "
                    "file (--dry-run prints the script of a job)."
                )
        if time.monotonic() - self._looked >= LOOK_AFTER:
            self._look(record, say)
            self._looked = time.monotonic()

    def _look(self, record: Record, say: Say) -> None:
        """Give up jobs that have ended although their worker never came; others replace them."""
        workers = tuple(self.cluster.scheduler_info["workers"].values())  # Dask's thread changes it
        arrived = {str(worker["name"]) for worker in workers}
        if arrived:
            self._fruitless, self._waited = 0, False
        elif not self._waited:
            self._waited = True
            say(f"Waiting: no worker yet, {len(self.cluster.workers)} jobs submitted.")
        for name, job in tuple(self.cluster.workers.items()):
            if any(worker == str(name) or worker.startswith(f"{name}-") for worker in arrived):
                continue
            if job.job_id is not None and self._exists(job.job_id):
                return  # the oldest are first in the queue; those behind it can wait
            record("job-gone", job=job.job_id)
            job.status = Status.closed  # or Dask would miss it at its own end
            self.cluster.loop.add_callback(self.cluster.workers.pop, name, None)
            self._fruitless += 1
        if self._fruitless >= FRUITLESS:
            raise AvscError(
                f"{self._fruitless} jobs in a row ended before their worker arrived. Their logs "
                f"are in {self._logs}{_last_words(self._logs)}"
            )

    def _exists(self, job: str) -> bool:
        """Ask the batch system whether there is still such a job."""
        command = [*self._asked.status, job]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=ANSWER, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return True
        return bool(done.stdout.strip()) and not search(self._asked.ended, done.stdout, MULTILINE)


def _reason(text: str) -> str:
    """Return what a command that failed wrote to its standard error."""
    _, found, error = text.partition("stderr:\n")
    return " ".join((error if found else text).split())


def _last_words(logs: Path) -> str:
    """Return the last line of the newest log that says anything."""
    for path in sorted(logs.glob("*"), key=lambda p: p.stat().st_mtime, reverse=True):
        if path.is_file() and (lines := path.read_text(errors="replace").strip().splitlines()):
            return f"; the newest ends in: {lines[-1]}"
    return "."
