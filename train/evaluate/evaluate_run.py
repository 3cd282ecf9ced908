"""Evaluating a run: from its folder to its report.

What ``avsc-fit evaluate`` does, for whoever else needs a run evaluated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.folder_claims import claimed
from avsc.manifests.table import name_warnings
from avsc.train.evaluate.bootstrap import METHOD, Resampling
from avsc.train.evaluate.calibration import Temperature
from avsc.train.evaluate.predict import (
    Evaluation,
    check_store,
    predict_clips,
    with_temperature,
)
from avsc.train.evaluate.report import check_folder, write_report
from avsc.train.evaluate.results import judge
from avsc.train.fit.compute import Computing, choose_device, cores
from avsc.train.fit.console import Console
from avsc.train.fit.refs import find_store
from avsc.train.fit.run_record import read_record, versions
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.protocol import PROTOCOLS, Protocol


@dataclass(frozen=True)
class Request:
    """What to evaluate, and how.

    Attributes:
        run: folder of the run.
        store: None means the store that the run was trained on.
        fold: ``"test"``, or one of the run's own parts, ``"train"`` or ``"validation"``.
        checkpoint: weights of the best epoch, or of the last save.
        protocols: which frames count, and for what.
        temperature: give the predictions a temperature fitted on the run's validation part.
        resampling: of the bootstrap.
        allow_missing: score what is there if segments are missing.
        allow_other_store: accept a store of other contents.
        device: a name as `choose_device` takes it.
        batch_size: samples at a time; None means the run's.
        workers: threads that prepare pictures; None means one a core.
        out: folder of the report; None means `report_folder`.
    """

    run: Path
    store: Path | None = None
    fold: str = "test"
    checkpoint: Literal["best", "last"] = "best"
    protocols: tuple[Protocol, ...] = PROTOCOLS
    temperature: bool = False
    resampling: Resampling = field(default_factory=Resampling)
    allow_missing: bool = False
    allow_other_store: bool = False
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    out: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of the report."""
        name = f"evaluation-{self.fold}{'-temperature' if self.temperature else ''}"
        return self.out or self.run / name


def evaluate_run(wanted: Request, console: Console, wait: bool = False) -> Evaluation:
    """Evaluate a run and write its report.

    Args:
        wanted: what to evaluate, and how.
        console: told what is done.
        wait: for another process that writes a report there.

    Raises:
        ClaimedError: another process writes a report there.
        AvscError: the run, the store or the folder cannot be used, or segments are missing.
        SettingError: they do not belong together.
    """
    check_folder(wanted.folder)
    trained = restore(wanted.run, wanted.checkpoint)
    doing, remedy = "an evaluation is being made here", "Let it end, or name another by --out."
    with claimed(wanted.folder, doing, remedy, console.say, wait=wait) as claim:
        found = _evaluate(trained, wanted, console)
        _check_same_run(trained)
        write_report(wanted.folder, trained.folder, found, claim.check)
    return found


def _check_same_run(trained: Trained) -> None:
    """Raise an `AvscError` if the run's folder holds another run by now."""
    if read_record(trained.folder.settings).digest != trained.record.digest:
        raise AvscError(
            f"{trained.folder.path}: another run was begun here while this one was evaluated; "
            "nothing was written. Evaluate again the one that is wanted."
        )


def _evaluate(trained: Trained, wanted: Request, console: Console) -> Evaluation:
    mark = trained.record.store
    path = wanted.store or find_store(mark.path, wanted.run, "Name it by --store.")
    store = Store.open(path, list(mark.specs))
    check_store(store, trained, wanted.allow_other_store)
    rows = fold_rows(store, trained, wanted.fold)
    held = _validation_rows(store, trained, wanted) if wanted.temperature else []
    device, text = choose_device(wanted.device)
    console.say(text)
    console.say(
        f"{wanted.run}: {trained.record.system.name}, {wanted.checkpoint} checkpoint, epoch "
        f"{trained.epoch}; {wanted.fold} fold: {len(rows)} clips of {store.path}"
    )
    for warning in name_warnings(store.clips):
        console.say(f"note: {warning}")
    if trained.file.name != f"{wanted.checkpoint}.pt":
        console.say(
            f"{trained.folder.best} is damaged or not of the best epoch; {trained.file.name} holds "
            "the same weights"
        )
    computing = Computing(
        device,
        wanted.batch_size or trained.record.settings.batch_size,
        cores() if wanted.workers is None else wanted.workers,
    )
    how = (wanted.protocols, computing, console)
    predicted = predict_clips(trained, store, rows, *how, wanted.allow_missing)
    given: dict[Protocol, Temperature | None] = dict.fromkeys(wanted.protocols)
    if wanted.temperature:
        fitted = predict_clips(trained, store, held, *how, allow_missing=True)
        for protocol, segments in predicted.segments.items():
            predicted.segments[protocol], given[protocol] = with_temperature(
                segments, fitted.segments[protocol], store.classes
            )
    return Evaluation(
        _stamp(trained, store, wanted, rows),
        store.classes,
        store.clips,
        predicted.expected,
        predicted.missing,
        {
            protocol: judge(
                segments, store.clips, store.classes, wanted.resampling, given[protocol]
            )
            for protocol, segments in predicted.segments.items()
        },
    )


def _validation_rows(store: Store, trained: Trained, wanted: Request) -> list[int]:
    if trained.record.settings.validation == "none":
        raise SettingError(
            f"--temperature: the run in {trained.folder.path} kept no clips for validation "
            "(--validation none), so there is nothing to fit a temperature on. Leave it away."
        )
    if wanted.fold == "validation":
        raise SettingError(
            "--temperature is fitted on the run's validation part, and --fold validation is that "
            "part: it would be judged by what it was fitted on. Evaluate another fold."
        )
    return fold_rows(store, trained, "validation")


def _stamp(trained: Trained, store: Store, wanted: Request, rows: Sequence[int]) -> dict[str, Any]:
    record = trained.record
    return {
        "system": record.system.name,
        "fold": wanted.fold,
        "clips": len(rows),
        "run": str(wanted.run),
        "run_digest": record.digest,
        "checkpoint": wanted.checkpoint,
        "epoch": trained.epoch,
        "dataset": store.name,
        "store": str(store.path),
        "store_fingerprint": store.fingerprint,
        "store_parts": {
            name: store.identity.parts[name] for name in record.store.parts or store.identity.parts
        },
        "store_trained_on": record.store.fingerprint,
        "acoustic_encoder": None if record.acoustic is None else record.acoustic.origin,
        "acoustic_digest": None if record.acoustic is None else record.acoustic.digest,
        "visual_encoder": None if record.visual is None else record.visual.origin,
        "visual_digest": None if record.visual is None else record.visual.digest,
        "embeddings": {name: mark.fingerprint for name, mark in record.embeddings.items()},
        "intervals": METHOD,
        "resamples": wanted.resampling.resamples,
        "resampling_seed": wanted.resampling.seed,
        "settings": record.settings.record(),
        "versions_training": record.versions,
        "versions_evaluation": versions(),
    }
