"""``avsc-fit table``: a table of the paper, measured beside printed."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avsc.manifests.errors import DONE, SettingError
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.checked_settings import option
from avsc.train.commands.fit import GROUPS, parameter
from avsc.train.settings import Settings

if TYPE_CHECKING:
    from avsc.train.paper.run_forecast import Forecast
    from avsc.train.paper.table_plan import Plan

CHOSEN_HERE = (
    "seed", "feature", "acoustic_run", "visual_run", "acoustic_embeddings", "visual_embeddings",
)  # fmt: skip
"""Settings that a table chooses itself, row by row."""

TABLE = "seeds only listed dry_run probe predictions resamples allow_missing"
"""Options of the table itself, for the help."""


def passed_on(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each setting that goes to all runs; without a default."""
    for each in reversed(fields(Settings)):
        if each.name in CHOSEN_HERE:
            continue
        kind = str if each.name == "visual_weights" else parameter(Settings, each.name)
        command = click.option(option(each.name), type=kind, help=each.metadata["help"])(command)
    return command


@click.command(
    cls=Verb, example="avsc-fit table 3 --seeds 0,1,2", groups={"Table": TABLE, **GROUPS}
)
@click.argument("table", type=click.Choice(["2", "3", "4", "5", "augment"]))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/tables"),
    show_default=True,
    help="Folder of the runs, each in a folder of its own, and of the table.",
)
@click.option(
    "--seeds", default="0", show_default=True, help="Seeds of each row's runs: 0,1,2 for three."
)
@click.option("--only", metavar="NAME", help="Make one run and no table.")
@click.option("--list", "listed", is_flag=True, help="Print the runs, one a line, and do nothing.")
@click.option("--dry-run", is_flag=True, help="Say what will be trained and how long that takes.")
@click.option(
    "--probe",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="With --dry-run: train for so long to measure what no run has timed.",
)
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Table 5: another system's predictions in the challenge's form; may be repeated.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100),
    default=10_000,
    show_default=True,
    help="Resamples of the locations within each scene, for the 95 % intervals.",
)
@click.option("--allow-missing", is_flag=True, help="Score what is there if segments are missing.")
@click.option("--wait", is_flag=True, help="Wait for runs that another process trains.")
@passed_on
@settings
def table(
    table: str,
    out: Path,
    seeds: str,
    only: str | None,
    listed: bool,
    dry_run: bool,
    probe: float,
    predictions: tuple[Path, ...],
    resamples: int,
    allow_missing: bool,
    wait: bool,
    **values: Any,
) -> int:
    """Train what is missing of a TABLE of the paper (2, 3, 4, 5, augment), evaluate, write it.

    Settings go to all its runs. --visual-weights takes BACKBONE=VALUE,BACKBONE=VALUE too.
    """
    from avsc.train.paper.table_plan import make_plan

    if predictions and table != "5":
        raise SettingError("--predictions is for table 5.")
    given = {name: value for name, value in values.items() if value is not None}
    chosen = _seeds(seeds)
    plan = make_plan(table, out, chosen, given)
    if listed:
        for job in plan.jobs.values():
            click.echo(f"{job.name}\t{job.command()}")
        return DONE
    if only is not None and only not in plan.jobs:
        raise SettingError(f"--only is {only!r}; the runs are {', '.join(plan.jobs)}.")
    if dry_run:
        return _say_forecast(plan, probe)
    return _make(plan, out, chosen, given, only, predictions, resamples, allow_missing, wait)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(each) for each in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise SettingError(f"--seeds is {text!r}; wanted different whole numbers, such as 0,1,2.")
    return seeds


def _say_forecast(plan: "Plan", probe: float) -> int:
    from avsc.train.evaluate.markdown import markdown_table
    from avsc.train.fit.console import Console
    from avsc.train.paper.run_forecast import forecasts, total

    with Console() as console:
        made = forecasts(plan, probe, console)
    click.echo(
        markdown_table([["run", "epochs", "left", "hours", "from"], *map(_forecast_cells, made)])
    )
    if not any(each.epochs for each in made):
        click.echo("nothing is left to train")
    for device, amount in total(made).items():
        if device == "not measured":
            click.echo(
                f"not measured: {amount:.0f} runs; train one epoch of each kind, or give "
                "--probe SECONDS"
            )
        else:
            click.echo(f"expected: {amount:.2f} hours on {device} (training alone)")
    return DONE


def _forecast_cells(each: "Forecast") -> list[str]:
    return [
        each.job.name,
        f"{each.state.epochs}/{each.job.settings.epochs}",
        str(each.epochs),
        "not measured" if each.hours is None else f"{each.hours:.2f}",
        each.pace.source if each.epochs else "",
    ]


def _make(
    plan: "Plan",
    out: Path,
    seeds: tuple[int, ...],
    given: dict[str, Any],
    only: str | None,
    predictions: tuple[Path, ...],
    resamples: int,
    allow_missing: bool,
    wait: bool,
) -> int:
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.submissions import read_entrant, read_truth
    from avsc.train.fit.console import Console
    from avsc.train.paper.make_runs import make_runs
    from avsc.train.paper.table_layout import markdown
    from avsc.train.paper.table_report import file_lines, remarks, table_lines, write_table

    how = Resampling(resamples)
    with Console() as console:
        names = [only] if only else list(plan.jobs)
        status = make_runs(plan, names, how, allow_missing, console, wait)
        if status != DONE or only:
            return status
        truth = read_truth(next(iter(plan.jobs.values())).settings.store)
        lines, found = table_lines(plan, truth, how)
        if predictions:
            ours = read_entrant(next(iter(plan.jobs.values())).folder, "centred", truth)
            lines += file_lines(predictions, ours, truth, how, allow_missing)
        page = write_table(out, plan, lines, found, given, seeds, how)
        console.say(markdown(lines))
        for note in remarks(plan, lines, found, given, seeds, how):
            console.say(f"- {note}")
        console.say(f"table: {page}, with .csv and .tex beside it")
    return DONE
