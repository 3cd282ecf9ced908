"""The file that says what to ask a cluster's batch system for: ``--cluster-config FILE.toml``.

What dask-jobqueue calls by different names in its classes has one name here; what only one class
has goes to the table ``[jobqueue]`` under its own name. `docs/cluster.toml` shows all of it. What a
file leaves out is taken from the user's configuration of Dask (``~/.config/dask/jobqueue.yaml``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from avsc.manifests.errors import SettingError
from avsc.manifests.text import did_you_mean, read_toml
from avsc.preprocess.workers.batch_systems import walltime_seconds

WORDS = (
    "queue", "account", "memory", "walltime", "interface", "local_folder", "log_folder",
)  # fmt: skip
"""Settings that are one word of a job's script."""


@dataclass(frozen=True)
class ClusterConfig:
    """What a cluster's file says; None or empty for what it leaves out.

    Attributes:
        queue: partition or queue.
        account: account or project that is charged.
        cores: of one job.
        processes: workers of one job, one thread each.
        memory: of one job, such as ``"16 GB"``.
        walltime: of one job, ``[days-]hours:minutes:seconds``.
        directives: further lines for the batch system, without its prefix.
        modules: modules to load before a worker starts.
        prologue: shell lines to run before a worker starts.
        interface: network device by which jobs and scheduler reach each other.
        local_folder: fast scratch folder of a node.
        log_folder: of the jobs' logs and the run's credentials; seen by all nodes.
        minimum: workers to keep although there is nothing to do.
        maximum: workers to have at most.
        tls: whether scheduler and workers know each other by certificates.
        jobqueue: further arguments of dask-jobqueue's class.
    """

    queue: str | None = None
    account: str | None = None
    cores: int | None = None
    processes: int | None = None
    memory: str | None = None
    walltime: str | None = None
    directives: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str | None = None
    local_folder: str | None = None
    log_folder: str | None = None
    minimum: int = 0
    maximum: int = 8
    tls: bool = True
    jobqueue: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("cores", "processes", "maximum"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"{name} is {value}; at least 1 is wanted.")
        if not 0 <= self.minimum <= self.maximum:
            raise SettingError(
                f"minimum is {self.minimum}; 0 to maximum, which is {self.maximum}, is wanted."
            )
        for name in (*WORDS, "directives", "modules"):
            value = getattr(self, name) or ()
            for text in (value,) if isinstance(value, str) else value:
                if re.search(r"[\x00-\x1f\x7f]", text):
                    raise SettingError(
                        f"{name} is {text!r}; one line is wanted, for it becomes one in a script."
                    )
        if self.walltime is not None:
            walltime_seconds(self.walltime)


def read_cluster_config(path: Path) -> ClusterConfig:
    """Read a cluster's file.

    Raises:
        SettingError: it cannot be read, a name in it is not known, or a value is of another kind.
    """
    values = read_toml(path)
    hints = get_type_hints(ClusterConfig)
    try:
        return ClusterConfig(**{name: _value(name, value, hints) for name, value in values.items()})
    except SettingError as fault:
        raise SettingError(f"{path}: {fault}") from fault


def _value(name: str, value: Any, hints: Mapping[str, Any]) -> Any:
    if name not in hints:
        known = [setting.name for setting in fields(ClusterConfig)]
        raise SettingError(f"no setting is called {name!r}.{did_you_mean(name, known)}")
    for kind, word in ((bool, "true or false"), (int, "a whole number"), (str, "a text")):
        if hints[name] in (kind, kind | None):
            if type(value) is not kind:
                raise SettingError(f"{name} is {value!r}; {word} is wanted.")
            return value
    if hints[name] == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise SettingError(f"{name} is {value!r}; a list of texts is wanted.")
        return tuple(value)
    if not isinstance(value, dict):
        raise SettingError(f"{name} is {value!r}; a table is wanted.")
    return value
