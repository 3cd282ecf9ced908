"""Options that commands which compute, evaluate or compare have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from avsc.train.systems import Answer

Command = Callable[..., Any]


answer_option = click.option(
    "--answer",
    type=click.Choice(get_args(Answer)),
    default="fused",
    show_default=True,
    help="Who answers: fused, the classifier of both modalities; late, the product of the unimodal "
    "heads (--unimodal-heads); fallback, the classifier, or the head of the modality that is left "
    "where one is missing.",
)


def evaluation_options(command: Command) -> Command:
    """Give a command the options that say which run's weights predict which clips, and where."""
    return _with(
        command,
        click.option(
            "--store", type=click.Path(path_type=Path), help="[default: the run's own store]"
        ),
        click.option(
            "--fold",
            type=click.Choice(["test", "train", "validation"]),
            default="test",
            show_default=True,
            help="Clips to evaluate on; train and validation are the run's parts of the training "
            "fold. Of runs with --folds, test is the group that each did not see.",
        ),
        click.option(
            "--checkpoint",
            type=click.Choice(["best", "last"]),
            default="best",
            show_default=True,
            help="Weights of the best epoch, or of the last checkpoint.",
        ),
        answer_option,
        click.option(
            "--resamples",
            type=click.IntRange(100),
            default=10_000,
            show_default=True,
            help="Resamples of the locations within each scene, for the 95 % intervals.",
        ),
        click.option(
            "--allow-other-store",
            is_flag=True,
            help="Accept a store whose contents differ from what the run was trained on.",
        ),
        computing_options,
    )


def computing_options(command: Command) -> Command:
    """Give a command the options that say what computes."""
    return _with(
        command,
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
        ),
        click.option(
            "--workers",
            type=click.IntRange(0),
            help="Threads that prepare images; does not affect results.  [default: one per core]",
        ),
    )


def page_options(page: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the options of a page.

    Args:
        page: its file, and what it shows, for the help; joined by a space.
    """
    name = page.partition(" ")[0]
    return lambda command: _with(
        command,
        click.option(
            "--page/--no-page", default=True, show_default=True, help=f"Write {page}, too."
        ),
        click.option("--media", is_flag=True, help=f"The clips' sound (Opus) beside {name}, too."),
        click.option(
            "--root",
            type=click.Path(path_type=Path),
            help="Folder of the recordings, for --media.  [default: that of the last extraction]",
        ),
        click.option(
            "--single-file", is_flag=True, help=f"Write {name} as one file, of at most 100 clips."
        ),
    )


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Give a command options, in their order."""
    for option in reversed(options):
        command = option(command)
    return command
