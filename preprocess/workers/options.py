"""Options that choose the workers: on this machine, in batch jobs, or of a running Dask cluster."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avsc.preprocess.request import ExtractionRequest, with_options
from avsc.preprocess.workers.batch_systems import BATCH_SYSTEMS
from avsc.preprocess.workers.cluster_config import ClusterConfig, read_cluster_config

if TYPE_CHECKING:
    from avsc.preprocess.workers.local import Workers


OPTIONS = (
    click.option(
        "--workers", type=click.IntRange(1), help="Worker processes.  [default: one per core]"
    ),
    click.option("--memory-limit", metavar="SIZE", help="Kill a worker that uses more, e.g. 2GB."),
    click.option(
        "--cluster",
        type=click.Choice(list(BATCH_SYSTEMS)),
        help="Start the workers in jobs of a batch system, up to --workers or the file's maximum.",
    ),
    click.option(
        "--cluster-config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML file of what a job requests; see docs/cluster.toml. What it omits is "
        "taken from your configuration of dask-jobqueue.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the workers of a running Dask cluster: tcp://..., tls://... or scheduler file.",
    ),
    click.option("--dashboard/--no-dashboard", default=False, help="Serve Dask's dashboard here."),
)


@dataclass(frozen=True)
class WorkerOptions:
    """What the options say about the workers.

    Attributes:
        count: how many there may be, or None.
        memory_limit: what one of this machine may have, or None.
        cluster: batch system whose jobs they are to run in, or None.
        cluster_config: what to ask it for, or None.
        scheduler: address or file of a Dask running scheduler, or None.
        dashboard: whether Dask's dashboard is to be served.
    """

    count: int | None
    memory_limit: str | None
    cluster: str | None
    cluster_config: Path | None
    scheduler: str | None
    dashboard: bool
    settings: ClusterConfig = field(init=False)

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
            raise click.UsageError("--dashboard: a running cluster has its own.")
        read = read_cluster_config(self.cluster_config) if self.cluster_config else ClusterConfig()
        object.__setattr__(self, "settings", read)

    def script(self, store: Path) -> str:
        """Return the script of the jobs that would be submitted; empty when there are none."""
        if not self.cluster:
            return ""
        self.import_dask()
        from avsc.preprocess.workers.job_script import job_script

        return job_script(self.cluster, self.settings, store)

    def import_dask(self) -> None:
        """Import Dask, with the user's configuration of it where the workers are a cluster's.

        Raises:
            SettingError: that configuration cannot be used.
        """
        from avsc.preprocess.workers.dask_config import hidden_files, import_dask

        with nullcontext() if self.cluster or self.scheduler else hidden_files():
            import_dask()

    def workers(self, request: ExtractionRequest, tasks: int) -> AbstractContextManager["Workers"]:
        """Return the workers, no more than there are tasks for."""
        if self.scheduler:
            from avsc.preprocess.workers.attached import attached_workers

            folders = (request.store, request.dataset.root)
            return attached_workers(self.scheduler, folders, self.count)
        if self.cluster:
            from avsc.preprocess.workers.jobs import job_workers

            most = min(self.count or self.settings.maximum, tasks)
            return job_workers(self.cluster, self.settings, request.store, most, self.dashboard)
        from avsc.preprocess.workers.local import local_workers

        return local_workers(min(self.count or _cores(), tasks), self.memory_limit, self.dashboard)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def add_worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; it takes a `WorkerOptions` as ``worker_options`` instead."""

    @wraps(command)
    def read(
        workers: int | None,
        memory_limit: str | None,
        cluster: str | None,
        cluster_config: Path | None,
        scheduler: str | None,
        dashboard: bool,
        **others: Any,
    ) -> Any:
        worker_options = WorkerOptions(
            workers, memory_limit, cluster, cluster_config, scheduler, dashboard
        )
        return command(worker_options=worker_options, **others)

    return with_options(read, OPTIONS)
