"""Where the work of a run is done: on this machine, in batch jobs, or by a cluster that is up."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from avsc.preprocess.cluster_file import ClusterFile, read_cluster_file
from avsc.preprocess.request import Request

if TYPE_CHECKING:
    from avsc.preprocess.workers import Workers


@dataclass(frozen=True)
class Place:
    """What the options say about the workers.

    Attributes:
        count: how many there may be, or None.
        memory_limit: what one of this machine may have, or None.
        cluster: batch system whose jobs they are to run in, or None.
        cluster_config: what to ask it for, or None.
        scheduler: address or file of a Dask scheduler that is up, or None.
        dashboard: whether Dask's dashboard is to be served.
    """

    count: int | None
    memory_limit: str | None
    cluster: str | None
    cluster_config: Path | None
    scheduler: str | None
    dashboard: bool
    settings: ClusterFile = field(init=False)

    def __post_init__(self) -> None:
        if self.cluster and self.scheduler:
            raise click.UsageError("Name either --cluster or --scheduler.")
        if self.cluster_config and not self.cluster:
            raise click.UsageError("--cluster-config is for --cluster KIND.")
        if self.memory_limit and (self.cluster or self.scheduler):
            raise click.UsageError(
                "--memory-limit is for workers of this machine; a cluster's is in its file."
            )
        if self.scheduler and self.dashboard:
            raise click.UsageError("--dashboard: a cluster that is up has its own.")
        read = read_cluster_file(self.cluster_config) if self.cluster_config else ClusterFile()
        object.__setattr__(self, "settings", read)

    def script(self, store: Path) -> str:
        """Return the script of the jobs that would be submitted; empty when there are none."""
        if not self.cluster:
            return ""
        from avsc.preprocess.job_script import job_script

        return job_script(self.cluster, self.settings, store)

    def workers(self, request: Request, tasks: int) -> AbstractContextManager["Workers"]:
        """Return the workers, no more than there are tasks for."""
        if self.scheduler:
            from avsc.preprocess.running import running_workers

            folders = (request.store, request.dataset.root)
            return running_workers(self.scheduler, folders, self.count)
        if self.cluster:
            from avsc.preprocess.jobs import job_workers

            most = min(self.count or self.settings.maximum, tasks)
            return job_workers(self.cluster, self.settings, request.store, most, self.dashboard)
        from avsc.preprocess.workers import local_workers

        return local_workers(min(self.count or _cores(), tasks), self.memory_limit, self.dashboard)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
