"""How long a table's runs will take, from measured epochs only.

The time of an epoch is the median over a run's timing.csv, or over that of a run that differs only
in its seed; failing that, and if asked for, it is measured by some seconds of training in a
temporary folder. Otherwise it is unknown, and that is said. Evaluation and the computation of
stored embeddings are not included. Hours are those of the device that was measured, which is named.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.device import device_name
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.timing import read_timing
from avsc.train.paper.plan import PlannedRun, TablePlan
from avsc.train.paper.runs import RunState, state


@dataclass(frozen=True)
class Pace:
    """The time of an epoch.

    Attributes:
        seconds: of one epoch; None where it is not known.
        device: that it was measured on; empty where it is not known.
        source: what was measured, or why nothing was; empty when there is no run yet.
    """

    seconds: float | None = None
    device: str = ""
    source: str = ""


@dataclass(frozen=True)
class RunForecast:
    """What is left of one run.

    Attributes:
        state: how far it has come.
    """

    run: PlannedRun
    state: RunState
    pace: Pace

    @property
    def epochs(self) -> int:
        """Epochs that are left."""
        return 0 if self.state.finished else self.run.settings.epochs - self.state.epochs

    @property
    def hours(self) -> float | None:
        """Hours that are left; None where the time of an epoch is not known."""
        if self.epochs == 0:
            return 0.0
        return None if self.pace.seconds is None else self.epochs * self.pace.seconds / 3600


def forecasts(plan: TablePlan, probe_seconds: float, console: Console) -> list[RunForecast]:
    """Return what is left of each run of a table.

    Args:
        probe_seconds: to train for where no run has timed an epoch; 0: not at all.
        console: shows what a probe measures.

    Raises:
        AvscError: a run's timing.csv is damaged, or a run cannot be trained by a probe.
    """
    own = {run.name: recorded(run) for run in plan.runs.values()}
    known: dict[str, Pace] = {}
    for run in plan.runs.values():
        if own[run.name].seconds is not None:
            known.setdefault(kind(run), own[run.name])
    made = []
    for run in plan.runs.values():
        at, pace = state(run), own[run.name]
        if not at.finished and kind(run) not in known and probe_seconds > 0 and _probeable(run):
            known[kind(run)] = probe(run, probe_seconds, console)
        if pace.seconds is None:
            pace = known.get(kind(run), pace)
        made.append(RunForecast(run, at, pace))
    return made


def kind(run: PlannedRun) -> str:
    """Return what runs of equal pace have in common: all but the seed."""
    return run.name.rpartition("-seed")[0]


def recorded(run: PlannedRun) -> Pace:
    """Return the pace of a run's last device, from the epochs that it trained there in one go.

    Raises:
        AvscError: its timing.csv is damaged.
    """
    folder = RunFolder(run.folder)
    if not folder.timing.exists():
        early = folder.metrics.exists()  # a run that has epochs; version 0.1.0 did not time them
        return Pace(source=f"{run.name} has no {folder.timing.name}" if early else "")
    rows = read_timing(folder.timing)
    machines = [(row.device, row.processes) for row in rows]
    seconds = [
        row.seconds
        for row, machine in zip(rows, machines, strict=True)
        if machine == machines[-1] and row.first_batch == 0
    ]
    if not seconds:
        return Pace(source=f"{run.name} has no epoch that was trained without interruption")
    device, processes = machines[-1]
    several = "" if processes == 1 else f"{processes} processes, each "
    count = f"{len(seconds)} epoch" if len(seconds) == 1 else f"{len(seconds)} epochs"
    return Pace(statistics.median(seconds), f"{several}{device}", f"{count} of {run.name}")


def probe(run: PlannedRun, seconds: float, console: Console) -> Pace:
    """Train for some seconds in a temporary folder, and return the pace.

    Raises:
        AvscError: the run cannot be trained.
    """
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=run.folder.parent) as folder:
        clock = _Clock(seconds)
        settings = replace(run.settings, epochs=1_000_000, patience=0)
        quiet = Console(silent=True)
        session = Session.open(settings, quiet, clock)
        trainer = prepare(run.system, settings, RunFolder(Path(folder) / "run"), False, session)
        trainer.fit()
        ended = time.monotonic()
        at, batches = trainer.progress, trainer.run.batches
        steps = at.epoch * batches + at.batch - 1  # the first warms up
        per_step = (ended - clock.first) / max(1, steps)
        device = device_name(session.device)
    pace = Pace(per_step * batches, device, f"a probe of {steps} steps")
    console.say(f"{kind(run)}: {pace.seconds:.1f} s per epoch ({pace.source})")
    return pace


def total(made: list[RunForecast]) -> Mapping[str, float]:
    """Return the hours that are left, by device; ``"not measured"`` counts runs."""
    hours: dict[str, float] = {}
    for forecast in made:
        if forecast.epochs and forecast.hours is not None:
            device = forecast.pace.device
            hours[device] = hours.get(device, 0.0) + forecast.hours
        elif forecast.epochs:
            hours["not measured"] = hours.get("not measured", 0.0) + 1
    return hours


def _probeable(run: PlannedRun) -> bool:
    """Whether nothing has to be made before the first step."""
    system = run.settings.chosen(run.system)
    ready = run.donor is None or run.settings.acoustic_run is None or (
        RunFolder(run.settings.acoustic_run).best.exists()
    )  # fmt: skip
    branches = (system.audio, system.visual)
    return ready and all(branch is None or branch.reads == "raw" for branch in branches)


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
