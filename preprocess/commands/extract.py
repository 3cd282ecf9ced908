"""``avsc-prep extract``: make what a store is missing."""

import os
from pathlib import Path

import click

from avsc.features.store.layout import (
    Description,
    clips_file,
    description_file,
    index_file,
    write_description,
)
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError
from avsc.manifests.publish import publish
from avsc.manifests.shell import DONE, DONE_WITH_FAILURES, settings
from avsc.manifests.table import encode_table
from avsc.preprocess.plan import Plan
from avsc.preprocess.request import Request, request_options

SHOWN = 10


@click.command()
@request_options
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: one a core]")
@click.option("--dashboard/--no-dashboard", default=False, help="Serve Dask's dashboard here.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@settings
def extract(request: Request, workers: int | None, dashboard: bool, dry_run: bool) -> int:
    """Make acoustic features and pictures of every clip, and keep them in a store.

    Run it again at will: only what is missing, changed or failed is made.
    """
    plan = request.plan()
    _show(plan, request)
    if dry_run:
        return DONE
    return _make(request, plan, workers or _cores(), dashboard)


def _show(plan: Plan, request: Request) -> None:
    clips = request.dataset
    click.echo(f"{clips.name}: {len(clips.clips)} clips in {plan.blocks} blocks -> {request.store}")
    for reason, count in sorted(plan.reasons.items()):
        click.echo(f"  {reason}: {count} (clip, product)")
    click.echo(f"  to do: {plan.n_clips} clips in {len(plan.tasks)} blocks")


def _make(request: Request, plan: Plan, workers: int, dashboard: bool) -> int:
    from avsc.preprocess.close import close, reopen

    store, clips, description = request.store, request.dataset, request.description
    table = encode_table(clips.clips)
    if not plan.tasks and _is_closed(store, description, table):
        closed = Store.open(store)
        click.echo(f"Nothing to do. Fingerprint {closed.fingerprint}")
        _show_failures(closed)
        return DONE_WITH_FAILURES if closed.failures else DONE
    reopen(store)
    write_description(store, description)
    publish(clips_file(store), table)
    if plan.tasks:
        _work(plan, min(workers, len(plan.tasks)), dashboard)
    done = close(store, clips, description)
    if done.environments > 1:
        click.echo(
            f"Note: the parts were made in {done.environments} different environments (versions or "
            "processors); their last bits may differ."
        )
    closed = Store.open(store)
    click.echo(f"Closed. Largest worker {done.peak_memory / 1e6:.0f} MB.")
    click.echo(f"Fingerprint {closed.fingerprint}")
    _show_failures(closed)
    return DONE_WITH_FAILURES if closed.failures else DONE


def _work(plan: Plan, workers: int, dashboard: bool) -> None:
    from avsc.preprocess.block import Summary
    from avsc.preprocess.progress import Reporter
    from avsc.preprocess.run import local_workers, run

    with local_workers(workers, dashboard) as client, Reporter(plan.n_clips) as reporter:
        if dashboard:
            reporter.say(f"Dashboard: {client.dashboard_link}")

        def done(summary: Summary) -> None:
            for warning in summary.warnings:
                reporter.say(f"warning: {warning}")
            reporter.advance(summary.clips, len(summary.failures))

        run(client, plan.tasks, 2 * workers, done, reporter.say)


def _is_closed(store: Path, description: Description, table: bytes) -> bool:
    """Tell whether a store is closed and says what it is to say."""
    if not index_file(store).exists() or clips_file(store).read_bytes() != table:
        return False
    if description_file(store).read_bytes() != description.encode():
        return False
    try:
        Store.open(store)
    except StoreError:
        return False
    return True


def _show_failures(store: Store) -> None:
    if not store.failures:
        return
    click.echo(f"{len(store.failures)} things could not be made; see {store.path}/failures.csv:")
    for failure in store.failures[:SHOWN]:
        click.echo(f"  {failure.clip} {failure.product}: {failure.message}")
    if len(store.failures) > SHOWN:
        click.echo(f"  and {len(store.failures) - SHOWN} more")


def _cores() -> int:
    return len(os.sched_getaffinity(0))
