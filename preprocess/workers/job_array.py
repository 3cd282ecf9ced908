"""Job arrays: each job makes one share of a store's blocks, on one node of Slurm."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import click

from avsc.manifests.errors import SettingError
from avsc.preprocess.workers.batch_systems import directive_path

FILLED = 0.75  # of a job's time is planned for; the rest is for slower nodes and shared disks
DRIVER_BYTES = 400_000_000  # beside the workers

TEMPLATE = """\
#!/bin/bash
# Makes {store}
# in {jobs} jobs of {cores} workers. Submit it with `sbatch`. When the jobs have ended:
#     {program} close {store}
# When some did not end well, submit it again: only what is missing is made.
#SBATCH --job-name=avsc-extract
#SBATCH --array=1-{jobs}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cores}
#SBATCH --mem={megabytes}M
#SBATCH --time={walltime}
#SBATCH --output={log}
set -eu
exec {command} --workers {cores} --part "$SLURM_ARRAY_TASK_ID/{jobs}"
"""


@dataclass(frozen=True)
class ArrayShare:
    """ArrayShare `number` of `count`, counted from 1.

    Attributes:
        number: 1 to `count`.
        count: number of parts.
    """

    number: int
    count: int

    @property
    def blocks(self) -> slice:
        """Which of all blocks belong to this share.

        >>> list(range(7)[ArrayShare(2, 3).blocks])
        [1, 4]
        """
        return slice(self.number - 1, None, self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class ArrayShareType(click.ParamType[ArrayShare]):
    """A share as typed, such as ``2/20``."""

    name = "part"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ArrayShare:
        """Return the share that a text names."""
        if isinstance(value, ArrayShare):
            return value
        match = re.fullmatch(r"(\d+)/(\d+)", str(value))
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            self.fail(f"{value!r} is no part; wanted is I/N with I from 1 to N, as in 2/20.")
        return ArrayShare(int(match[1]), int(match[2]))


ARRAY_SHARE = ArrayShareType()


@dataclass(frozen=True)
class ArrayJob:
    """What each job of the array is given.

    Attributes:
        walltime: seconds.
        cores: of one node.
        worker_bytes: memory of a worker.
    """

    walltime: int
    cores: int
    worker_bytes: int


def jobs_needed(seconds: float, blocks: int, job: ArrayJob) -> int:
    """Return the length of the array: no more jobs than blocks.

    Args:
        seconds: of all the work on one core.
        blocks: number of blocks that are not done.

    Raises:
        SettingError: a block does not fit into a job.
    """
    usable = FILLED * job.walltime
    if seconds / blocks > usable:
        raise SettingError(
            f"--walltime: a block takes {seconds / blocks / 60:.0f} min and a job has "
            f"{usable / 60:.0f} min for work; give it more time, or a new store a smaller "
            "--block-size."
        )
    in_turn = int(usable // (seconds / blocks))  # blocks that a worker makes in a job's time
    return max(ceil(blocks / (in_turn * job.cores)), 1)


def script(arguments: Sequence[str], store: Path, count: int, walltime: str, job: ArrayJob) -> str:
    """Return the batch script.

    Args:
        arguments: options of `avsc-prep extract` that say what to make.
        store: the store's folder.
        count: length of the array.
        walltime: as Slurm writes it.

    Raises:
        SettingError: a value holds a line's end, which would end a comment or a directive.
    """
    program = _program()
    for option, value in pairwise(arguments):
        if re.search(r"[\n\r]", value):
            raise SettingError(
                f"{option} is {value!r}; a batch script holds no name of two lines. Rename it, or "
                "reach it by a link."
            )
    return TEMPLATE.format(
        store=shlex.quote(str(store)),
        program=program,
        jobs=count,
        cores=job.cores,
        megabytes=ceil((job.cores * job.worker_bytes + DRIVER_BYTES) / 1e6),
        walltime=walltime,
        log=directive_path(
            "slurm", store.name, "--out", "Name another folder by --out.", "-%A-%a.log"
        ),
        command=shlex.join([*shlex.split(program), "extract", *arguments]),
    )


def _program() -> str:
    """Return the program as a job finds it, whose PATH may be another."""
    beside = Path(sys.executable).with_name("avsc-prep")
    return shlex.quote(str(beside)) if beside.exists() else "avsc-prep"
