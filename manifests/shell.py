"""What both programs share at the command line: exit statuses, one-line errors, settings.

Exit statuses: 0 done; 1 bad data, store or environment; 2 wrong use; 3 done, with failures listed;
5 verification failed; 75 stopped, resumable, state saved; 130 interrupted; 143 terminated.

Settings come from, each overriding the one before: defaults, ``--config FILE.toml``, ``AVSC_*``
variables, options. In the file, names are those of the options, with dashes or underscores, at the
top level or in a table named after the verb; a name that no option has is an error.
"""

import difflib
import importlib
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from avsc.manifests.errors import AvscError, SettingError

DONE, BAD_DATA, USAGE, DONE_WITH_FAILURES, VERIFICATION_FAILED = 0, 1, 2, 3, 5
STOPPED, INTERRUPTED, TERMINATED = 75, 130, 143

F = TypeVar("F", bound=Callable[..., Any])


class Terminated(BaseException):
    """SIGTERM arrived; `with` blocks are left on the way out."""


class LazyGroup(click.Group):
    """Verbs whose modules are imported only when they are used, so that ``--help`` is quick.

    Attributes:
        verbs: verb -> (``"module:attribute"`` of its command, one line of help).
    """

    def __init__(self, verbs: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self.verbs = verbs

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
            ctx.fail(f"No such verb {args[0]!r}.{_meant(args[0], self.verbs)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in self.verbs.items()])


def run_program(group: click.Command, name: str) -> NoReturn:
    """Run a program and leave with its exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_status(group, name))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _status(group: click.Command, name: str) -> int:
    try:
        status = group.main(prog_name=name, standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted; run the command again to go on.", err=True)
        return INTERRUPTED
    except Terminated:
        click.echo(f"{name}: terminated; run the command again to go on.", err=True)
        return TERMINATED
    except AvscError as fault:
        click.echo(f"{name}: error: {_one_line(str(fault))}", err=True)
        return fault.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_DATA
    except OSError as fault:
        if fault.filename is None:
            raise
        click.echo(f"{name}: error: {fault.filename}: {fault.strerror}.", err=True)
        return BAD_DATA
    return status if isinstance(status, int) else DONE


def _one_line(text: str) -> str:
    return " ".join(text.split())


def settings(command: F) -> F:
    """Give a command ``--config FILE.toml`` and an ``AVSC_*`` variable for each of its options."""

    def load(ctx: click.Context, option: click.Parameter, path: str | None) -> None:
        for parameter in ctx.command.params:
            if isinstance(parameter, click.Option) and parameter.name and not parameter.envvar:
                parameter.envvar = f"AVSC_{parameter.name.upper()}"
        if path is not None:
            ctx.default_map = _read_settings(Path(path), ctx.command)

    return click.option(
        "--config",
        metavar="FILE",
        envvar="AVSC_CONFIG",
        is_eager=True,
        expose_value=False,
        callback=load,
        help="TOML file of settings, named as the options are.",
    )(command)


def _read_settings(path: Path, command: click.Command) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise SettingError(f"{path}: cannot be read ({fault.strerror}).") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise SettingError(f"{path}: not TOML: {fault}.") from fault
    own = values.pop(command.name or "", {})
    for verb in [name for name, value in values.items() if isinstance(value, dict)]:
        del values[verb]  # settings of another verb
    if not isinstance(own, dict):
        raise SettingError(f"{path}: [{command.name}] is {own!r}; a table of settings is wanted.")
    known = {p.name: p for p in command.params if isinstance(p, click.Option) and p.name}
    found = {}
    for name, value in {**values, **own}.items():
        plain = name.replace("-", "_")
        if plain not in known or plain == "config":
            raise SettingError(f"{path}: no setting is called {name!r}.{_meant(plain, known)}")
        found[plain] = value
    return found


def _meant(name: str, known: Mapping[Any, Any]) -> str:
    near = difflib.get_close_matches(name, [str(k) for k in known], 1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(map(str, known))}."
