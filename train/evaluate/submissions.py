"""Predictions to compare, of a run or of any system, and the ground truth they refer to.

A run's predictions are those that ``avsc-fit evaluate`` wrote; any other system's come as a file in
the challenge's form (`predictions`). The ground truth (which scene, city and location a clip is of)
is a store's clip table or a generic manifest.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip, found_labels
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.table import read_rows
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.fit.history import best_row, read_metrics
from avsc.train.fit.refs import difference, find_store
from avsc.train.fit.run_folder import RunFolder, run_paths
from avsc.train.fit.run_record import read_record
from avsc.train.fit.trained_run import pooled_digest
from avsc.train.protocol import Segments


@dataclass(frozen=True)
class Truth:
    """Which scene, city and location each clip is of.

    Attributes:
        path: the store or the manifest.
        clips: its clips.
        classes: scene labels in the order of their indices.
    """

    path: Path
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, store: Store) -> "Truth":
        """Return the ground truth of a store."""
        return cls(store.path, store.clips, store.classes)


def read_truth(path: Path) -> Truth:
    """Read the ground truth from a store (a folder) or a generic manifest (a file).

    Raises:
        AvscError: it is neither, or damaged.
    """
    if path.is_dir():
        return Truth.of(Store.open(path))
    clips = tuple(read_rows(path, strict=True))
    return Truth(path, clips, tuple(sorted(found_labels(clips))))


def find_truth(named: Path | None, *submissions: Path, fold: str = "test") -> Truth:
    """Return the ground truth that the user named, or that of the first submission that is a run.

    Raises:
        SettingError: none was named, and no submission is a run, or one does not exist.
    """
    if named is not None:
        return read_truth(named)
    for path in submissions:
        if path.is_dir():
            return _evaluated_truth(path, fold)
    missing = [path for path in submissions if not path.exists()]
    if missing:
        raise SettingError(f"{missing[0]}: no such run, evaluation or predictions file.")
    raise SettingError(
        f"{submissions[0]}: predictions files do not say which scene a clip is of: name a store or "
        "a manifest by --truth."
    )


def _evaluated_truth(path: Path, fold: str) -> Truth:
    """Return the ground truth of the store that a run was evaluated on.

    Raises:
        AvscError: the store is not there, or has changed since.
    """
    evaluation = read_evaluation(path, fold)
    store = Store.open(find_store(evaluation["store"], path, "Name it, or a manifest, by --truth."))
    changed = difference(store, evaluation["store_fingerprint"], evaluation.get("store_parts"))
    if changed is not None:
        raise AvscError(
            f"{store.path}: differs from what {path} was evaluated on, in its {changed}. Run "
            "`avsc-fit evaluate` on it again, or name the ground truth by --truth."
        )
    return Truth.of(store)


def read_submission(path: Path, protocol: str, truth: Truth, fold: str = "test") -> Segments:
    """Return the predictions of a run, of an evaluation's folder, or of a predictions file.

    Args:
        protocol: which of a run's predictions.
        truth: what they refer to.
        fold: which evaluation of a run.

    Raises:
        AvscError: the run has no such evaluation, or the file is not of the form.
    """
    whole = None
    if path.is_dir():
        read_evaluation(path, fold)
        whole = protocol == "clip"
        folder = report_folder(path, fold)
        path = folder / f"predictions-{protocol}.tsv"
        if not path.is_file():
            raise AvscError(
                f"{folder}: evaluated by other protocols than {protocol}; run `avsc-fit evaluate "
                f"--protocol {protocol}` on the run."
            )
    return read_predictions(path, truth.clips, truth.classes, whole)


def report_folder(path: Path, fold: str) -> Path:
    """Return the folder of a run's evaluation; an evaluation's folder is its own."""
    return path / f"evaluation-{fold}" if run_paths(path) else path


def read_evaluation(path: Path, fold: str) -> dict[str, Any]:
    """Return the metrics.json of a run's evaluation, of the best epoch that the run has now.

    Raises:
        AvscError: there is none, or the run has changed since.
    """
    file = report_folder(path, fold) / "metrics.json"
    command = ["avsc-fit", "evaluate", str(path), *(["--fold", fold] if fold != "test" else [])]
    again = f"Run `{shlex.join(command)}`."
    try:
        evaluation: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise AvscError(f"{file.parent}: no evaluation here (metrics.json). {again}") from None
    except ValueError as fault:
        raise AvscError(f"{file}: not JSON ({fault}). {again}") from fault
    runs = [RunFolder(each) for each in run_paths(path)]
    if runs and evaluation.get("checkpoint") == "best":
        said = evaluation.get("epoch")
        epochs = said if isinstance(said, list) else [said]
        wanted = [_best_epoch(run, epoch) for run, epoch in zip(runs, epochs, strict=False)]
        digest = pooled_digest([read_record(run.settings).digest for run in runs])
        if (evaluation.get("run_digest"), epochs) != (digest, wanted):
            raise AvscError(
                f"{file}: evaluated epoch {_listed(epochs)} of the run; its best is now epoch "
                f"{_listed(wanted)}. {again}"
            )
    return evaluation


def _best_epoch(run: RunFolder, evaluated: Any) -> int | None:
    """Return the best epoch that a run has now."""
    history = read_metrics(run.metrics)
    if isinstance(evaluated, int) and evaluated > len(history):
        return evaluated  # a run that was killed has its best.pt before the epoch's row
    best = best_row(history)
    return None if best is None else best.epoch


def _listed(epochs: Sequence[object]) -> str:
    return ", ".join(map(str, epochs))
