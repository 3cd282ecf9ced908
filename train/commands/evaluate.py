"""``avsc-fit evaluate``: a run on the test fold, as the official task does it."""

from pathlib import Path
from typing import Any, Literal

import click

from avsc.manifests.errors import AvscError
from avsc.manifests.shell import DONE, settings


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="[default: the run's own store]")
@click.option(
    "--fold",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="What to evaluate on; train is the whole training fold.",
)
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights of the best epoch, or of the last save.",
)
@click.option("--allow-missing", is_flag=True, help="Evaluate although segments are missing.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Samples at a time.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Threads that prepare pictures.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: RUN/evaluation-FOLD]",
)
@settings
def evaluate(
    run: Path,
    store: Path | None,
    fold: str,
    checkpoint: Literal["best", "last"],
    allow_missing: bool,
    device: str,
    batch_size: int,
    workers: int,
    out: Path | None,
) -> int:
    """Evaluate a RUN: log-loss and accuracy, both protocols, predictions, pictures."""
    from avsc.features.store.reader import Store
    from avsc.train.fit.device import choose_device
    from avsc.train.fit.restore import restore
    from avsc.train.score.evaluation import evaluate_rows, fold_rows
    from avsc.train.score.report import write_report

    trained = restore(run, checkpoint)
    record = trained.record
    opened = Store.open(store or Path(record.store.path), list(record.store.specs))
    if opened.fingerprint != record.store.fingerprint:
        raise AvscError(
            f"{opened.path}: fingerprint {opened.fingerprint[:12]}, and the run was trained on "
            f"{record.store.fingerprint[:12]}: another store, or it has changed. Name the right "
            "one with --store, or train again."
        )
    chosen, text = choose_device(device)
    click.echo(text)
    stamp: dict[str, Any] = {
        "system": record.system.name,
        "run": str(run),
        "fold": fold,
        "checkpoint": checkpoint,
        "epoch": trained.epoch,
        "settings_digest": record.digest,
        "store": record.store.dataset,
        "fingerprint": opened.fingerprint,
        "visual_encoder": "none" if record.visual is None else record.visual.origin,
        "versions": record.versions,
    }
    rows = fold_rows(opened, trained, fold)
    found = evaluate_rows(trained, opened, rows, stamp, chosen, batch_size, workers, allow_missing)
    folder = out or run / f"evaluation-{fold}"
    write_report(folder, run, found)
    click.echo(found.table())
    made = {protocol: len(segments) for protocol, segments in found.segments.items()}
    click.echo(f"{made['strict']}/{found.expected} segments; report in {folder}")
    return DONE
