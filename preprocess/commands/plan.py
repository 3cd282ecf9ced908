"""``avsc-prep plan``: estimate the cost of an extraction, and write its batch script."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from avsc.manifests.errors import DONE
from avsc.manifests.files import publish
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.preprocess.commands.extract import show_plan
from avsc.preprocess.plan import Plan
from avsc.preprocess.request import (
    OPTION_GROUPS,
    ExtractionRequest,
    explicit_options,
    request_options,
)
from avsc.preprocess.workers.batch_systems import walltime_seconds
from avsc.preprocess.workers.job_array import ArrayJob, jobs_needed, script

if TYPE_CHECKING:
    from avsc.preprocess.forecast import Estimate, Forecast

TIMES = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
WORKER_BYTES = 600_000_000  # the least that a worker is given


@click.command(
    "plan", cls=Verb, example="avsc-prep plan --dataset TAU2021 --workers 16", groups=OPTION_GROUPS
)
@request_options
@click.option(
    "--workers", type=click.IntRange(1), help="Estimate for this many.  [default: one per core]"
)
@click.option(
    "--sample", type=click.IntRange(2), default=8, show_default=True, help="Clips to measure."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the sample.")
@click.option(
    "--cluster-script",
    type=click.Path(path_type=Path),
    help="Write a batch script for Slurm: a job array that makes the store in parts.",
)
@click.option(
    "--walltime", default="04:00:00", show_default=True, help="Time limit of each job of the array."
)
@click.option(
    "--cores", type=click.IntRange(1), default=8, show_default=True, help="Cores of each such job."
)
@settings
def plan_command(
    request: ExtractionRequest,
    workers: int | None,
    sample: int,
    seed: int,
    cluster_script: Path | None,
    walltime: str,
    cores: int,
) -> int:
    """Measure a few clips and estimate the time, storage and files of the whole; makes no store.

    The estimate is of what `extract` with the same options has left to do.
    """
    from avsc.preprocess.forecast import forecast

    seconds = walltime_seconds(walltime, name="--walltime")
    plan = request.plan()
    show_plan(plan, request)
    if not plan.tasks:
        click.echo("Nothing to do.")
        return DONE
    seen = forecast(plan, len(request.description.specs), sample, seed)
    _show(seen, plan, seed, workers or len(os.sched_getaffinity(0)))
    if cluster_script is not None:
        jobs = ArrayJob(seconds, cores, max(WORKER_BYTES, 3 * seen.peak_memory // 2))
        count = jobs_needed(seen.seconds.high * seen.clips, len(plan.tasks), jobs)
        arguments = explicit_options(request)
        publish(cluster_script, script(arguments, request.store, count, walltime, jobs).encode())
        click.echo(f"Wrote {cluster_script}: {count} jobs of {cores} cores and {walltime}.")
        then = ["avsc-prep", "close", str(request.store)]
        click.echo(f"Next: {shlex.join(['sbatch', str(cluster_script)])}; then {shlex.join(then)}")
    return DONE


def _show(seen: "Forecast", plan: Plan, seed: int, workers: int) -> None:
    from avsc.preprocess.forecast import span

    times = sorted(one.seconds for one in seen.measured)
    click.echo(
        f"Measured {len(times)} clips spread over these (seed {seed}), one after the other on one "
        f"core: {times[0]:.2f} to {times[-1]:.2f} s, mean {seen.seconds.mean:.2f} s; "
        f"{seen.bytes_made.mean / 1e3:.0f} kB made of {seen.bytes_read.mean / 1e6:.1f} MB; "
        f"{seen.peak_memory / 1e6:.0f} MB of memory."
    )
    for clip in seen.lost:
        click.echo(f"  ended the process that made it, or took too long: {clip}")
    for one in seen.measured:
        for failure in one.failures:
            click.echo(f"  could not be made: {failure.product} of {one.clip}: {failure.message}")
    busiest = span(plan.tasks, workers)
    wall = seen.seconds.times(busiest)
    made, read = seen.bytes_made.times(seen.clips), seen.bytes_read.times(seen.clips)
    click.echo("What is to do will take")
    click.echo(f"  {_range(wall, TIMES)} on {workers} workers; the busiest makes {busiest} clips")
    click.echo(f"  {_range(seen.seconds.times(seen.clips), TIMES)} of one core")
    click.echo(f"  {_range(made, SIZES)} to be written; {seen.files} files in the closed store")
    rate = read.mean / wall.mean / 1e6
    click.echo(f"  {_range(read, SIZES)} to be read, {rate:.0f} MB/s all workers together")


def _range(estimate: "Estimate", units: tuple[tuple[float, str], ...]) -> str:
    """Return an estimate in words, in a unit that suits it, with its 95 % interval."""
    unit, name = next((one for one in units if estimate.mean >= one[0]), units[-1])
    low, mean, high = (value / unit for value in (estimate.low, estimate.mean, estimate.high))
    return f"{mean:.3g} {name} ({low:.3g} to {high:.3g})"
