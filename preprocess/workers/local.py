"""Dask workers, one thread and one decoder each.

Here those of this machine; `attached` and `jobs` give those of a running cluster and of batch jobs.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, LocalCluster, Status
from distributed.security import Security

from avsc.manifests.errors import AvscError, SettingError
from avsc.preprocess.interrupt import sigint_blocked
from avsc.preprocess.workers.dask_config import hidden_files

SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 1,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Dask looks at every worker's stack a hundred times a second, and fifty times whether its loop
    # is late: a twentieth of two cores, measured. glibc gives memory back at every chance when told
    # a limit: five times the page faults.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.tick.limit": "60s",
    # A scheduler keeps the last 1000 messages to each worker, and so up to 1000 blocks' clips.
    "distributed.admin.low-level-log-length": 10,
    "distributed.nanny.pre-spawn-environ": {  # whole: it takes the place of Dask's
        "MALLOC_TRIM_THRESHOLD_": None,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
    },
}

GONE = (Status.closed, Status.failed)
SILENT = logging.CRITICAL + 1
STARTS = 3  # times that workers on this machine are started before giving up
RESTARTS = 10  # times that those are started again whose keepers gave up
# Dask ends the keeper (nanny) of a worker that is not back in 15 s, and with it the worker that it
# is just starting: a slow machine would be left without workers, and wait for them for ever.
KEEP_NANNIES = {"distributed.deploy.lost-worker-timeout": "1 day"}
Record = Callable[..., None]
Say = Callable[[str], None]


def _nothing(record: Record, say: Say) -> None:
    """Find nothing wrong."""


@dataclass(frozen=True)
class Workers:
    """Workers that can be given blocks.

    Attributes:
        client: of their scheduler.
        most: how many worker processes there may be.
        memory: how much a worker may have, in words.
        remedy: how to give workers more memory, in words.
        dashboard: address of Dask's dashboard, or empty.
        note: what the user should know of them, or empty.
        check: looks after them; called every second with a function that records an event and one
            that tells the user something. Raises an AvscError when there are no workers.
    """

    client: Client
    most: int
    memory: str
    remedy: str
    dashboard: str = ""
    note: str = ""
    check: Callable[[Record, Say], None] = _nothing

    @property
    def window(self) -> int:
        """How many blocks to have out at a time."""
        return self.most + 1 + self.most // 8


def bytes_of(size: str, name: str) -> int:
    """Return the bytes of a size such as ``"2 GB"``.

    Raises:
        SettingError: it is not written so, or nothing.
    """
    with suppress(ValueError, AttributeError, TypeError):
        if (found := int(dask.utils.parse_bytes(size))) > 0:
            return found
    raise SettingError(f"{name} is {size!r}; wanted a size such as 2GB or 800MB.")


@contextmanager
def quiet() -> Iterator[None]:
    """Apply our settings of Dask, and let it log nothing."""
    with dask.config.set(SETTINGS):
        logging.getLogger("distributed").setLevel(SILENT)
        yield


@contextmanager
def local_workers(count: int, memory_limit: str | None, dashboard: bool) -> Iterator[Workers]:
    """Start worker processes on this machine; only this user can reach them.

    The scheduler listens on the loopback device, which every user of the machine can reach, and
    any client can run programs: hence TLS, with credentials that live as long as the run.

    Args:
        count: number of processes.
        memory_limit: what a worker may have, such as ``"2 GB"``; None for no limit.
        dashboard: whether Dask's dashboard is to be served, on the loopback device.
    """
    if memory_limit is not None:
        bytes_of(memory_limit, "--memory-limit")
    with (
        quiet(),
        dask.config.set(KEEP_NANNIES),
        hidden_files() as variables,
        _local_cluster(count, memory_limit, dashboard, variables) as cluster,
        Client(cluster) as client,
    ):
        link = client.dashboard_link if dashboard else ""
        memory = memory_limit or "the system"
        yield Workers(
            client, count, memory, "--memory-limit", link, check=_Supervisor(cluster).check
        )


class _Supervisor:
    """Replaces workers whose nannies gave up."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster, self._left = cluster, RESTARTS

    def check(self, record: Record, say: Say) -> None:
        """Look after the workers.

        Raises:
            AvscError: they could not be started too often.
        """
        found = tuple(self._cluster.workers.items())
        if not (dead := [name for name, nanny in found if nanny.status in GONE]):
            return
        if not self._left:
            raise AvscError(
                f"the worker processes could not be started again, {RESTARTS} times over. Look at "
                "the memory that is left, or start fewer with --workers; what is done is kept."
            )
        self._left -= 1
        say("a worker could not be started again; another is started in its place.")
        with sigint_blocked():
            self._cluster.sync(self._replace, dead)

    async def _replace(self, dead: list[Any]) -> None:
        for name in dead:
            del self._cluster.workers[name]
        self._cluster.scale(len(self._cluster.worker_spec))


def _local_cluster(
    count: int, memory_limit: str | None, dashboard: bool, variables: dict[str, str]
) -> LocalCluster:
    """Start the processes; one that dies before it works is no reason to give up at once."""
    for left in reversed(range(STARTS)):
        try:
            with sigint_blocked():
                return LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    protocol="tls://",
                    security=Security.temporary(),
                    memory_limit=memory_limit or 0,
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": dashboard},
                    silence_logs=SILENT,
                    env=variables,
                )
        except RuntimeError as fault:
            if not left:
                raise AvscError(
                    f"the worker processes did not start, {STARTS} times over ({fault}). Look at "
                    "the memory that is left, or start fewer with --workers."
                ) from fault
    raise AssertionError("unreachable")
