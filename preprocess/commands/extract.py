"""``avsc-prep extract``: make what a store is missing."""

import os
from dataclasses import replace
from pathlib import Path

import click

from avsc.features.specs import SPECS, FbankSpec, ImageSpec, ScalogramSpec, Spec
from avsc.features.store.layout import (
    Description,
    clips_file,
    description_file,
    index_file,
    read_description,
    write_description,
)
from avsc.features.store.reader import Store
from avsc.manifests.clips import Dataset
from avsc.manifests.errors import SettingError, StoreError
from avsc.manifests.publish import publish
from avsc.manifests.shell import DONE, DONE_WITH_FAILURES, settings
from avsc.manifests.table import encode_table, read_table
from avsc.manifests.tau2021 import DATASETS, find_dataset
from avsc.preprocess.plan import Plan, make_plan

SHOWN = 10


@click.command()
@click.option("--dataset", type=click.Choice(list(DATASETS)), help="A known data set.")
@click.option("--manifest", type=click.Path(path_type=Path), help="CSV list of any other clips.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the data set.  [default: $AVSC_DATA/NAME, ./data/NAME; the manifest's folder]",
)
@click.option("--out", type=click.Path(path_type=Path), help="The store.  [default: stores/NAME]")
@click.option(
    "--products",
    default=",".join(SPECS),
    show_default=True,
    help="What to keep of each clip, by commas.",
)
@click.option(
    "--image-short-side",
    type=int,
    default=ImageSpec().short_side,
    show_default=True,
    help="Shorter side of the stored pictures, pixels; 0 keeps the source's size.",
)
@click.option(
    "--image-quality",
    type=int,
    default=ImageSpec().quality,
    show_default=True,
    help="JPEG quality, 1 to 100.",
)
@click.option(
    "--scalogram-q",
    type=int,
    default=ScalogramSpec().q,
    show_default=True,
    help="Wavelets an octave.",
)
@click.option(
    "--fbank-bands", type=int, default=FbankSpec().bands, show_default=True, help="Mel bands."
)
@click.option(
    "--block-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Clips in a part file; fixed once a store exists.",
)
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: one a core]")
@click.option(
    "--check",
    type=click.Choice(["time", "content"]),
    default="time",
    show_default=True,
    help="How a changed recording is told: size and time, or digests.",
)
@click.option("--dashboard/--no-dashboard", default=False, help="Serve Dask's dashboard here.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@settings
def extract(
    dataset: str | None,
    manifest: Path | None,
    root: Path | None,
    out: Path | None,
    products: str,
    image_short_side: int,
    image_quality: int,
    scalogram_q: int,
    fbank_bands: int,
    block_size: int,
    workers: int | None,
    check: str,
    dashboard: bool,
    dry_run: bool,
) -> int:
    """Make acoustic features and pictures of every clip, and keep them in a store.

    Run it again at will: only what is missing, changed or failed is made.
    """
    specs = _specs(
        products,
        ScalogramSpec(q=scalogram_q),
        FbankSpec(bands=fbank_bands),
        ImageSpec(short_side=image_short_side, quality=image_quality),
    )
    clips = _clips(dataset, manifest, root)
    store = out or Path("stores") / clips.name
    description = _description(store, clips, specs, block_size)
    plan = make_plan(store, clips, description, "content" if check == "content" else "time")
    _show(plan, clips, store)
    if dry_run:
        return DONE
    return _make(store, clips, description, plan, workers or _cores(), dashboard)


def _specs(products: str, *specs: Spec) -> dict[str, Spec]:
    known = {spec.product: spec for spec in specs}
    names = [name.strip() for name in products.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise SettingError(f"--products: {name!r} is not known; known are {', '.join(known)}.")
    if not names:
        raise SettingError(f"--products: nothing named; known are {', '.join(known)}.")
    return {name: known[name] for name in names}


def _clips(dataset: str | None, manifest: Path | None, root: Path | None) -> Dataset:
    if (dataset is None) == (manifest is None):
        raise click.UsageError("Name either --dataset NAME or --manifest FILE.")
    if manifest is not None:
        return read_table(manifest, root or manifest.parent)
    return find_dataset(str(dataset), root)


def _description(store: Path, clips: Dataset, specs: dict[str, Spec], size: int) -> Description:
    """Return what the store is to hold: what it holds already, and the products asked for."""
    wanted = Description(clips.name, clips.classes, size, specs)
    if not description_file(store).exists():
        if store.is_dir() and any(store.iterdir()):
            raise StoreError(f"{store}: not empty, and no store; name another folder with --out.")
        return wanted
    found = read_description(store)
    if found.dataset != clips.name:
        raise StoreError(
            f"{store}: a store of {found.dataset}, not of {clips.name}; name another folder with "
            "--out."
        )
    if found.block_size != size:
        raise StoreError(
            f"{store}: made with --block-size {found.block_size}, not {size}. Use "
            f"--block-size {found.block_size}, or name another folder with --out."
        )
    return replace(wanted, specs={**found.specs, **specs})


def _show(plan: Plan, clips: Dataset, store: Path) -> None:
    click.echo(f"{clips.name}: {len(clips.clips)} clips in {plan.blocks} blocks -> {store}")
    for reason, count in sorted(plan.reasons.items()):
        click.echo(f"  {reason}: {count} (clip, product)")
    click.echo(f"  to do: {plan.n_clips} clips in {len(plan.tasks)} blocks")


def _make(
    store: Path,
    clips: Dataset,
    description: Description,
    plan: Plan,
    workers: int,
    dashboard: bool,
) -> int:
    from avsc.preprocess.close import close, reopen

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
