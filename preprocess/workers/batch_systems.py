"""The batch systems that workers can be started in: a table, and how they write times.

dask-jobqueue writes the job scripts; this is what its six classes call by different names, and the
commands that it does not know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from avsc.manifests.errors import SettingError

PLAIN = r"\w./+=,@-"  # what every batch system takes as it is


@dataclass(frozen=True)
class BatchSystem:
    """A batch system as dask-jobqueue knows it.

    Attributes:
        cluster: its class in `dask_jobqueue`.
        submit: the command that takes a job.
        status: the command that, given a job's number, says something while there is such a job.
        ended: what it may say of a job that has ended.
        names: the class's argument for each of `queue`, `account` and `walltime` that it has.
        lines: the directive for each of them that it has no argument for.
        walltime: how it writes a time, by hours, minutes, seconds, and seconds in all.
        short: seconds of the first field of a walltime that has one field, or two.
        defaults: arguments that nothing else may have set.
        quoted: the mark that holds a path with blanks and the like together; itself it is taken
            after a backslash.
        doubled: characters of a path that stand for something else unless they come twice.
        refused: what else a path in a directive may not hold; by default all that is not known to
            be taken as it is by every version.
    """

    cluster: str
    submit: str
    status: tuple[str, ...]
    ended: str
    names: Mapping[str, str]
    lines: Mapping[str, str] = field(default_factory=dict)
    walltime: str = "{hours:02}:{minutes:02}:{seconds:02}"
    short: tuple[int, int] = (1, 60)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    quoted: str = ""
    doubled: str = ""
    refused: str = rf"[^{PLAIN}]"


_QUEUE_AND_TIME = {"queue": "queue", "walltime": "walltime"}
_NEVER = r"(?!)"
BATCH_SYSTEMS = {
    "slurm": BatchSystem(
        cluster="SLURMCluster",
        submit="sbatch",
        status=("squeue", "--noheader", "--jobs"),
        ended=_NEVER,
        names={**_QUEUE_AND_TIME, "account": "account"},
        short=(60, 60),
        # sbatch (22.05) takes a word of a directive by its own rules: quotes hold it together, and
        # a backslash in a file's name turns off what `%` stands for.
        quoted='"',
        doubled="%",
        refused=r"[\\\x00-\x1f\x7f]",
    ),
    "pbs": BatchSystem(
        cluster="PBSCluster",
        submit="qsub",
        status=("qstat",),
        ended=_NEVER,
        names={**_QUEUE_AND_TIME, "account": "account"},
    ),
    "lsf": BatchSystem(
        cluster="LSFCluster",
        submit="bsub",
        status=("bjobs", "-noheader"),
        ended=r"\b(DONE|EXIT)\b",
        names={**_QUEUE_AND_TIME, "account": "project"},
        walltime="{hours:02}:{minutes:02}",
        short=(60, 3600),
    ),
    "sge": BatchSystem(
        cluster="SGECluster",
        submit="qsub",
        status=("qstat", "-j"),
        ended=_NEVER,
        names={**_QUEUE_AND_TIME, "account": "project"},
    ),
    "htcondor": BatchSystem(
        cluster="HTCondorCluster",
        submit="condor_submit",
        status=("condor_q", "-af", "JobStatus"),
        ended=r"^[34]$",
        names={},
        lines={
            "account": "accounting_group = {account}",
            "walltime": "allowed_job_duration = {total}",
        },
        defaults={"disk": "1 GB"},
    ),
    "oar": BatchSystem(
        cluster="OARCluster",
        submit="oarsub",
        status=("oarstat", "-s", "-j"),
        ended=r"Terminated|Error",
        names={**_QUEUE_AND_TIME, "account": "project"},
        short=(3600, 3600),
        defaults={"memory_per_core_property_name": "not_applicable"},
    ),
}


def directive_path(kind: str, path: str, name: str, remedy: str, pattern: str = "") -> str:
    """Return a path as it is written into a directive.

    Args:
        kind: a name in `BATCH_SYSTEMS`.
        name: what it is, for the message.
        remedy: what to do where it cannot be written, for the message.
        pattern: follows the path, and is written as it is.

    Raises:
        SettingError: the batch system would take it for something else.

    >>> directive_path("slurm", "/my data/50%", "", "", "-%j.log")
    '"/my data/50%%-%j.log"'
    """
    system = BATCH_SYSTEMS[kind]
    if found := re.search(system.refused, path):
        raise SettingError(
            f"{name} is {path!r}: a path with {found[0]!r} cannot be written into a directive of "
            f"{kind}. {remedy}"
        )
    if not (system.quoted and re.search(rf"[^{PLAIN}]", path)):
        return path + pattern
    mark, twice = system.quoted, system.doubled
    return f"{mark}{path.replace(twice, 2 * twice).replace(mark, chr(92) + mark)}{pattern}{mark}"


def walltime_seconds(
    walltime: str, short: tuple[int, int] | None = None, name: str = "walltime"
) -> int:
    """Return a walltime in seconds.

    Args:
        walltime: ``[days-]hours:minutes:seconds``.
        short: seconds that the first field stands for when there is one field, and when there are
            two; None when there must be three.
        name: of the setting, for the message.

    Raises:
        SettingError: it is not written so.

    >>> walltime_seconds("1-02:00:30"), walltime_seconds("90", (60, 60))
    (93630, 5400)
    >>> walltime_seconds("00:30", (60, 3600))
    1800
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", walltime.strip())
    numbers = [int(number) for number in found[2].split(":")] if found else []
    if not found or (len(numbers) < 3 and short is None):
        raise SettingError(f"{name} is {walltime!r}; [days-]hours:minutes:seconds is wanted.")
    days = int(found[1] or 0)
    first = 3600 if days or len(numbers) == 3 or short is None else short[len(numbers) - 1]
    units = (first, first / 60, first / 3600)
    return 86400 * days + round(sum(n * unit for n, unit in zip(numbers, units, strict=False)))


def lifetime(walltime: int) -> tuple[int, int]:
    """Return how long a worker may live and by how much that may vary, in seconds.

    A worker must have retired before its job is ended: a fifth of the walltime, or five minutes, is
    kept for its start and its end. Workers that began together must not all retire together.

    >>> lifetime(60), lifetime(4 * 3600)
    ((43, 5), (13800, 300))
    """
    last = walltime - min(walltime // 5, 300)
    stagger = min(walltime // 12, 300)
    return last - stagger, stagger
