"""``avsc-fit audio``, ``joint`` and the others: train one system on a store."""

import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avsc.manifests.shell import DONE, settings
from avsc.train.declared import Declared, choices, option, plain_type
from avsc.train.settings import Settings
from avsc.train.systems import VERBS, System

if TYPE_CHECKING:
    from avsc.train.fit.console import Console
    from avsc.train.fit.distributed import Processes
    from avsc.train.fit.run_folder import RunFolder
    from avsc.train.fit.signals import StopRequest
    from avsc.train.fit.trainer import Epochs

Command = Callable[..., Any]


def options(
    declared: type[Declared], defaults: Mapping[str, Any] | None = None
) -> Callable[[Command], Command]:
    """Return what gives a command one option for each setting that is declared.

    A system's own defaults take the place of those declared.


    Every system takes every option, so that one file of settings and one script serve all; a
    setting of an input that a system has not is without effect on it.
    """

    def give(command: Command) -> Command:
        for each in reversed(fields(declared)):
            needed = each.default is MISSING
            default = {} if needed else {"default": (defaults or {}).get(each.name, each.default)}
            command = click.option(
                option(each.name),
                type=parameter(declared, each.name),
                required=needed,
                show_default=not needed and each.default is not None,
                help=each.metadata["help"],
                **default,
            )(command)
        return command

    return give


def waiting(command: Command) -> Command:
    """Give a command the option that waits for another process."""
    text = "Wait while another process trains in --out, instead of ending with status 1."
    return click.option("--wait", is_flag=True, help=text)(command)


def fit_command(verb: str) -> click.Command:
    """Return the command that trains the system of a verb."""
    system = VERBS[verb]

    @click.command(verb, help=system.about)
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("runs") / verb,
        show_default=True,
        help="Folder of the run.",
    )
    @click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Go on with the run in --out if there is one, or rename it and begin anew.",
    )
    @waiting
    @options(Settings, system.defaults)
    @settings
    def fit(out: Path, resume: bool, wait: bool, **values: Any) -> int:
        return train(system, Settings(**values), out, resume, wait)

    return fit


def train(system: System, chosen: Settings, out: Path, resume: bool, wait: bool = False) -> int:
    """Train a system, or go on with it; return the exit status.

    Raises:
        ClaimedError: another process trains there, and that is not waited for.
        AvscError: the run cannot be trained.
    """
    from avsc.train.fit.prepare import prepare

    return run_training(
        lambda folder, console, stop, processes: prepare(
            system, chosen, folder, resume, console, stop, processes
        ),
        out,
        shlex.join(["avsc-fit", "evaluate", str(out)]),
        wait,
    )


def run_training(
    make: "Callable[[RunFolder, Console, StopRequest, Processes], Epochs]",
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
    from avsc.manifests.files import remove_leftovers
    from avsc.train.fit.console import Console
    from avsc.train.fit.distributed import joined
    from avsc.train.fit.history import best_row
    from avsc.train.fit.run_folder import RunFolder, claimed_run
    from avsc.train.fit.signals import StopRequest

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
                remove_leftovers(out)
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


def parameter(declared: type[Declared], name: str) -> Any:
    """Return click's type of a setting."""
    if choices(declared, name):
        return click.Choice(choices(declared, name))
    kind = plain_type(declared, name)
    return click.Path(path_type=Path) if kind is Path else kind


for _verb in VERBS:
    globals()[_verb.replace("-", "_")] = fit_command(_verb)
