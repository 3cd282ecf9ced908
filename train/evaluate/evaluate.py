"""Evaluation of a run, from its folder to its report; called by the commands evaluate and table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from avsc.features.pages.clip_sounds import ClipSounds, recordings_folder
from avsc.features.pages.page import check_page_options, check_single_file, remove_page, write_page
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.manifests.folder_claims import claimed
from avsc.train.evaluate.bootstrap import METHOD
from avsc.train.evaluate.calibration import Temperature, with_temperature
from avsc.train.evaluate.evaluation_request import EvaluationRequest
from avsc.train.evaluate.mirror import check_sees, predict_flipped
from avsc.train.evaluate.page import EvaluationPage
from avsc.train.evaluate.pooling import pool_answers, pool_predictions
from avsc.train.evaluate.predict import ClipPredictions, predict_clips
from avsc.train.evaluate.report import check_folder, write_report
from avsc.train.evaluate.results import Results, summarise
from avsc.train.evaluate.robustness.condition_predictions import run_answers
from avsc.train.evaluate.robustness.conditions import COMPLETE
from avsc.train.evaluate.robustness.measures import ConditionRow, Rivals, measure
from avsc.train.evaluate.run_evaluation import RunEvaluation
from avsc.train.evaluate.submissions import Truth
from avsc.train.evaluate.temperatures import (
    Temperatures,
    run_temperatures,
    tempered_answers,
)
from avsc.train.evaluate.tested_runs import TestedRuns, begin, check_same_run, evaluated_store
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.memory import memory_limit
from avsc.train.fit.run_record import versions
from avsc.train.fit.trained_run import Trained
from avsc.train.protocol import Protocol

PAGE = "report.html"


def evaluate_run(request: EvaluationRequest, console: Console, wait: bool = False) -> RunEvaluation:
    """Evaluate a run and write its report.

    Args:
        console: shows what is done.
        wait: for another process that writes a report there.

    Raises:
        ClaimedError: another process writes a report there.
        AvscError: the run, the store or the folder cannot be used, or segments are missing.
        SettingError: they do not belong together.
    """
    check_folder(request.folder)
    check_page_options(request.page, request.media, request.single_file)
    if request.embeddings and request.answer != "fused":
        raise SettingError(
            "--embeddings are inputs of the classifier of both modalities, and --answer "
            f"{request.answer} is of unimodal heads, too. Use only one of them."
        )
    tested = TestedRuns.restore(request.run, request.checkpoint, request.answer, request.fold)
    doing = "an evaluation is being made here"
    remedy = "Wait until it ends, or name another folder by --out."
    with claimed(request.folder, doing, remedy, console.say, wait=wait) as claim:
        store = evaluated_store(tested.first, request.store, request.allow_other_store)
        sound = ClipSounds(store, request.root) if request.media else None
        evaluation = _evaluate(tested, store, request, console)
        for trained in tested.runs:
            check_same_run(trained)
        root = recordings_folder(store, request.root)
        remove_page(request.folder / PAGE)  # of an earlier evaluation, before its numbers go
        write_report(request.folder, tested.folder, evaluation, root, claim.check)
        if request.page:
            page = EvaluationPage(evaluation, store, tested.folder, sound).page()
            written = partial(_written, console)
            path = request.folder / PAGE
            write_page(path, page, request.single_file, written, claim.check)
            for note in sound.notes() if sound else ():
                console.say(note)
    return evaluation


def _written(console: Console, rows: Sequence[int]) -> Iterator[int]:
    """Pass the rows of a page on, and show how many are written."""
    for row in rows:
        yield row
        if console.due():
            console.draw("page", row + 1, len(rows), f"{row + 1}/{len(rows)}",
                         f"page: {row + 1} of {len(rows)} clips")  # fmt: skip


def _evaluate(
    tested: TestedRuns, store: Store, request: EvaluationRequest, console: Console
) -> RunEvaluation:
    trained, parts = tested.first, tested.rows(store, request.fold)
    rows = [row for _, part in parts for row in part]
    if request.page and request.single_file:
        check_single_file(request.folder / PAGE, len(rows))
    _check_options(tested, request)
    computing = begin(tested, store, request, len(rows), console)
    more = (request.protocols, computing, console, request.allow_missing, request.embeddings)
    with memory_limit(f"Choose a --batch-size below {computing.batch_size}."):
        predicted = pool_predictions(
            [
                _predicted(run, request.flip, partial(predict_clips, run, store, part, *more))
                for run, part in parts
            ]
        )
        heat: Mapping[Protocol, Temperatures] = {}
        if request.temperature:
            heat = run_temperatures(trained, store, request.asked, computing, console)
        conditions = _under_conditions(parts, store, request, heat, computing, console)
    results: dict[Protocol, Results] = {}
    for protocol, segments in predicted.segments.items():
        applied: Temperature | None = None
        if heat:
            fitted = heat[protocol][COMPLETE.name]
            segments, applied = with_temperature(segments, fitted, store.classes)
        results[protocol] = summarise(
            segments, store.clips, store.classes, request.resampling, applied
        )
    return RunEvaluation(
        _provenance(tested, store, request, rows),
        store.classes,
        store.clips,
        predicted.expected,
        predicted.missing,
        results,
        predicted.embeddings,
        conditions,
        heat,
    )


def _check_options(tested: TestedRuns, request: EvaluationRequest) -> None:
    """Raise a `SettingError` if a run cannot be evaluated as asked."""
    if request.temperature:
        tested.check_temperature(request.fold)
    if request.flip:
        check_sees(tested.first)


def _predicted(run: Trained, flip: bool, predict: Callable[[], ClipPredictions]) -> ClipPredictions:
    return predict_flipped(run.network, predict) if flip else predict()


def _under_conditions(
    parts: Sequence[tuple[Trained, list[int]]],
    store: Store,
    request: EvaluationRequest,
    heat: Mapping[Protocol, Temperatures],
    computing: Computing,
    console: Console,
) -> dict[Protocol, tuple[ConditionRow, ...]]:
    """Return the figures under the conditions that were asked for, by protocol."""
    if not request.conditions:
        return {}
    answers = pool_answers(
        [run_answers(run, store, rows, request.asked, computing, console) for run, rows in parts]
    )
    truth, rivals = Truth.of(store), Rivals(resampling=request.resampling)
    rows_of: dict[Protocol, tuple[ConditionRow, ...]] = {}
    for protocol, named in answers.items():
        if heat:
            named = tempered_answers(named, heat[protocol])
        rows_of[protocol] = measure(named, truth, rivals)
    return rows_of


def _provenance(
    tested: TestedRuns, store: Store, request: EvaluationRequest, rows: Sequence[int]
) -> dict[str, Any]:
    record, own = tested.first.record, tested.provenance(_of_run)
    return {
        "system": record.system.name,
        "fold": request.fold,
        "clips": len(rows),
        "run": str(request.run),
        "run_digest": own["run_digest"],
        "checkpoint": request.checkpoint,
        "answer": request.answer,
        **({"flip": True} if request.flip else {}),
        "epoch": own["epoch"],
        "dataset": store.name,
        "store": str(store.path),
        "store_fingerprint": store.fingerprint,
        "store_parts": {
            name: store.identity.parts[name] for name in record.store.parts or store.identity.parts
        },
        "store_trained_on": record.store.fingerprint,
        **{name: value for name, value in own.items() if name not in ("run_digest", "epoch")},
        "intervals": METHOD,
        "resamples": request.resampling.resamples,
        "resampling_seed": request.resampling.seed,
        "settings": record.settings.record(),
        "versions_training": record.versions,
        "versions_evaluation": versions(),
    }


def _of_run(trained: Trained) -> dict[str, Any]:
    record = trained.record
    return {
        "run_digest": record.digest,
        "epoch": trained.epoch,
        "acoustic_encoder": None if record.acoustic is None else record.acoustic.origin,
        "acoustic_digest": None if record.acoustic is None else record.acoustic.digest,
        "visual_encoder": None if record.visual is None else record.visual.origin,
        "visual_digest": None if record.visual is None else record.visual.digest,
        "embeddings": {name: ref.fingerprint for name, ref in record.embeddings.items()},
    }
