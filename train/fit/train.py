"""Training, from settings to the end of the run or to a signal: what the verbs and tables call."""

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from avsc.manifests.errors import DONE
from avsc.manifests.files import remove_stale_files
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import joined
from avsc.train.fit.history import best_row
from avsc.train.fit.memory import memory_limit
from avsc.train.fit.prepare import prepare, prepare_images
from avsc.train.fit.run_folder import RunFolder, claimed_run
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.trainer import Trainer
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import System


def train(system: System, settings: Settings, out: Path, resume: bool, wait: bool = False) -> int:
    """Train a system on a store, or resume; return the exit status.

    Args:
        out: folder of the run.
        resume: resume the run that the folder holds; otherwise set it aside.
        wait: for another process that trains in the folder.

    Raises:
        ClaimedError: another process trains there, and is not waited for.
        AvscError: the run cannot be trained.
    """
    out = RunFolder(out).path  # of a folder that is named ".", its own name
    return _train(
        lambda folder, session: prepare(system, settings, folder, resume, session),
        settings,
        out,
        wait,
        ["avsc-fit", "evaluate", str(out.parent if settings.folds else out)],
    )


def train_images(settings: PlacesSettings, out: Path, resume: bool, wait: bool = False) -> int:
    """Train an image model on labelled images, or resume; arguments and errors as of `train`."""
    out = RunFolder(out).path
    size = [] if settings.image_size is None else ["--image-size", str(settings.image_size)]
    return _train(
        lambda folder, session: prepare_images(settings, folder, resume, session),
        settings,
        out,
        wait,
        ["avsc-fit", "joint", "--backbone", settings.backbone, *size, "--visual-weights", str(out)],
    )


def _train(
    prepare: Callable[[RunFolder, Session], Trainer],
    settings: Settings | PlacesSettings,
    out: Path,
    wait: bool,
    following: list[str],
) -> int:
    """Train to the end, or until a signal; return the exit status.

    Args:
        prepare: returns the trainer of the run in a folder.
        wait: for another process that trains in the folder.
        following: command to name at the end.
    """
    batch = settings.batch_size
    smaller = f"--batch-size below {batch}" if batch else "smaller --batch-size"
    with (
        StopRequest() as stop,
        joined() as processes,
        Console(silent=not processes.main) as console,
        ExitStack() as stack,
        memory_limit(
            f"Start over by --no-resume with --accumulate {2 * settings.accumulate} or a "
            f"{smaller}, or let several GPUs share the batch (docs/training.md)."
        ),
    ):
        with processes.main_first():
            session = Session.open(settings, console, stop, processes)
            folder = RunFolder(out)
            if processes.main:
                keep_on = partial(stop.check, f"while {out} was waited for")
                folder = stack.enter_context(claimed_run(out, console.say, wait, keep_on))
                if processes.watch is not None and folder.claim is not None:
                    processes.watch.before_end.append(folder.claim.give_up)
                remove_stale_files(out)
            trainer = prepare(folder, session)
        at = trainer.progress
        if not trainer.fit():
            console.say(
                f"stopped by {stop.signal_name} after {at.epoch} epochs and {at.batch} of "
                f"{trainer.run.batches} batches; saved. The same command resumes."
            )
            return stop.status
        best = best_row(at.history)
        assert best is not None
        console.say(f"done: {at.epoch} epochs; best: {best.summary()}")
        console.say(f"next: {shlex.join(following)}")
    return DONE
