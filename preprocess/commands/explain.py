"""``avsc-prep explain``: why a clip will be extracted again or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from avsc.manifests import escape
from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.preprocess.plan import Check
from avsc.preprocess.request import OPTION_GROUPS, SPEC_CHOICES, with_options


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of specs, as in `extract`."""
    return with_options(command, SPEC_CHOICES)


@click.command(
    "explain",
    cls=Verb,
    example="avsc-prep explain CLIP --store stores/TAU2021",
    groups=OPTION_GROUPS,
)
@click.argument("clip")
@click.option("--store", type=click.Path(path_type=Path), required=True, help="The store.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the data set.  [default: that of the last extraction]",
)
@click.option(
    "--check",
    type=click.Choice(["time", "content"]),
    default="time",
    show_default=True,
    help="How to detect changed recordings, as in `extract`.",
)
@spec_options
@settings
def explain_command(
    clip: str, store: Path, root: Path | None, check: Check, **given: int | None
) -> int:
    """Explain for each product of CLIP whether `extract` will make it again, why, and what made it.

    Options of specs are those that `extract` would be given; by default, the store's own.
    """
    from avsc.preprocess.explain import explain
    from avsc.preprocess.request_file import load_request

    for line in explain(load_request(store, root, check, given), clip):
        click.echo(escape.terminal(line))
    return DONE
