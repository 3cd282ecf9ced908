"""Recovery when a checkpoint is damaged or missing.

Two checkpoints are kept, so that a run resumes from ``previous.pt`` when ``last.pt`` cannot be
read; what was trained after it is trained again, to the same numbers. The weights of the best epoch
are in ``best.pt``; if that is lost and a kept checkpoint ended with the best epoch, they are there
too.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from avsc.train.fit.checkpoint import (
    REMEDY,
    LostError,
    Progress,
    copy_weights,
    epoch_of,
    load_last,
    load_weights,
)
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.history import Row, best_row, read_metrics
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.tasks import Run, Task
from avsc.train.model.network import Network


def load_newest(run: Run, task: Task, session: Session) -> Progress:
    """Read the newest checkpoint that can be read, and make it last.pt.

    Args:
        run: whose checkpoint is read.
        task: its network and optimiser get their states.
        session: its process 0 alone goes back to previous.pt, and says so; another process that did
            would resume from another step than the rest.

    Raises:
        LostError: none can be read.
        AvscError: a checkpoint belongs to another run or network.
    """
    folder = run.folder
    averaged = None if task.average is None else task.average.network

    def load(path: Path) -> Progress:
        return load_last(path, run.digest, task.network, task.optimiser, task.row, averaged)

    try:
        return load(folder.last)
    except LostError as fault:
        if not session.processes.main:
            raise
        lost = fault
    try:
        progress = load(folder.previous)
    except LostError as fault:
        also = f" {fault.found}" if folder.previous.exists() else ""
        raise LostError(f"{lost.found}{also}", REMEDY) from fault
    folder.check()
    folder.previous.replace(folder.last)
    session.console.say(f"{lost.found} Resuming from {folder.previous.name}.")
    return progress


def load_best(folder: RunFolder, digest: str, network: Network) -> tuple[int, Path]:
    """Read the weights of the best epoch; return the epoch, and the file that they were in.

    Raises:
        LostError: they are in no file.
        AvscError: a checkpoint belongs to another run or network.
    """
    return _best(folder, lambda path, epoch: load_weights(path, digest, network, epoch=epoch))


def best_file(folder: RunFolder, digest: str) -> Path:
    """Return the file that has the weights of the best epoch; raises as `load_best`."""
    return _best(folder, lambda path, epoch: epoch_of(path, digest, epoch=epoch))[1]


def _best(folder: RunFolder, read: Callable[[Path, int | None], int]) -> tuple[int, Path]:
    """Return the best epoch and the file that has its weights.

    Args:
        read: returns the epoch of a checkpoint, which must be the one that is wanted.
    """
    history = read_metrics(folder.metrics) if folder.metrics.exists() else []
    best = best_row(history)
    try:
        epoch = read(folder.best, None)
        _check_epoch(folder, epoch, history)
        return epoch, folder.best
    except LostError as fault:
        lost = fault
    if best is None:
        raise LostError(
            lost.found, "The run has no finished epoch yet: run the same `avsc-fit SYSTEM` again."
        ) from lost
    for path in (folder.last, folder.previous):
        with suppress(LostError):
            return read(path, best.epoch), path
    raise _nowhere(lost, best) from lost


def restore_best(run: Run, history: list[Row], console: Console) -> LostError | None:
    """Write best.pt again if it is lost and a kept checkpoint has its weights.

    Args:
        run: whose best.pt is checked.
        history: the epochs done.
        console: shows what was found and done.

    Returns:
        What is wrong with best.pt and could not be fixed; None when it is as it should be.
    """
    folder, best = run.folder, best_row(history)
    if best is None:
        return None
    try:
        _check_epoch(folder, epoch_of(folder.best, run.digest), history)
    except LostError as fault:
        lost = fault
    else:
        return None
    for path in (folder.last, folder.previous):
        with suppress(LostError):
            copy_weights(path, folder, run.digest, best.epoch, run.trained_on)
            console.say(f"{lost.found} Restored from {path.name}, which holds the same epoch.")
            return None
    nowhere = _nowhere(lost, best)
    console.say(f"{nowhere.found} A better epoch, if there is one, will replace it.")
    return nowhere


def _check_epoch(folder: RunFolder, epoch: int, history: list[Row]) -> None:
    """Raise a `LostError` if best.pt is of another epoch than the best.

    It may be of one that the history does not have yet: a killed run repeats what it did last.
    """
    best = best_row(history)
    if best is not None and epoch != best.epoch and epoch <= history[-1].epoch:
        raise LostError(
            f"{folder.best}: holds the weights of epoch {epoch}, but by metrics.csv the best is "
            f"epoch {best.epoch}.",
            REMEDY,
        )


def _nowhere(lost: LostError, best: Row) -> LostError:
    return LostError(
        f"{lost.found} The weights of the best epoch, {best.epoch}, are in no other file.",
        "Put back a copy, use the last ones (avsc-fit evaluate --checkpoint last), or start over "
        "with --no-resume, which keeps the old folder beside the new.",
    )
