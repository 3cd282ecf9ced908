"""``avsc-fit evaluate``: a run on the test fold, as the official task does it."""

import os
from pathlib import Path
from typing import Any, Literal

import click

from avsc.manifests.shell import DONE, settings


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="[default: the run's own store]")
@click.option(
    "--fold",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Clips to evaluate on; train and validation are the run's parts of the training fold.",
)
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights of the best epoch, or of the last save.",
)
@click.option("--allow-missing", is_flag=True, help="Score what is there if segments are missing.")
@click.option(
    "--allow-other-store",
    is_flag=True,
    help="Accept a store whose contents are not those that the run was trained on.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Samples at a time.  [default: the run's]"
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Threads that prepare pictures; changes no result.  [default: one a core]",
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
    allow_other_store: bool,
    device: str,
    batch_size: int | None,
    workers: int | None,
    out: Path | None,
) -> int:
    """Evaluate a RUN: log-loss and accuracy by two protocols, predictions, pictures, report."""
    from avsc.features.store.reader import Store
    from avsc.train.fit.console import Console
    from avsc.train.fit.device import choose_device
    from avsc.train.fit.record import versions
    from avsc.train.fit.restore import restore
    from avsc.train.score.evaluation import Computing, check_store, evaluate_clips
    from avsc.train.score.folds import fold_rows
    from avsc.train.score.report import check_folder, coverage, table, write_report

    folder = out or run / f"evaluation-{fold}"
    check_folder(folder)
    trained = restore(run, checkpoint)
    record = trained.record
    opened = Store.open(store or Path(record.store.path), list(record.store.specs))
    check_store(opened, trained, allow_other_store)
    rows = fold_rows(opened, trained, fold)
    stamp: dict[str, Any] = {
        "system": record.system.name,
        "fold": fold,
        "clips": len(rows),
        "run": str(run),
        "run_digest": record.digest,
        "checkpoint": checkpoint,
        "epoch": trained.epoch,
        "dataset": opened.name,
        "store": str(opened.path),
        "store_fingerprint": opened.fingerprint,
        "store_trained_on": record.store.fingerprint,
        "visual_encoder": None if record.visual is None else record.visual.origin,
        "visual_digest": None if record.visual is None else record.visual.digest,
        "settings": record.settings.record(),
        "versions_training": record.versions,
        "versions_evaluation": versions(),
    }
    with Console() as console:
        chosen, text = choose_device(device)
        console.say(text)
        console.say(
            f"{run}: {record.system.name}, {checkpoint} checkpoint, epoch {trained.epoch}; {fold} "
            f"fold: {len(rows)} clips of {opened.path}"
        )
        computing = Computing(
            chosen,
            batch_size or record.settings.batch_size,
            len(os.sched_getaffinity(0)) if workers is None else workers,
        )
        found = evaluate_clips(trained, opened, rows, stamp, computing, console, allow_missing)
        write_report(folder, trained.folder, found)
        console.say(table(found))
        console.say(coverage(found))
        console.say(f"report: {folder / 'report.md'}")
    return DONE
