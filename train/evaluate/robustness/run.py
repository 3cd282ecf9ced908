"""Robustness of a run or of predictions files, from what is named to the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from avsc.manifests.errors import SettingError
from avsc.manifests.folder_claims import claimed
from avsc.train.evaluate.bootstrap import METHOD
from avsc.train.evaluate.evaluation_request import RunRequest
from avsc.train.evaluate.offset import load_head
from avsc.train.evaluate.pooling import pool_answers
from avsc.train.evaluate.report import check_folder
from avsc.train.evaluate.results import summarise
from avsc.train.evaluate.robustness.condition_predictions import (
    Asked,
    ConditionAnswers,
    file_answers,
    run_answers,
)
from avsc.train.evaluate.robustness.measures import Rivals, Robustness, measure
from avsc.train.evaluate.robustness.realign import how_realigned
from avsc.train.evaluate.robustness.report import write_robustness
from avsc.train.evaluate.submissions import Truth, find_truth, read_submission
from avsc.train.evaluate.temperatures import (
    Temperatures,
    run_temperatures,
    tempered_answers,
)
from avsc.train.evaluate.tested_runs import TestedRuns, begin, check_same_run, evaluated_store
from avsc.train.fit.console import Console
from avsc.train.fit.memory import memory_limit
from avsc.train.fit.run_record import versions
from avsc.train.protocol import Protocol
from avsc.train.systems import Modality


@dataclass(frozen=True)
class RobustnessRequest(RunRequest):
    """What to evaluate, and how.

    Attributes:
        run: folder of the run; None for predictions files.
        asked: conditions, and how segments are predicted.
        predictions: files of any system, by the condition's name, in the place of a run.
        truth: store or manifest that files refer to; None means that of the first run.
        singles: by modality, an evaluated run or a predictions file of it alone.
        rivals: margin and resampling; its singles are read from `singles`.
        save_predictions: write the predictions under each condition, too.
        realign: shift each clip back by the offset that the run's offset head finds in it.
    """

    run: Path | None
    asked: Asked
    predictions: Mapping[str, Path] = field(default_factory=dict)
    truth: Path | None = None
    singles: Mapping[Modality, Path] = field(default_factory=dict)
    rivals: Rivals = field(default_factory=Rivals)
    save_predictions: bool = False
    realign: bool = False

    def __post_init__(self) -> None:
        if (self.run is None) == (not self.predictions):
            raise SettingError(
                "name either a run, or predictions files by --predictions CONDITION=FILE."
            )
        if self.run is not None and self.truth is not None:
            raise SettingError("--truth is for predictions files; a run has --store.")
        if self.run is None and self.store is not None:
            raise SettingError("--store is for a run; predictions files have --truth.")
        if self.run is None and self.temperature:
            raise SettingError("--temperature is for a run, which has validation clips to fit on.")
        if self.run is None and self.realign:
            raise SettingError("--realign is for a run, which has an offset head.")

    @property
    def protocol(self) -> Protocol:
        """The protocol; a robustness evaluation has one."""
        (protocol,) = self.asked.protocols
        return protocol

    @property
    def folder(self) -> Path:
        """Folder of the report."""
        if self.out is not None:
            return self.out
        if self.run is not None:
            return self.run / self.name("robustness", *(["realigned"] if self.realign else []))
        return Path("robustness") / next(iter(self.predictions.values())).stem


def evaluate_robustness(request: RobustnessRequest, console: Console) -> Robustness:
    """Evaluate a system under conditions and write the report.

    Raises:
        ClaimedError: another process writes a report there.
        AvscError: the run, the store, a file or the folder cannot be used, or segments are missing.
        SettingError: they do not belong together.
    """
    check_folder(request.folder)
    tested = None
    if request.run is not None:
        tested = TestedRuns.restore(request.run, request.checkpoint, request.answer, request.fold)
    doing = "a robustness evaluation is being made here"
    remedy = "Wait until it ends, or name another folder by --out."
    with claimed(request.folder, doing, remedy, console.say) as claim:
        if tested is None:
            found = _of_files(request)
        else:
            found = _of_run(tested, request, console)
            for trained in tested.runs:
                check_same_run(trained)
        write_robustness(request.folder, found, request.save_predictions, claim.check)
    return found


def _of_files(request: RobustnessRequest) -> Robustness:
    files = request.predictions
    truth = find_truth(request.truth, *files.values(), *request.singles.values(), fold=request.fold)
    answers = file_answers(files, truth, request.protocol)
    provenance = {
        "system": str(files["complete"]),
        "predictions": {name: str(path) for name, path in files.items()},
        "truth": str(truth.path),
    }
    return _measured(request, answers, truth, provenance)


def _of_run(tested: TestedRuns, request: RobustnessRequest, console: Console) -> Robustness:
    trained = tested.first
    store = evaluated_store(trained, request.store, request.allow_other_store)
    parts = tested.rows(store, request.fold)
    number = sum(len(rows) for _, rows in parts)
    if request.temperature:
        tested.check_temperature(request.fold)
    heads = [load_head(run) if request.realign else None for run in tested.runs]
    computing, asked = begin(tested, store, request, number, console), request.asked
    temperatures: Temperatures = {}
    with memory_limit(f"Choose a --batch-size below {computing.batch_size}."):
        answers = pool_answers(
            [
                run_answers(run, store, rows, replace(asked, head=head), computing, console)
                for (run, rows), head in zip(parts, heads, strict=True)
            ]
        )[request.protocol]
        if request.temperature:
            every = run_temperatures(trained, store, asked, computing, console)
            temperatures = every[request.protocol]
            answers = tempered_answers(answers, temperatures)
    own = tested.provenance(lambda run: {"run_digest": run.record.digest, "epoch": run.epoch})
    provenance = {
        "system": trained.record.system.name,
        "fold": request.fold,
        "clips": number,
        "run": str(request.run),
        "run_digest": own["run_digest"],
        "checkpoint": request.checkpoint,
        "answer": request.answer,
        "epoch": own["epoch"],
        "store": str(store.path),
        "store_fingerprint": store.fingerprint,
        **({} if heads[0] is None else {"realigned": how_realigned(heads[0])}),
    }
    found = _measured(request, answers, Truth.of(store), provenance)
    return replace(found, temperatures=temperatures)


def _measured(
    request: RobustnessRequest, answers: ConditionAnswers, truth: Truth, provenance: dict[str, Any]
) -> Robustness:
    asked, rivals = request.asked, request.rivals
    singles = {
        modality: read_submission(path, request.protocol, truth, request.fold)
        for modality, path in request.singles.items()
    }
    rivals = Rivals(singles, rivals.margin, rivals.resampling)
    provenance |= {
        **{f"{modality}_alone": str(path) for modality, path in request.singles.items()},
        "protocol": request.protocol,
        "seed": asked.seed,
        "margin": rivals.margin,
        "intervals": METHOD,
        "resamples": rivals.resampling.resamples,
        "resampling_seed": rivals.resampling.seed,
        "versions": versions(),
    }
    rows = measure(answers, truth, rivals)
    table = (truth.clips, truth.classes)
    alone = {name: summarise(each, *table, rivals.resampling) for name, each in singles.items()}
    return Robustness(provenance, *table, rows, alone)
