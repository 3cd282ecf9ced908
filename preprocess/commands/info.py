"""``avsc-prep info``: what a store holds, how complete it is, how big."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from avsc.features.specs import SPECS, AcousticSpec
from avsc.features.store.labels import label_faults
from avsc.features.store.layout import (
    clips_file,
    index_file,
    part_file,
    product_folder,
    read_description,
    receipt_file,
)
from avsc.features.store.reader import Store
from avsc.manifests import escape
from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.table import name_warnings, read_rows
from avsc.preprocess.receipt import read_receipt


@click.command(cls=Verb, example="avsc-prep info stores/TAU2021")
@click.argument("store", type=click.Path(path_type=Path))
def info(store: Path) -> int:
    """Show what a STORE holds, how complete it is and how big."""
    description = read_description(store)
    clips = read_rows(clips_file(store))
    blocks = range(-(-len(clips) // description.block_size))
    folds = Counter(clip.fold or "no fold" for clip in clips)
    counts = ", ".join(f"{number} {fold}" for fold, number in sorted(folds.items()))
    click.echo(f"{store}: {description.dataset}, {len(clips)} clips ({counts})")
    scenes = f"{len(description.classes)} scenes: {', '.join(description.classes)}"
    click.echo(escape.terminal(scenes))
    for warning in name_warnings(clips):
        click.echo(f"Note: {warning}")
    for name, spec in sorted(description.specs.items()):
        made = [b for b in blocks if receipt_file(store, spec, b).exists()]
        size = sum(part_file(store, spec, block).stat().st_size for block in made)
        click.echo(f"{name} {spec.digest[:12]}: {len(made)}/{len(blocks)} parts, {size:,} bytes")
        click.echo(f"  {json.dumps(spec.parameters())}")
        if isinstance(spec, AcousticSpec):
            click.echo(f"  {_level(store, spec, made)}")
    used = {product_folder(store, spec) for spec in description.specs.values()}
    for folder in sorted({f for name in SPECS for f in (store / name).glob("*/")} - used):
        click.echo(f"superseded, may be removed: {folder}")
    if not index_file(store).exists():
        click.echo("Not closed: run the same `avsc-prep extract` again.")
        return DONE
    opened = Store.open(store)
    for name in opened.products:
        held = opened.records(name).clip
        lost = len(clips) - len(set(held.tolist()))
        click.echo(f"{name}: {len(held)} records, {lost} clips without")
    for fault in label_faults(opened):
        click.echo(escape.terminal(f"Note: {fault}."))
    failures = Counter((failure.product, failure.code) for failure in opened.failures)
    for (product, code), number in sorted(failures.items()):
        click.echo(f"failed: {product}, {code}: {number}")
    click.echo(f"Closed. Fingerprint {opened.fingerprint}")
    return DONE


def _level(store: Path, spec: AcousticSpec, made: Sequence[int]) -> str:
    """Return what is said of the level of the sound that a product was made of."""
    receipts = [read_receipt(receipt_file(store, spec, block)) for block in made]
    levels = [
        level for receipt in receipts if receipt for level in receipt.levels if level is not None
    ]
    if not levels:
        return "level of the sound: not recorded (extracted by an earlier version)"
    low, median, high = np.percentile(levels, [5, 50, 95])
    return (
        f"level of the sound (rms of both channels): median {median:.1f} dBFS, 5th percentile "
        f"{low:.1f}, 95th {high:.1f}; {len(levels)} clips"
    )
