"""``avsc-prep failures``: list, export and retry failures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path

import click

from avsc.features.specs import SPECS, Spec
from avsc.features.store.failures import Failure, in_order
from avsc.features.store.layout import clips_file, index_file, read_description, receipt_file
from avsc.features.store.reader import Store
from avsc.manifests import escape
from avsc.manifests.errors import DONE, SettingError, StoreError
from avsc.manifests.files import publish
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.manifests.table import read_rows
from avsc.preprocess.receipt import read_receipt
from avsc.preprocess.request import OPTION_GROUPS
from avsc.preprocess.workers.options import WorkerOptions, add_worker_options


@click.command(
    "failures",
    cls=Verb,
    example="avsc-prep failures stores/TAU2021 --product images",
    groups={"Which": "product code export retry", **OPTION_GROUPS},
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--product", type=click.Choice(list(SPECS)), help="Only of this product.")
@click.option("--code", help="Only with this reason, such as truncated.")
@click.option("--export", type=click.Path(path_type=Path), help="Write them to a CSV file.")
@click.option("--retry", is_flag=True, help="Extract their clips again, and no others.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the data set, for --retry.  [default: that of the last extraction]",
)
@add_worker_options
@settings
def failures_command(
    store: Path,
    product: str | None,
    code: str | None,
    export: Path | None,
    retry: bool,
    root: Path | None,
    worker_options: WorkerOptions,
) -> int:
    """List what a STORE lacks and why, by product and reason.

    --retry extracts the listed clips again, with the specs of the store and the limits of the last
    extraction, and closes the store again; workers are chosen as in `extract`.
    """
    closed = index_file(store).exists()
    every = Store.open(store).failures if closed else _so_far(store)
    chosen = [f for f in every if product in (None, f.product) and code in (None, f.code)]
    if code and code not in {failure.code for failure in every}:
        known = ", ".join(sorted({failure.code for failure in every})) or "none"
        raise SettingError(f"--code: nothing failed with {code!r}; reasons here are: {known}.")
    _show(chosen, read_description(store).specs)
    if not closed:
        click.echo("The store is not closed: more may fail.")
    if export is not None:
        names = [field.name for field in fields(Failure)]
        publish(export, escape.csv_sheet([names, *map(astuple, chosen)]))
        click.echo(f"Wrote {export}")
    return _retry(store, root, chosen, closed, worker_options) if retry and chosen else DONE


def _so_far(store: Path) -> Sequence[Failure]:
    """Return what the receipts of a store that is not closed say, in the order of failures.csv."""
    description = read_description(store)
    blocks = range(-(-len(read_rows(clips_file(store))) // description.block_size))
    receipts = (
        read_receipt(receipt_file(store, spec, block))
        for spec in description.specs.values()
        for block in blocks
    )
    return in_order(failure for receipt in receipts if receipt for failure in receipt.failures)


def _show(failures: Iterable[Failure], specs: Mapping[str, Spec]) -> None:
    groups: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for failure in failures:
        groups[failure.product, failure.code].append(failure)
    if not groups:
        click.echo("Nothing failed.")
    for (product, code), group in sorted(groups.items()):
        clips = len({failure.clip for failure in group})
        click.echo(f"{product}, {code}: {len(group)} of {clips} clips")
        for failure in group:
            image = failure.image(specs)
            where = f"{failure.clip} {image}" if image else failure.clip
            click.echo(escape.terminal(f"  {where}: {failure.message}"))


def _retry(
    store: Path,
    root: Path | None,
    failures: Iterable[Failure],
    closed: bool,
    worker_options: WorkerOptions,
) -> int:
    from avsc.preprocess.commands.extract import make, show_plan
    from avsc.preprocess.request_file import load_request

    if not closed:
        raise StoreError(
            f"{store}: not closed. Run the same `avsc-prep extract` again: it makes what is "
            "missing, and what failed as well."
        )
    clips: dict[str, set[str]] = defaultdict(set)
    for failure in failures:
        clips[failure.product].add(failure.clip)
    only = {name: frozenset(ids) for name, ids in clips.items()}
    request = replace(load_request(store, root, "time"), only=only)
    plan = request.plan()
    show_plan(plan, request)
    return make(request, plan, None, worker_options)
