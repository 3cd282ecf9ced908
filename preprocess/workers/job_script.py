"""The script of a batch job, from a cluster's file and the user's configuration of dask-jobqueue.

A worker has one thread and no dashboard; it retires before its job's walltime, and its job ends.
"""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import dask
from distributed.security import Security

from avsc.manifests.errors import SettingError
from avsc.preprocess.workers.batch_systems import (
    BATCH_SYSTEMS,
    directive_path,
    lifetime,
    walltime_seconds,
)
from avsc.preprocess.workers.cluster_config import ClusterConfig
from avsc.preprocess.workers.local import SETTINGS, SILENT, bytes_of, quiet

WORKER_MEMORY = "2 GB"  # of one worker, when nothing else is said


def job_script(kind: str, settings: ClusterConfig, store: Path) -> str:
    """Return the script of a job, as it would be submitted; changes nothing."""
    logs = log_folder(kind, settings, store)
    with tempfile.TemporaryDirectory() as folder, quiet():
        kwargs = arguments(kind, settings, Path(folder))
        security = None
        if settings.tls:
            keys = {f"tls_worker_{n}": f"{logs}/{n}.pem" for n in ("key", "cert")}
            security = Security(tls_ca_file=f"{logs}/ca.pem", **keys)
        for name in ("shared_temp_directory", "scheduler_options", "silence_logs"):
            del kwargs[name]
        job = job_class(kind, cluster_class(kind).job_cls, logs)(
            f"{kwargs['protocol']}SCHEDULER:PORT", name="avsc-0", security=security, **kwargs
        )
        return str(job.job_script())


def job_class(kind: str, base: Any, logs: Path) -> Any:
    """Return one of dask-jobqueue's classes of jobs, with paths quoted for where they stand.

    dask-jobqueue (0.9) writes them into directives and the shell's line as they are.

    Args:
        kind: the batch system.

    Raises:
        SettingError: a directive of the batch system cannot hold this path.
    """
    name, remedy = "the folder of the jobs' logs", "Name another by log_folder."
    if os.path.expandvars(logs) != str(logs):  # which dask-jobqueue does
        raise SettingError(f"{name} is {str(logs)!r}, which holds a variable's name. {remedy}")

    def written(file: str) -> str:
        return directive_path(kind, str(logs), name, remedy, file)

    written("")

    class QuotedJob(base):  # type: ignore[misc]
        job_header: Any

        def __init__(self, *scheduler: str, security: Any = None, **kwargs: Any) -> None:
            super().__init__(*scheduler, security=security and _Quoted(security), **kwargs)
            if self.job_header is None:  # HTCondor's
                self.job_header_dict |= {"LogDirectory": written("")}
                return
            outputs = rf"(?m)^(#\S+ -[eo] ){re.escape(self.log_directory)}(.*)$"
            self.job_header = re.sub(outputs, lambda at: at[1] + written(at[2]), self.job_header)

    return QuotedJob


class _Quoted:
    """Credentials whose files' names are quoted for the shell."""

    def __init__(self, security: Security) -> None:
        self._security = security

    def get_tls_config_for_role(self, role: str) -> dict[str, str]:
        """Return the files of a role, by name."""
        found = self._security.get_tls_config_for_role(role)
        return {name: quote(value) for name, value in found.items() if value is not None}


def cluster_class(kind: str) -> Any:
    """Return dask-jobqueue's class; importing that package (0.9) takes Ctrl-C for itself."""
    handler = signal.getsignal(signal.SIGINT)
    import dask_jobqueue

    signal.signal(signal.SIGINT, handler)
    return getattr(dask_jobqueue, BATCH_SYSTEMS[kind].cluster)


def log_folder(kind: str, settings: ClusterConfig, store: Path) -> Path:
    """Return where jobs write their logs."""
    return Path(settings.log_folder or _configured(kind, "log-directory") or store / "logs")


def arguments(
    kind: str, settings: ClusterConfig, logs: Path, dashboard: bool = False
) -> dict[str, Any]:
    """Return the arguments of dask-jobqueue's class, but for its security."""
    asked = BATCH_SYSTEMS[kind]
    processes = settings.processes or _configured(kind, "processes") or settings.cores
    cores = settings.cores or _configured(kind, "cores") or processes or 1
    processes = processes or cores
    walltime = _walltime(kind, settings)
    memory = settings.memory or _configured(kind, "memory")
    memory = memory or f"{processes * bytes_of(WORKER_MEMORY, 'memory')} B"
    bytes_of(memory, "memory")
    kwargs: dict[str, Any] = {
        "cores": cores,
        "processes": processes,
        "memory": memory,
        "interface": settings.interface and quote(settings.interface),
        "local_directory": settings.local_folder and quote(settings.local_folder),
        "python": _configured(kind, "python") or quote(sys.executable),
        "log_directory": str(logs),
        "shared_temp_directory": _configured(kind, "shared-temp-directory") or str(logs),
        "job_name": "avsc",
        "job_script_prologue": _prologue(kind, settings),
        "worker_extra_args": _worker_options(kind, walltime),
        "protocol": "tls://" if settings.tls else "tcp://",
        "silence_logs": SILENT,
        "scheduler_options": {
            "dashboard": dashboard,
            "dashboard_address": "127.0.0.1:0",
            **(_configured(kind, "scheduler-options") or {}),
        },
    }
    kwargs |= {
        name: value
        for name, value in asked.defaults.items()
        if _configured(kind, name.replace("_", "-")) is None
    }
    kwargs |= _requests(kind, settings, walltime)
    return {
        name: value for name, value in {**kwargs, **settings.jobqueue}.items() if value is not None
    }


def _configured(kind: str, name: str) -> Any:
    """Return what the user's configuration of dask-jobqueue says, or what it has by default."""
    cluster_class(kind)
    return dask.config.get(f"jobqueue.{kind}.{name}", None)


def _walltime(kind: str, settings: ClusterConfig) -> int | None:
    """Return the walltime in seconds, or None when there is no limit."""
    if settings.walltime is not None:
        return walltime_seconds(settings.walltime)
    said = _configured(kind, "walltime")
    return None if said is None else walltime_seconds(str(said), BATCH_SYSTEMS[kind].short)


def _requests(kind: str, settings: ClusterConfig, walltime: int | None) -> dict[str, Any]:
    """Return queue, account, walltime and directives as a batch system's class takes them."""
    asked = BATCH_SYSTEMS[kind]
    kwargs: dict[str, Any] = {}
    lines = list(settings.directives)
    wanted: dict[str, Any] = {"queue": settings.queue, "account": settings.account}
    if walltime is not None:
        minutes, rest = divmod(walltime, 60)
        parts = {"hours": minutes // 60, "minutes": minutes % 60, "seconds": rest}
        wanted["walltime"] = asked.walltime.format(**parts)
    for name, value in wanted.items():
        if value is None:
            continue
        if name in asked.names:
            kwargs[asked.names[name]] = value
        elif name in asked.lines:
            lines.append(asked.lines[name].format(**{name: value}, total=walltime))
        else:
            raise SettingError(f"{kind} has no {name}; leave it out of the cluster's file.")
    if lines:
        known = _configured(kind, "job-extra-directives")
        kwargs["job_extra_directives"] = _as_mapping(lines) if isinstance(known, Mapping) else lines
    return kwargs


def _as_mapping(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _prologue(kind: str, settings: ClusterConfig) -> list[str]:
    """Return the shell lines before a worker: our settings of Dask, modules, the user's own."""
    ours = [
        f"export DASK_{name.upper().replace('.', '__').replace('-', '_')}={_quoted(value)}"
        for name, value in SETTINGS.items()
        if not name.startswith("distributed.scheduler")
    ]
    own = settings.prologue or _configured(kind, "job-script-prologue") or ()
    return [*ours, *(f"module load {module}" for module in settings.modules), *own]


def _quoted(value: object) -> str:
    """Return a setting's value for the shell; inside, with the quotes that it need not escape."""
    return quote(str(value).replace("'", '"'))


def _worker_options(kind: str, walltime: int | None) -> list[str]:
    """Return the worker options besides dask-jobqueue's own: one thread, no dashboard."""
    own = [str(option) for option in _configured(kind, "worker-extra-args") or ()]
    ours = ["--nthreads", "1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    if walltime is not None and "--lifetime" not in own:
        life, stagger = lifetime(walltime)
        ours += ["--lifetime", f"{life}s", "--lifetime-stagger", f"{stagger}s"]
    return [*own, *ours]
