"""How long runs will take, from what was measured; nothing is guessed.

An epoch's seconds are the median of those in a run's log, or in that of a run that differs only in
its seed; else, if asked for, those of some seconds of training in a folder of its own, which is
removed. Otherwise the time is not known, and that is said. Not counted: evaluation, and the making
of stored embeddings. Hours are of the device that was measured, whose name is given.
"""

import re
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.paper.make_runs import State, state
from avsc.train.paper.table_plan import Job, Plan

EPOCH = re.compile(r" epoch \d+, training loss .*\((\d+\.\d) s\)$")
DEVICE = re.compile(r" device: (.*?)(?: \([^()]*\))?$")


@dataclass(frozen=True)
class Pace:
    """How fast a run's epochs are.

    Attributes:
        seconds: of one epoch.
        device: that it was measured on.
        source: what was measured.
    """

    seconds: float
    device: str
    source: str


@dataclass(frozen=True)
class Forecast:
    """What is left of one run.

    Attributes:
        job: the run.
        state: how far it has come.
        pace: of its epochs; None where nothing was measured.
    """

    job: Job
    state: State
    pace: Pace | None

    @property
    def epochs(self) -> int:
        """Epochs that are left."""
        return 0 if self.state.finished else self.job.settings.epochs - self.state.epochs

    @property
    def hours(self) -> float | None:
        """Hours that are left; None where nothing was measured."""
        if self.epochs == 0:
            return 0.0
        return None if self.pace is None else self.epochs * self.pace.seconds / 3600


def forecasts(plan: Plan, probe_seconds: float, console: Console) -> list[Forecast]:
    """Return what is left of each run of a table.

    Args:
        plan: of the table.
        probe_seconds: to train for where no log tells an epoch's time; 0: not at all.
        console: told what a probe finds.
    """
    known: dict[str, Pace] = {}
    for job in plan.jobs.values():
        found = logged(job)
        if found is not None:
            known.setdefault(kind(job), found)
    made = []
    for job in plan.jobs.values():
        at = state(job)
        if not at.finished and kind(job) not in known and probe_seconds > 0 and _probeable(job):
            known[kind(job)] = probe(job, probe_seconds, console)
        made.append(Forecast(job, at, known.get(kind(job))))
    return made


def kind(job: Job) -> str:
    """Return what runs of equal pace have in common: all but the seed."""
    return job.name.rpartition("-seed")[0]


def logged(job: Job) -> Pace | None:
    """Return the pace that a run's log tells, of the last device that it ran on."""
    log = RunFolder(job.folder).log
    if not log.exists():
        return None
    device, seconds = "", list[float]()
    for line in log.read_text(encoding="utf-8").splitlines():
        if (found := DEVICE.search(line)) and found[1] != device:
            device, seconds = found[1], []
        elif found := EPOCH.search(line):
            seconds.append(float(found[1]))
    if not seconds:
        return None
    return Pace(statistics.median(seconds), device, f"{len(seconds)} epochs of {job.name}")


def probe(job: Job, seconds: float, console: Console) -> Pace:
    """Train for some seconds in a folder of its own, and return the pace.

    Raises:
        AvscError: the run cannot be trained.
    """
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=job.folder.parent) as folder:
        clock = _Clock(seconds)
        settings = replace(job.settings, epochs=1_000_000, patience=0)
        quiet = _Quiet()
        training = prepare(job.system, settings, RunFolder(Path(folder) / "run"), False, quiet)
        training.fit(clock)
        ended = time.monotonic()
        at, batches = training.progress, training.plan.batches
        done = at.epoch * batches + at.batch - 1  # the first warms up
        each = (ended - clock.first) / max(1, done)
        device = next(found[1] for text in quiet.said if (found := DEVICE.search(f" {text}")))
    pace = Pace(each * batches, device, f"a probe of {done} steps")
    console.say(f"{kind(job)}: {pace.seconds:.1f} s an epoch ({pace.source})")
    return pace


def total(made: list[Forecast]) -> Mapping[str, float]:
    """Return the hours that are left, by device; ``"not measured"`` counts runs."""
    hours: dict[str, float] = {}
    for each in made:
        if each.epochs and each.pace is not None and each.hours is not None:
            hours[each.pace.device] = hours.get(each.pace.device, 0.0) + each.hours
        elif each.epochs:
            hours["not measured"] = hours.get("not measured", 0.0) + 1
    return hours


def _probeable(job: Job) -> bool:
    """Whether nothing has to be made before the first step."""
    system = job.settings.chosen(job.system)
    ready = job.need is None or job.settings.acoustic_run is None or (
        RunFolder(job.settings.acoustic_run).best.exists()
    )  # fmt: skip
    branches = (system.sound, system.pictures)
    return ready and all(each is None or each.reads == "raw" for each in branches)


class _Clock(StopRequest):
    """Asks to stop some seconds after the first step; not entered, so that signals stay as is.

    Attributes:
        first: when the first step was done.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.first = 0.0
        self._seconds, self._asked = seconds, 0

    def __bool__(self) -> bool:
        self._asked += 1
        if self._asked == 2:  # the first question comes before the first step
            self.first = time.monotonic()
        return self._asked > 2 and time.monotonic() - self.first >= self._seconds


class _Quiet(Console):
    """Keeps what is said to itself.

    Attributes:
        said: the lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep one line."""
        self.said.append(text)

    def due(self) -> bool:
        """Never: progress is not shown."""
        return False

    def log_to(self, path: Path) -> None:
        """Write no log."""
