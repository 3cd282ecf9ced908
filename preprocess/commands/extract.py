"""``avsc-prep extract``: extract what a store is missing."""

import shlex
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from avsc.features.store.layout import clips_file, description_file, index_file
from avsc.features.store.reader import Store
from avsc.manifests.errors import DONE, DONE_WITH_FAILURES, STOPPED, StoreError
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.manifests.table import encode_table
from avsc.preprocess.commands.close import finish, show
from avsc.preprocess.interrupt import interruptible
from avsc.preprocess.plan import Plan
from avsc.preprocess.request import OPTION_GROUPS, ExtractionRequest, request_options
from avsc.preprocess.workers.job_array import ARRAY_SHARE, ArrayShare
from avsc.preprocess.workers.options import WorkerOptions, add_worker_options

if TYPE_CHECKING:
    from avsc.preprocess.driver import Driver
    from avsc.preprocess.events import Events


@click.command(cls=Verb, example="avsc-prep extract --dataset TAU2021", groups=OPTION_GROUPS)
@request_options
@add_worker_options
@click.option(
    "--part",
    type=ARRAY_SHARE,
    metavar="I/N",
    help="Extract only every N-th block, from the I-th (1 to N) on, and leave the store open: for "
    "job arrays. `avsc-prep close` finishes it.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@settings
def extract(
    request: ExtractionRequest,
    worker_options: WorkerOptions,
    part: ArrayShare | None,
    dry_run: bool,
) -> int:
    """Extract acoustic features and images of every clip into a store.

    Safe to run again: only what is missing, changed or failed is extracted.
    """
    plan = request.plan(part.blocks) if part else request.plan()
    show_plan(plan, request, part)
    if dry_run:
        click.echo(worker_options.script(request.store), nl=False)
        return DONE
    if not plan.tasks and part:
        click.echo("Nothing to do.")
        return DONE
    if not plan.tasks and (closed := _closed(request)):
        click.echo("Nothing to do.")
        return show(request.store, closed)
    if not plan.tasks:
        click.echo("Nothing to make; the store is closed with what there is.")
    return make(request, plan, part, worker_options)


def show_plan(plan: Plan, request: ExtractionRequest, part: ArrayShare | None = None) -> None:
    """Say what is to be made, and for what reasons."""
    clips = request.dataset
    click.echo(f"{clips.name}: {len(clips.clips)} clips in {plan.blocks} blocks -> {request.store}")
    for reason, count in sorted(plan.reasons.items()):
        click.echo(f"  {reason}: {count} (clip, product)")
    of = f" of part {part}" if part else ""
    click.echo(f"  to do{of}: {plan.n_clips} clips in {len(plan.tasks)} blocks")


def make(
    request: ExtractionRequest, plan: Plan, part: ArrayShare | None, worker_options: WorkerOptions
) -> int:
    """Make all that is planned, close the store unless it is made in parts; return the status."""
    from avsc.preprocess.close import open_store
    from avsc.preprocess.events import Events
    from avsc.preprocess.request_file import save_request

    if plan.tasks:
        worker_options.import_dask()
    store, clips, description = request.store, request.dataset.clips, request.description
    open_store(store, clips, description)
    save_request(request)
    with interruptible(), Events(store) as events:
        todo = {"clips": plan.n_clips, "blocks": len(plan.tasks)}
        events.write("started", version=version("avsc"), options=_options(), **todo)
        if plan.tasks:
            driver = _work(request, plan, events, worker_options)
            if driver.left:
                return _leave(driver.left)
            if part:
                close = shlex.join(["avsc-prep", "close", str(store)])
                click.echo(f"Part {part} is made. `{close}` finishes the store.")
                return DONE_WITH_FAILURES if driver.failures else DONE
        closed = finish(store, clips, description)
        events.write("closed", fingerprint=closed.fingerprint)
    if events.fault:
        click.echo(f"Note: what happened was not recorded ({events.fault}).", err=True)
    return show(store, closed)


def _work(
    request: ExtractionRequest, plan: Plan, events: "Events", worker_options: WorkerOptions
) -> "Driver":
    """Let workers make all that is planned."""
    from avsc.preprocess.block_claims import BlockClaims
    from avsc.preprocess.driver import Driver
    from avsc.preprocess.progress import Reporter

    with (
        BlockClaims(request.store) as claims,
        worker_options.workers(request, len(plan.tasks)) as workers,
        Reporter(plan.n_clips) as reporter,
    ):
        if workers.note:
            reporter.say(f"Note: {workers.note}")
        if workers.dashboard:
            reporter.say(f"Dashboard: {workers.dashboard}")
        driver = Driver(workers, claims, events, reporter, request.renew)
        driver.run(plan.tasks)
    return driver


def _options() -> dict[str, str]:
    """Return the options of this command that are set, as text."""
    params = click.get_current_context().params
    return {name: str(value) for name, value in params.items() if value is not None}


def _leave(left: dict[int, str]) -> int:
    """Say what is left to other runs."""
    from avsc.preprocess.close import number_ranges

    for maker in sorted(set(left.values())):
        blocks = sorted(block for block, other in left.items() if other == maker)
        click.echo(f"Left to {maker}, which is making them: blocks {number_ranges(blocks)}.")
    click.echo("Everything else is made; the run that ends last closes the store.")
    return STOPPED


def _closed(request: ExtractionRequest) -> Store | None:
    """Return the store if it is closed, says what it is to say, and has the parts that it names."""
    from avsc.preprocess.close import is_current

    store, table = request.store, encode_table(request.dataset.clips)
    if not index_file(store).exists() or clips_file(store).read_bytes() != table:
        return None
    if description_file(store).read_bytes() != request.description.encode():
        return None
    if not is_current(store, request.dataset.clips, request.description):
        return None
    try:
        return Store.open(store)
    except StoreError:
        return None
