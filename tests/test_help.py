"""The help of every verb: options in groups, and an example that can be copied."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from avsc.manifests.help import Verb
from avsc.preprocess.cli import program as prep
from avsc.train.cli import program as fit
from avsc.train.settings.scenes import Settings
from avsc.train.systems import VERBS

PROGRAMS = {"avsc-prep": prep, "avsc-fit": fit}
MANY = 12
"""Options from which they are to be in groups."""
EVERY = [(name, verb) for name, program in PROGRAMS.items() for verb in program.verbs]
OTHER = {"--config", "--help", "--dry-run"}
"""Options that belong to no group."""


def command_of(program: str, verb: str) -> Verb:
    command = PROGRAMS[program].get_command(click.Context(PROGRAMS[program]), verb)
    assert isinstance(command, Verb)
    return command


@pytest.mark.parametrize(("program", "verb"), EVERY)
def test_examples_are_understood(program: str, verb: str) -> None:
    command = command_of(program, verb)
    name, called, *arguments = shlex.split(command.example)
    assert (name, called) == (program, verb)
    with command.make_context(verb, arguments) as context:
        if verb in VERBS:
            names = Settings.__dataclass_fields__
            values = {key: value for key, value in context.params.items() if key in names}
            Settings(**values).chosen(VERBS[verb])  # names all that the system needs
    shown = CliRunner().invoke(PROGRAMS[program], [verb, "--help"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.endswith(f"\nExample:\n  {command.example}\n")
    assert shown.output.count("Example:") == 1


@pytest.mark.parametrize(("program", "verb"), EVERY)
def test_every_option_is_shown_once_and_many_are_in_groups(program: str, verb: str) -> None:
    command = command_of(program, verb)
    context = click.Context(command, info_name=verb)
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    formatter = context.make_formatter()
    command.format_options(context, formatter)
    text = formatter.getvalue()
    for option in options:
        shown = [line for line in text.splitlines() if line.startswith(f"  {option.opts[0]}")]
        assert sum(line.split()[0].strip(",") == option.opts[0] for line in shown) == 1
    assert "\n  RUN\n" not in text
    assert not re.search(r"\[default: [^]]*\]\s*\[default: ", text)
    if len(options) > MANY:
        grouped = {name for names in command.groups.values() for name in names}
        left = {option.opts[0] for option in options if option.name not in grouped}
        assert left <= OTHER
