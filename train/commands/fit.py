"""``avsc-fit audio``, ``joint`` and the others: train one system on a store."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click

from avsc.manifests.shell import settings
from avsc.train.checked_settings import CheckedSettings, choices, option, plain_type
from avsc.train.settings import Settings
from avsc.train.systems import VERBS

Command = Callable[..., Any]


def options(
    declared: type[CheckedSettings], defaults: Mapping[str, Any] | None = None
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
        from avsc.train.fit.train import train

        return train(system, Settings(**values), out, resume, wait)

    return fit


def parameter(declared: type[CheckedSettings], name: str) -> Any:
    """Return click's type of a setting."""
    if choices(declared, name):
        return click.Choice(choices(declared, name))
    kind = plain_type(declared, name)
    return click.Path(path_type=Path) if kind is Path else kind


for _verb in VERBS:
    globals()[_verb.replace("-", "_")] = fit_command(_verb)
