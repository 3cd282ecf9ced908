"""``--help`` of a verb: its options in groups, and an example to copy."""

from collections.abc import Mapping
from typing import Any

import click


class Verb(click.Command):
    """A verb of a program.

    Args:
        example: a command line that does what one mostly wants of it.
        groups: heading -> names of options, separated by blanks, in the order of the table; the
            others come last. One table may serve several verbs: what one has not is left out.
    """

    def __init__(
        self, *args: Any, example: str, groups: Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.example = example
        self.groups = {heading: names.split() for heading, names in (groups or {}).items()}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        lines = {}
        for option in self.get_params(ctx):
            line = option.get_help_record(ctx)
            if isinstance(option, click.Option) and line is not None:
                lines[option.name] = line
        for heading, names in self.groups.items():
            if here := [lines.pop(name) for name in names if name in lines]:
                with formatter.section(heading):
                    formatter.write_dl(here)
        with formatter.section("Other options" if self.groups else "Options"):
            formatter.write_dl(list(lines.values()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example on a line of its own, however long."""
        with formatter.section("Example"):
            formatter.write(f"  {self.example}\n")
