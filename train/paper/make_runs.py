"""Making a table's runs: what is done, what is missing, training and evaluating it.

Runs are trained by the very function that avsc-fit's verbs use, one after the other; what is done
is not done again. A signal stops the run under way, which saves; the same command goes on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from avsc.features.store.reader import Store
from avsc.manifests.claims import ClaimedError
from avsc.manifests.errors import DONE, STOPPED, AvscError
from avsc.train.evaluate.bootstrap import METHOD, Resampling
from avsc.train.evaluate.evaluate_run import Request, evaluate_run
from avsc.train.evaluate.submissions import evaluated
from avsc.train.fit.console import Console
from avsc.train.fit.history import finished, read_metrics
from avsc.train.fit.refs import difference
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import read_record
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.train import train
from avsc.train.paper.table_plan import Job, Plan
from avsc.train.protocol import PROTOCOLS


@dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        epochs: that are done.
        finished: nothing is left to train.
        outdated: what of the store is not as it was when the run was begun, in words; None when
            nothing is.
    """

    epochs: int
    finished: bool
    outdated: str | None = None


def state(job: Job) -> State:
    """Return how far a run has come; a run of other settings or another store is not finished.

    (To train it then says which settings differ.)
    """
    folder = RunFolder(job.folder)
    if not folder.settings.exists():
        return State(0, False)
    record = read_record(folder.settings)
    chosen, mark = job.settings, record.store
    outdated = difference(Store.open(chosen.store), mark.fingerprint, mark.parts)
    if outdated or not folder.metrics.exists():
        return State(0, False, outdated)
    history = read_metrics(folder.metrics)
    identity = record.settings.identity(record.system)
    same = record.system == job.system and identity == chosen.identity(job.system)
    return State(len(history), same and finished(history, chosen.epochs, chosen.patience))


def make_runs(
    plan: Plan,
    names: Iterable[str],
    resampling: Resampling,
    allow_missing: bool,
    console: Console,
    wait: bool = False,
) -> int:
    """Train and evaluate runs, each once; return the exit status.

    What another process is making is left to it, and looked at again when the rest is done.

    Args:
        plan: of the table.
        names: of the runs, those that are needed before those that need them.
        resampling: of the evaluations' intervals.
        allow_missing: evaluate what is there if segments are missing.
        console: told what is done.
        wait: for what others are making, when nothing else is left.

    Raises:
        AvscError: a run cannot be trained or evaluated.
    """
    todo, patient = list(names), False
    while todo:
        left: dict[str, str] = {}
        for name in todo:
            job = plan.jobs[name]
            try:
                if job.need in left:
                    raise ClaimedError(left[job.need], "")
                status = _make_run(plan, job, resampling, allow_missing, console, patient)
            except ClaimedError as fault:
                left[name] = fault.who
                console.say(f"{name}: left to {fault.who}")
                continue
            if status != DONE:
                return status
            patient = False
        if len(left) == len(todo):
            if patient or not wait:
                console.say(
                    f"left to other processes: {', '.join(left)}. The same command goes on when "
                    "they are done."
                )
                return STOPPED
            patient = True
        todo = list(left)
    return DONE


def _make_run(
    plan: Plan,
    job: Job,
    resampling: Resampling,
    allow_missing: bool,
    console: Console,
    wait: bool,
) -> int:
    """Train and evaluate one run, if that is not done; return the exit status.

    Raises:
        ClaimedError: another process is at it.
    """
    found = state(job)
    if found.finished:
        console.say(f"{job.name}: trained before")
    elif job.need is not None and not state(plan.jobs[job.need]).finished:
        console.say(
            f"{job.name} takes its acoustic encoder from {job.need}, which is not finished. The "
            "same command goes on when it is."
        )
        return STOPPED
    else:
        if found.outdated:
            console.say(
                f"{job.name}: trained before on another store, or another state of it, by its "
                f"{found.outdated}; trained anew, and the run that was there is kept beside it"
            )
        console.say(f"{job.name}: {job.command()}")
        status = train(job.system, job.settings, job.folder, not found.outdated, wait)
        if status != DONE:
            return status
    if is_evaluated(job, allow_missing):
        return DONE
    with StopRequest() as stop:
        evaluate_run(
            Request(
                job.folder,
                store=job.settings.store,
                resampling=resampling,
                allow_missing=allow_missing,
                device=job.settings.device,
                workers=job.settings.workers,
            ),
            console,
            wait,
        )
        return stop.status


def is_evaluated(job: Job, allow_missing: bool) -> bool:
    """Whether the best epoch that a run has now is evaluated on the test fold by both protocols.

    An evaluation whose report holds intervals of another method does not count.

    Args:
        job: the run.
        allow_missing: count an evaluation that lacks segments.
    """
    try:
        found = evaluated(job.folder, "test")
    except AvscError:
        return False
    return (
        set(found["protocols"]) >= {*PROTOCOLS}
        and found["checkpoint"] == "best"
        and found.get("intervals") == METHOD
        and (allow_missing or not any(each["missing"] for each in found["protocols"].values()))
        and difference(
            Store.open(job.settings.store), found["store_fingerprint"], found.get("store_parts")
        )
        is None
    )
