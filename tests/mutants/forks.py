"""Running tests in forks of one process that has imported what takes long.

The libraries (torch alone takes seconds) are imported once and none of the program: each fork
imports that itself, a mutant in the place of one of its modules, and runs pytest. Several run at
once. A fork that outlives its limit is killed with all that it started.
"""

import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from mutants.mutant import HERE, ROOT, Mutant

LIMIT = 300
"""Seconds for the tests of one mutant."""

SLOW = (
    *("numpy", "scipy.sparse", "scipy.fft", "h5py", "av", "soundfile", "soxr", "cv2", "simplejpeg"),
    *("hypothesis", "rich.progress", "psutil", "numba", "sklearn.metrics", "matplotlib.figure"),
    *("torch", "torchvision.transforms.v2", "timm", "safetensors", "dask", "distributed"),
)


@dataclass(frozen=True)
class Trial:
    """Tests to run, with a mutant or without.

    Attributes:
        tests: files or single tests, in this order.
        mutant: what they should find; None to see that they pass without.
    """

    tests: tuple[str, ...]
    mutant: Mutant | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        trial: what was run.
        status: of pytest; less than 0 for the signal that ended it; None when time was up.
        seconds: that it took.
        used: whether the mutant was imported at all.
        output: what pytest printed.
    """

    trial: Trial
    status: int | None
    seconds: float
    used: bool
    output: str

    @property
    def killed(self) -> bool:
        """Whether a test failed, crashed or never ended."""
        return self.status is None or self.status < 0 or self.status == pytest.ExitCode.TESTS_FAILED

    @property
    def sound(self) -> bool:
        """Whether the mutant was tried: imported, and its tests run to an end."""
        return self.killed or (self.used and self.status == pytest.ExitCode.OK)


@dataclass(frozen=True)
class _Running:
    trial: Trial
    folder: Path
    begun: float


def outcomes(trials: Iterable[Trial], folder: Path, jobs: int) -> Iterator[Outcome]:
    """Run trials, some at once; yield what came of them as they end."""
    for name in SLOW:
        importlib.import_module(name)
    waiting, running = deque(enumerate(trials)), dict[int, _Running]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, trial = waiting.popleft()
                begun = _Running(trial, folder / f"trial-{number}", time.monotonic())
                running[_forked(begun)] = begun
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended:
                yield _ended(running.pop(ended), os.waitstatus_to_exitcode(status), ended)
                continue
            for child in [c for c, r in running.items() if time.monotonic() - r.begun > LIMIT]:
                _kill(child)
                os.waitpid(child, 0)
                yield _ended(running.pop(child), None, child)
            time.sleep(0.05)
    finally:
        for child in running:
            _kill(child)


def _kill(group: int) -> None:
    """Kill a fork and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _ended(run: _Running, status: int | None, group: int) -> Outcome:
    """Read what a fork left, and remove it with all that it started."""
    _kill(group)
    output = (run.folder / "output").read_text(encoding="utf-8", errors="replace")
    used = run.trial.mutant is None or any(run.folder.glob("*.used"))
    seconds = time.monotonic() - run.begun
    shutil.rmtree(run.folder, ignore_errors=True)
    return Outcome(run.trial, status, seconds, used, output)


def _forked(run: _Running) -> int:
    """Start a trial in a fork; return its process, which heads a group."""
    run.folder.mkdir()
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        status = _tested(run.trial, run.folder)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tested(trial: Trial, folder: Path) -> int:
    """Run a trial's tests in this process; return pytest's status."""
    output = os.open(folder / "output", os.O_CREAT | os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    if trial.mutant is not None:
        file = folder / Path(trial.mutant.file).name
        file.write_text(trial.mutant.source(), encoding="utf-8")
        os.environ.update(MUTANT_MODULE=trial.mutant.module, MUTANT_FILE=str(file))
        os.environ["PYTHONPATH"] = str(HERE / "overlay")
        importlib.import_module("mutants.overlay.sitecustomize")
    os.chdir(ROOT)
    how = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=short",
           "-Wignore::pytest.PytestAssertRewriteWarning")  # fmt: skip
    return int(pytest.main([*how, f"--basetemp={folder / 'tmp'}", *trial.tests]))
