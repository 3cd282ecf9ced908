"""``avsc-fit audio``, ``video``, ``joint``: train one system on a store."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from avsc.manifests.shell import DONE, settings
from avsc.train.config import Settings, choices, option, plain_type
from avsc.train.systems import SYSTEMS, System

Command = Callable[..., Any]


def options(command: Command) -> Command:
    """Give a command one option for each setting.

    Every system takes every option, so that one file of settings and one script serve all; a
    setting of an input that a system has not is without effect on it.
    """
    for each in reversed(fields(Settings)):
        command = click.option(
            option(each.name),
            type=_parameter(each.name),
            default=each.default,
            show_default=each.default is not None,
            help=each.metadata["help"],
        )(command)
    return command


def fit_command(system: System) -> click.Command:
    """Return the command that trains a system."""

    @click.command(system.name, help=system.about)
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("runs") / system.name,
        show_default=True,
        help="Folder of the run.",
    )
    @click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Go on with the run in --out if there is one, or rename it and begin anew.",
    )
    @options
    @settings
    def fit(out: Path, resume: bool, **values: Any) -> int:
        return train(system, Settings(**values), out, resume)

    return fit


def train(system: System, chosen: Settings, out: Path, resume: bool) -> int:
    """Train a system, or go on with it; return the exit status."""
    from avsc.train.fit.console import Console
    from avsc.train.fit.history import best_row
    from avsc.train.fit.prepare import prepare
    from avsc.train.fit.run_folder import RunFolder
    from avsc.train.fit.signals import StopRequest

    with StopRequest() as stop, Console() as console:
        training = prepare(system, chosen, RunFolder(out), resume, console)
        if not training.fit(stop):
            at = training.progress
            console.say(
                f"stopped by {stop.signal_name} after {at.epoch} epochs and {at.batch} of "
                f"{training.run.batches} batches; saved. The same command goes on."
            )
            return stop.status
        best = best_row(training.progress.history)
        assert best is not None
        console.say(f"done: {training.progress.epoch} epochs; best: {best.summary()}")
        console.say(f"next: avsc-fit evaluate {out}")
    return DONE


def _parameter(name: str) -> Any:
    """Return click's type of a setting."""
    if choices(name):
        return click.Choice(choices(name))
    kind = plain_type(name)
    return click.Path(path_type=Path) if kind is Path else kind


audio, video, joint = (fit_command(SYSTEMS[name]) for name in ("audio", "video", "joint"))
