"""What both programs share at the command line: verbs, one-line errors, settings.

Settings come from, each overriding the one before: defaults, ``--config FILE.toml``, ``AVSC_*``
variables, options. In the file, names are those of the options, with dashes or underscores, at the
top level or in a table named after the verb; each program has its own file. Values are read as if
typed at the command line: ``epochs = 1.5`` is an error and not truncated to 1. An unknown name is
an error; a variable may be meant for another verb, and is an error only when it nearly matches the
name of a setting.
"""

import difflib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from avsc.manifests import escape
from avsc.manifests.caches import provide_caches
from avsc.manifests.errors import (
    BAD_DATA,
    DONE,
    INTERRUPTED,
    TERMINATED,
    AvscError,
    SettingError,
    bounded,
)
from avsc.manifests.extras import installation, not_installed
from avsc.manifests.files import REMEDIES
from avsc.manifests.text import did_you_mean, read_toml

PREFIX = "AVSC_"
NEARLY = 0.85  # similarity (difflib) from which a variable's name counts as misspelt

F = TypeVar("F", bound=Callable[..., Any])


class Terminated(BaseException):
    """SIGTERM arrived; unwinds the `with` blocks."""


class LazyGroup(click.Group):
    """Verbs whose modules are imported only when they are used, so that ``--help`` is quick.

    Attributes:
        verbs: verb -> (``"module:attribute"`` of its command, one line of help).
    """

    def __init__(self, verbs: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self.verbs = verbs
        click.version_option(package_name="avsc", message="%(prog)s %(version)s")(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs, in the order they were given."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb's command."""
        if cmd_name not in self.verbs:
            return None
        module, attribute = self.verbs[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one may have been meant."""
        if args and args[0] not in self.verbs and not args[0].startswith("-"):
            ctx.fail(f"No such verb {args[0]!r}.{did_you_mean(args[0], self.verbs)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in self.verbs.items()])


def run_program(group: click.Command, name: str, extra: str) -> NoReturn:
    """Run a program and leave with its exit status.

    A command returns its exit status, or None for 0. SIGTERM unwinds the program's `with` blocks;
    a second one is ignored.

    Args:
        group: the program's verbs.
        name: the program's name.
        extra: the optional dependencies (``pip install '.[EXTRA]'``) that its verbs need.
    """
    signal.signal(signal.SIGTERM, _terminate)
    provide_caches()
    try:
        status = _status(group, name)
    except ModuleNotFoundError:
        if not (absent := not_installed(extra)):
            raise
        click.echo(f"{name}: error: {installation(extra, absent)}", err=True)
        status = BAD_DATA
    sys.exit(status)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _status(group: click.Command, name: str) -> int:
    try:
        _check_working_folder()
        status = group.main(prog_name=name, standalone_mode=False)
    except click.ClickException as fault:
        _name_source(fault)
        fault.show()
        return fault.exit_code
    except (click.Abort, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing more to stop
        click.echo(f"{name}: interrupted; run the command again to resume.", err=True)
        return INTERRUPTED
    except Terminated:
        click.echo(f"{name}: terminated; run the command again to resume.", err=True)
        return TERMINATED
    except AvscError as fault:
        click.echo(f"{name}: error: {_one_line(bounded(str(fault)))}", err=True)
        return fault.exit_code
    except OSError as fault:
        if fault.filename is None and fault.errno not in REMEDIES:
            raise
        named = "" if fault.filename is None else f"{fault.filename}: "
        remedy = REMEDIES.get(fault.errno or 0, "")
        then = f" {remedy}, and run the command again." if remedy else ""
        click.echo(f"{name}: error: {named}{fault.strerror}.{then}", err=True)
        return BAD_DATA
    return status if isinstance(status, int) else DONE


def _check_working_folder() -> None:
    """Raise an `AvscError` if the working folder is gone; libraries ask for it when imported."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise AvscError(
            "the working folder of this shell was removed. Change to another (`cd`), and "
            "run the command again."
        ) from None


def _one_line(text: str) -> str:
    return " ".join(escape.terminal(text).split())


def _name_source(fault: click.ClickException) -> None:
    """Make click's error name the variable or the file that a value came from."""
    if not isinstance(fault, click.BadParameter) or fault.ctx is None or fault.param is None:
        return
    name = fault.param.name or ""
    source = fault.ctx.get_parameter_source(name)
    if source is ParameterSource.ENVIRONMENT:
        fault.param_hint = _variable(name)
    elif source is ParameterSource.DEFAULT_MAP:
        fault.param_hint = f"{_dashed(name)} in {fault.ctx.meta[__name__]}"


def settings(command: F) -> F:
    """Give a command ``--config FILE.toml`` and an ``AVSC_*`` variable for each of its options."""

    def load(ctx: click.Context, option: click.Parameter, path: Path | None) -> None:
        ctx.auto_envvar_prefix = PREFIX.rstrip("_")
        known = [p.name for p in ctx.command.params if isinstance(p, click.Option) and p.name]
        _refuse_misspelt_variables(known)
        if path is not None:
            known.remove("config")
            ctx.meta[__name__] = path
            ctx.default_map = _read_settings(path, ctx, known)

    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar=f"{PREFIX}CONFIG",
        is_eager=True,
        expose_value=False,
        callback=load,
        help="TOML file of settings, named as the options are. Variables named as "
        f"{PREFIX}BATCH_SIZE for --batch-size override it.",
    )(command)


def _refuse_misspelt_variables(known: Sequence[str]) -> None:
    names = [name.upper() for name in known]
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in names:
            continue
        if near := difflib.get_close_matches(name, names, 1, NEARLY):
            raise SettingError(
                f"no setting is read from the variable {variable}. Did you mean {PREFIX}{near[0]}?"
            )


def _read_settings(path: Path, ctx: click.Context, known: Sequence[str]) -> dict[str, str]:
    """Return a file's values for a verb, as text, by parameter."""
    values = read_toml(path)
    verb = ctx.info_name or ""
    group = ctx.parent.command if ctx.parent else None
    verbs = group.list_commands(ctx) if isinstance(group, click.Group) else [verb]
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    for name in tables:
        if name not in verbs:
            raise SettingError(f"{path}: [{name}] is not a verb.{did_you_mean(name, verbs)}")
    shared = {name: value for name, value in values.items() if name not in tables}
    return {
        **_as_typed(shared, str(path), known),
        **_as_typed(tables.get(verb, {}), f"{path}, [{verb}]", known),
    }


def _as_typed(values: Mapping[str, Any], where: str, known: Sequence[str]) -> dict[str, str]:
    """Return settings by parameter, each value as typed at the command line."""
    typed: dict[str, str] = {}
    for name, value in values.items():
        plain = name.replace("-", "_")
        if plain not in known:
            names = [_dashed(k) for k in known]
            raise SettingError(
                f"{where}: no setting is called {name!r}.{did_you_mean(name, names)}"
            )
        if plain in typed:
            raise SettingError(f"{where}: {_dashed(plain)} is set twice; remove one.")
        if isinstance(value, dict | list):
            raise SettingError(f"{where}: {name} is {value!r}; a single value is wanted.")
        typed[plain] = str(value).lower() if isinstance(value, bool) else str(value)
    return typed


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _dashed(name: str) -> str:
    return name.replace("_", "-")
