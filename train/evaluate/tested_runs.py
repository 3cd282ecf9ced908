"""The run, or the runs of a cross-validation, that are evaluated, and the store of the clips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.table import name_warnings
from avsc.train.evaluate.evaluation_request import RunRequest
from avsc.train.evaluate.temperatures import check_validated
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.refs import difference, find_store, other_kind
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import read_record
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained, pooled_digest, restore_runs
from avsc.train.systems import Answer


@dataclass(frozen=True)
class TestedRuns:
    """A run, or the runs of a cross-validation.

    Attributes:
        path: folder of the run, or of the runs.
        runs: of the same system and settings, on the same store.
    """

    path: Path
    runs: tuple[Trained, ...]

    @classmethod
    def restore(
        cls, path: Path, checkpoint: Literal["best", "last"], answer: Answer, fold: str
    ) -> "TestedRuns":
        """Restore what a folder holds.

        Raises:
            AvscError: something is missing, damaged, or does not belong together.
            SettingError: runs of a cross-validation are asked for clips that several have.
        """
        runs = restore_runs(path, checkpoint, answer)
        if len(runs) > 1 and fold != "test":
            raise SettingError(
                f"--fold is {fold}, and {path} is a cross-validation, whose runs share clips for "
                "training and validation. Evaluate its test folds, or one of its runs by itself."
            )
        return cls(path, runs)

    @property
    def first(self) -> Trained:
        """The run itself, or the first one."""
        return self.runs[0]

    @property
    def epochs(self) -> str:
        """Which epochs the weights are of."""
        word = "epoch" if len(self.runs) == 1 else "epochs"
        return f"{word} {', '.join(str(run.epoch) for run in self.runs)}"

    @property
    def folder(self) -> RunFolder | None:
        """Folder of the run, with its training curves; None of a cross-validation."""
        return self.first.folder if len(self.runs) == 1 else None

    def check_temperature(self, fold: str) -> None:
        """Raise a `SettingError` unless temperatures can be fitted for the clips of a fold."""
        if len(self.runs) > 1:
            raise SettingError(
                f"--temperature is fitted on the validation clips of one run, and {self.path} is a "
                "cross-validation, each of whose runs would have its own. Omit it, or name one of "
                f"its runs, such as {self.first.folder.path}."
            )
        check_validated(self.first, fold)

    def rows(self, store: Store, fold: str) -> list[tuple[Trained, list[int]]]:
        """Return each run with the rows of the clips that it is evaluated on."""
        return [(run, fold_rows(store, run, fold)) for run in self.runs]

    def provenance(self, of_run: Callable[[Trained], Mapping[str, Any]]) -> dict[str, Any]:
        """Return what is said of the run; of several, lists of it, and a digest of all digests."""
        said = [of_run(run) for run in self.runs]
        if len(said) == 1:
            return dict(said[0])
        values: dict[str, Any] = {name: [each[name] for each in said] for name in said[0]}
        return {**values, "run_digest": pooled_digest(values["run_digest"])}


def check_same_run(trained: Trained) -> None:
    """Raise an `AvscError` if the run's folder holds another run by now."""
    if read_record(trained.folder.settings).digest != trained.record.digest:
        raise AvscError(
            f"{trained.folder.path}: another run was started here while this one was evaluated; "
            "nothing was written. Evaluate the run that is there now, or the one it replaced."
        )


def evaluated_store(trained: Trained, named: Path | None, allow_other: bool) -> Store:
    """Open the store that the user named, or that a run was trained on.

    Raises:
        AvscError: it cannot be used.
        SettingError: the run cannot be evaluated on it.
    """
    ref = trained.record.store
    path = named or find_store(ref.path, trained.folder.path, "Name it by --store.")
    store = Store.open(path, list(ref.specs))
    check_store(store, trained, allow_other)
    return store


def check_store(store: Store, trained: Trained, allow_other: bool) -> None:
    """Raise a `SettingError` unless the run can be evaluated on the store.

    With `allow_other`, contents other than those it was trained on are accepted (a store that was
    repaired since, or another set of the same scenes), but never other classes or other features.
    """
    ref = trained.record.store
    if (other := other_kind(store, ref)) is not None:
        name, here, wanted = other
        raise SettingError(
            f"{store.path}: its {name} are {here}, and the run in {trained.folder.path} was "
            f"trained on {wanted}. Name a store like {ref.path} by --store."
        )
    changed = difference(store, ref.fingerprint, ref.parts)
    if changed is not None and not allow_other:
        raise SettingError(
            f"{store.path}: differs from what the run in {trained.folder.path} was trained on, in "
            f"its {changed}: it is another store, or has changed since. Name the right one by "
            "--store, or add --allow-other-store."
        )


def begin(
    tested: TestedRuns, store: Store, request: RunRequest, clips: int, console: Console
) -> Computing:
    """Say what is evaluated by what, and what is unusual about it; return what computes.

    Args:
        clips: their number.
    """
    record = tested.first.record
    batch_size = request.batch_size or record.settings.batch_size
    computing, text = Computing.chosen(request.device, batch_size, request.workers)
    console.say(text)
    console.say(
        f"{tested.path}: {record.system.name}, {request.checkpoint} checkpoint, "
        f"{tested.epochs}; {request.fold} fold: {clips} clips of {store.path}"
    )
    for warning in name_warnings(store.clips):
        console.say(f"note: {warning}")
    for run in tested.runs:
        if run.file.name != f"{request.checkpoint}.pt":
            console.say(
                f"{run.folder.best} is damaged or not of the best epoch; {run.file.name} holds the "
                "same weights"
            )
    return computing
