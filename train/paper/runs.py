"""Training and evaluating a table's runs, each once.

Runs are trained by the same function as avsc-fit's verbs, one after the other; finished ones are
skipped. A signal stops the current run, which saves a checkpoint; the same command resumes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from avsc.features.store.reader import Store
from avsc.manifests.claims import ClaimedError
from avsc.manifests.errors import DONE, STOPPED, AvscError
from avsc.train.evaluate.bootstrap import METHOD, Resampling
from avsc.train.evaluate.evaluate import evaluate_run
from avsc.train.evaluate.evaluation_request import EvaluationRequest
from avsc.train.evaluate.submissions import read_evaluation
from avsc.train.fit.console import Console
from avsc.train.fit.history import finished, read_metrics
from avsc.train.fit.refs import difference
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import read_record
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.train import train
from avsc.train.paper.plan import PlannedRun, TablePlan
from avsc.train.protocol import PROTOCOLS


@dataclass(frozen=True)
class RunState:
    """How far a run has come.

    Attributes:
        epochs: number of finished epochs.
        finished: nothing is left to train.
        outdated: how the store differs from the one that the run was started on, in words; None if
            it does not.
    """

    epochs: int
    finished: bool
    outdated: str | None = None


@dataclass(frozen=True)
class EvaluationOptions:
    """How the runs are evaluated.

    Attributes:
        allow_missing: score the segments that are there if some are missing.
    """

    resampling: Resampling
    allow_missing: bool


def state(run: PlannedRun) -> RunState:
    """Return how far a run has come; one with other settings or another store is not finished.

    (Training it then says which settings differ.)
    """
    folder = RunFolder(run.folder)
    if not folder.settings.exists():
        return RunState(0, False)
    record = read_record(folder.settings)
    settings, ref = run.settings, record.store
    outdated = difference(Store.open(settings.store), ref.fingerprint, ref.parts)
    if outdated or not folder.metrics.exists():
        return RunState(0, False, outdated)
    history = read_metrics(folder.metrics)
    same = record.system == run.system and (
        record.settings.identity(record.system) == settings.identity(run.system)
    )
    done = finished(history, settings.epochs, settings.patience)
    return RunState(len(history), same and done)


def make_runs(
    plan: TablePlan,
    names: Iterable[str],
    options: EvaluationOptions,
    console: Console,
    wait: bool = False,
) -> int:
    """Train and evaluate runs, each once; return the exit status.

    Runs that another process is working on are left to it, and looked at again when the rest is
    done.

    Args:
        names: of the runs, donors before those that need them.
        console: shows what is done.
        wait: for what others are working on, when nothing else is left.

    Raises:
        AvscError: a run cannot be trained or evaluated.
    """
    todo, waiting = list(names), False
    while todo:
        left: dict[str, str] = {}
        for name in todo:
            run = plan.runs[name]
            try:
                if run.donor in left:
                    raise ClaimedError(left[run.donor], "")
                status = _make_run(plan, run, options, console, waiting)
            except ClaimedError as fault:
                left[name] = fault.who
                console.say(f"{name}: left to {fault.who}")
                continue
            if status != DONE:
                return status
            waiting = False
        if len(left) == len(todo):
            if waiting or not wait:
                console.say(
                    f"left to other processes: {', '.join(left)}. Run the same command again when "
                    "they are done."
                )
                return STOPPED
            waiting = True
        todo = list(left)
    return DONE


def _make_run(
    plan: TablePlan, run: PlannedRun, options: EvaluationOptions, console: Console, wait: bool
) -> int:
    """Train and evaluate one run, unless that is done; return the exit status.

    Raises:
        ClaimedError: another process is working on it.
    """
    now = state(run)
    if now.finished:
        console.say(f"{run.name}: already trained")
    elif run.donor is not None and not state(plan.runs[run.donor]).finished:
        console.say(
            f"{run.name} takes its acoustic encoder from {run.donor}, which is not finished. Run "
            "the same command again when it is."
        )
        return STOPPED
    else:
        if now.outdated:
            console.say(
                f"{run.name}: was trained on another store, or another state of it, which differs "
                f"in its {now.outdated}; it is trained again, and the previous run is kept beside "
                "it"
            )
        console.say(f"{run.name}: {run.command()}")
        status = train(run.system, run.settings, run.folder, not now.outdated, wait)
        if status != DONE:
            return status
    if is_evaluated(run, options.allow_missing):
        return DONE
    with StopRequest() as stop:
        evaluate_run(
            EvaluationRequest(
                run.folder,
                store=run.settings.store,
                resampling=options.resampling,
                allow_missing=options.allow_missing,
                device=run.settings.device,
                workers=run.settings.workers,
            ),
            console,
            wait,
        )
        return stop.status


def is_evaluated(run: PlannedRun, allow_missing: bool) -> bool:
    """Return whether a run's current best epoch is evaluated on the test fold by both protocols.

    An evaluation with intervals by another method does not count.

    Args:
        allow_missing: count an evaluation that lacks segments.
    """
    try:
        evaluation = read_evaluation(run.folder, "test")
    except AvscError:
        return False
    protocols = evaluation["protocols"]
    complete = not any(results["missing"] for results in protocols.values())
    store, parts = Store.open(run.settings.store), evaluation.get("store_parts")
    return (
        set(protocols) >= {*PROTOCOLS}
        and evaluation["checkpoint"] == "best"
        and evaluation.get("intervals") == METHOD
        and (allow_missing or complete)
        and difference(store, evaluation["store_fingerprint"], parts) is None
    )
