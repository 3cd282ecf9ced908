"""``avsc-fit table``: reproduce a table of the paper, next to its published figures."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avsc.manifests.errors import DONE, SettingError
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.fit import GROUPS, parameter
from avsc.train.settings.declared import option
from avsc.train.settings.scenes import Settings

if TYPE_CHECKING:
    from avsc.train.paper.forecast import RunForecast
    from avsc.train.paper.plan import TablePlan

CHOSEN_HERE = (
    "seed", "feature", "acoustic_run", "visual_run", "acoustic_embeddings", "visual_embeddings",
)  # fmt: skip
"""Settings that a table sets itself, row by row."""

TABLE = "seeds ensemble only listed dry_run probe predictions resamples allow_missing"
"""Options of the table itself, for the help."""


def run_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each setting that applies to all runs; without a default."""
    for field in reversed(fields(Settings)):
        if field.name in CHOSEN_HERE:
            continue
        kind = str if field.name == "visual_weights" else parameter(Settings, field.name)
        command = click.option(option(field.name), type=kind, help=field.metadata["help"])(command)
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
    help="Folder of the table and of the runs, each in its own subfolder.",
)
@click.option(
    "--seeds",
    default="0",
    show_default=True,
    help="Seeds of each row's runs, e.g. 0,1,2 for three.",
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="Add a line for the mean of the probabilities of each row's runs over several seeds.",
)
@click.option("--only", metavar="NAME", help="Train and evaluate one run, and write no table.")
@click.option("--list", "listed", is_flag=True, help="Print the runs, one per line, and exit.")
@click.option("--dry-run", is_flag=True, help="Print what will be trained and how long that takes.")
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
    help="Table 5: another system's predictions file in the challenge's form; may be repeated.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100),
    default=10_000,
    show_default=True,
    help="Resamples of the locations within each scene, for the 95 % intervals.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Score the segments that are there if some are missing.",
)
@click.option("--wait", is_flag=True, help="Wait for runs that another process trains.")
@run_settings
@settings
def table(
    table: str,
    out: Path,
    seeds: str,
    ensemble: bool,
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
    """Train and evaluate the runs that a TABLE of the paper (2, 3, 4, 5, augment) lacks; write it.

    Settings apply to all its runs. --visual-weights also takes BACKBONE=VALUE,BACKBONE=VALUE.
    """
    from avsc.train.paper.plan import make_plan

    if predictions and table != "5":
        raise SettingError("--predictions is for table 5.")
    overrides = {name: value for name, value in values.items() if value is not None}
    chosen = _seeds(seeds, ensemble)
    plan = make_plan(table, out, chosen, overrides)
    if listed:
        for run in plan.runs.values():
            click.echo(f"{run.name}\t{run.command()}")
        return DONE
    if only is not None and only not in plan.runs:
        raise SettingError(f"--only is {only!r}; the runs are {', '.join(plan.runs)}.")
    if dry_run:
        return _print_forecast(plan, probe)

    # Slow to import, and not needed before.
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.submissions import read_truth
    from avsc.train.fit.console import Console
    from avsc.train.paper.runs import EvaluationOptions, make_runs
    from avsc.train.paper.table import make_table, with_ensembles, with_submissions
    from avsc.train.paper.table_report import markdown, remarks, write_table

    options = EvaluationOptions(Resampling(resamples), allow_missing)
    with Console() as console:
        names = [only] if only else list(plan.runs)
        status = make_runs(plan, names, options, console, wait)
        if status != DONE or only:
            return status
        truth = read_truth(next(iter(plan.runs.values())).settings.store)
        made = make_table(plan, truth, overrides, chosen, options.resampling)
        if ensemble:
            made = with_ensembles(made, truth)
        if predictions:
            made = with_submissions(made, predictions, truth, allow_missing)
        page = write_table(out, made)
        lines = [markdown(made.lines), *(f"- {note}" for note in remarks(made))]
        for line in (*lines, f"table: {page}, with .csv and .tex beside it"):
            console.say(line)
    return DONE


def _seeds(text: str, ensemble: bool) -> tuple[int, ...]:
    try:
        seeds = tuple(int(seed) for seed in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise SettingError(
            f"--seeds is {text!r}; wanted distinct non-negative integers, such as 0,1,2."
        )
    if ensemble and len(seeds) < 2:
        raise SettingError(f"--ensemble is of several seeds; --seeds is {text}. Name some: 0,1,2.")
    return seeds


def _print_forecast(plan: "TablePlan", probe: float) -> int:
    from avsc.train.evaluate.writing import markdown_table
    from avsc.train.fit.console import Console
    from avsc.train.paper.forecast import forecasts, total

    with Console() as console:
        by_run = forecasts(plan, probe, console)
    header = ["run", "epochs", "left", "hours", "from"]
    click.echo(markdown_table([header, *map(_forecast_cells, by_run)]))
    if not any(forecast.epochs for forecast in by_run):
        click.echo("nothing is left to train")
    for device, amount in total(by_run).items():
        if device == "not measured":
            click.echo(
                f"not measured: {amount:.0f} runs; train one epoch of each kind, or add "
                "--probe SECONDS"
            )
        else:
            click.echo(f"expected: {amount:.2f} hours on {device} (training only)")
    return DONE


def _forecast_cells(forecast: "RunForecast") -> list[str]:
    return [
        forecast.run.name,
        f"{forecast.state.epochs}/{forecast.run.settings.epochs}",
        str(forecast.epochs),
        "not measured" if forecast.hours is None else f"{forecast.hours:.2f}",
        forecast.pace.source if forecast.epochs else "",
    ]
