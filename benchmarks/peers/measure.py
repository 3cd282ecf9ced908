"""Running a program with all that it starts: its time, the processor's, its end by a kill.

The processor's time is that of every process below it, also of daemons that outlive it: this
process adopts them (`PR_SET_CHILD_SUBREAPER`, Linux), ends them and waits for them. Ray's node lets
the kernel forget what its workers used; so what was last seen of each is added up, too, and the
larger figure taken.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
POLL = 0.05  # seconds
SILENT = {"DATACHAIN_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""So that no tool reports its use over the network."""

HERE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Usage:
    """What a program took.

    Attributes:
        seconds: by the clock.
        cpu: of the processor, seconds.
        status: 0 if it did all; negative if it was killed.
        said: the end of what it wrote.
    """

    seconds: float
    cpu: float
    status: int
    said: str


def adopt() -> None:
    """Become the parent of orphans below this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    arguments: Sequence[object],
    log: Path,
    timeout: float = 900,
    kill_when: Callable[[], bool] = lambda: False,
    watch: Callable[[int], None] = lambda _: None,
) -> Usage:
    """Run a module of `benchmarks` and everything it starts, until it ends or is to be killed.

    Args:
        arguments: of Python.
        log: where its output goes.
        timeout: seconds after which it is killed.
        kill_when: asked twenty times a second whether to kill everything (SIGKILL).
        watch: called as often with the number of the process.
    """
    environment = {
        **os.environ,
        **SILENT,
        "PYTHONPATH": str(HERE),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    }
    begin, before, seen = time.perf_counter(), _children(), {}
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=log.parent,
        )
        while child.poll() is None:
            if kill_when() or time.perf_counter() - begin > timeout:
                _kill_below()
            watch(child.pid)
            seen |= _below()
            time.sleep(POLL)
    seconds = time.perf_counter() - begin
    _end_orphans()
    said = log.read_text(errors="replace")[-2000:]
    cpu = max(_children() - before, sum(seen.values()))
    return Usage(seconds, cpu, child.returncode, said)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _below() -> dict[int, float]:
    """Return the seconds of the processor of every process below, by its number."""
    used = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used


def _kill_below() -> None:
    """Kill all at once, as a node's end does: stop them first, so that none sees another die."""
    below = psutil.Process().children(recursive=True)
    for kind in (signal.SIGSTOP, signal.SIGKILL):
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(kind)


def _end_orphans() -> None:
    """End what a program left behind, and wait for all of it."""
    while below := psutil.Process().children(recursive=True):
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(POLL)
