"""Training from settings to the end, or to a signal: what the verbs call, and tables."""

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from avsc.manifests.errors import DONE
from avsc.manifests.files import remove_stale_files
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import Processes, joined
from avsc.train.fit.history import best_row
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder, claimed_run
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.trainer import Epochs
from avsc.train.settings import Settings
from avsc.train.systems import System


def train(system: System, chosen: Settings, out: Path, resume: bool, wait: bool = False) -> int:
    """Train a system, or go on with it; return the exit status.

    Raises:
        ClaimedError: another process trains there, and that is not waited for.
        AvscError: the run cannot be trained.
    """
    return run_training(
        lambda folder, console, stop, processes: prepare(
            system, chosen, folder, resume, console, stop, processes
        ),
        out,
        shlex.join(["avsc-fit", "evaluate", str(out)]),
        wait,
    )


def run_training(
    make: Callable[[RunFolder, Console, StopRequest, Processes], Epochs],
    out: Path,
    following: str,
    wait: bool,
) -> int:
    """Run a training to its end, or until a signal; return the exit status.

    Args:
        make: makes it ready in a folder, tells a console what was found, heeds a signal, and is
            told which processes train together.
        out: folder of the run.
        following: command to name at its end.
        wait: for another process that trains in the folder.
    """
    out = RunFolder(out).path  # of a folder that is named ".", its own name

    with (
        StopRequest() as stop,
        joined() as processes,
        Console(silent=not processes.main) as console,
        ExitStack() as stack,
    ):
        with processes.main_first():
            folder = RunFolder(out)
            if processes.main:
                keep_on = partial(stop.check, f"while {out} was waited for")
                folder = stack.enter_context(claimed_run(out, console.say, wait, keep_on))
                if processes.watch is not None and folder.claim is not None:
                    processes.watch.before_end.append(folder.claim.give_up)
                remove_stale_files(out)
            training = make(folder, console, stop, processes)
        at = training.progress
        if not training.fit(stop):
            console.say(
                f"stopped by {stop.signal_name} after {at.epoch} epochs and {at.batch} of "
                f"{training.plan.batches} batches; saved. The same command goes on."
            )
            return stop.status
        best = best_row(at.history)
        assert best is not None
        console.say(f"done: {at.epoch} epochs; best: {best.summary()}")
        console.say(f"next: {following}")
    return DONE
