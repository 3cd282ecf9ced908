"""Figures under conditions as a Markdown table, as CSV and as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from avsc.manifests import escape
from avsc.manifests.clips import Clip
from avsc.manifests.files import csv_bytes
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.calibration_intervals import CalibrationDifference
from avsc.train.evaluate.compare import Difference
from avsc.train.evaluate.results import Results
from avsc.train.evaluate.robustness.measures import ConditionFigures, ConditionRow
from avsc.train.evaluate.robustness.realign import Realigned
from avsc.train.evaluate.writing import (
    CALIBRATION,
    LOG_LOSS,
    NONE,
    PERCENT,
    NumberFormat,
    markdown_table,
)
from avsc.train.systems import Modality

ALONE: dict[Modality, str] = {"audio": "audio alone", "visual": "images alone"}
ABOUT = (
    "Log-loss and accuracy are the official figures (means over scenes), ECE the expected "
    "calibration error. Differences are paired by segment: this condition minus the "
    'complete recordings. "Confidence rose": of the segments from which a modality was taken away, '
    "those whose largest probability is higher without it."
)
UNDEFINED = "not defined"
NOT_WORSE = {True: "yes", False: "not shown", None: NONE}


def conditions_table(
    rows: Sequence[ConditionRow], alone: Mapping[Modality, Results] | None = None
) -> str:
    """Return both tables of `condition_cells` as Markdown."""
    return "\n\n".join(map(markdown_table, condition_cells(rows, alone)))


def condition_cells(
    rows: Sequence[ConditionRow], alone: Mapping[Modality, Results] | None = None
) -> list[list[list[str]]]:
    """Return two tables of figures under every condition as printed, each with its header first.

    Args:
        rows: the complete recordings first.
        alone: systems of one modality, on complete recordings, for a row each.
    """
    first, alone = rows[0].measured, alone or {}
    assert first is not None
    singles = list(first.to_single)
    header = ["condition", "log-loss", "95 % interval", "- complete", "interval"]
    for modality in singles:
        header += [f"- {ALONE[modality]}", "interval"]
    header += ["not worse than what is left"] if singles else []
    losses = [[*header, "confidence rose %"]]
    header = ["condition", "acc. %", "95 % interval", "- complete", "interval"]
    header += ["ECE", "95 % interval", "- complete", "interval"]
    warm = first.calibration_error_before is not None
    header += ["ECE untempered"] if warm else []
    realigned = rows[0].answer.realigned is not None
    others = [[*header, *(["offset sure %", "shifted %"] if realigned else [])]]
    for row in rows:
        name, measured = row.condition.about, row.measured
        losses.append([name, *(_losses(measured, singles) if measured else [UNDEFINED])])
        others.append([name, *([*_others(measured), *_shares(row.answer.realigned)]
                               if measured else [UNDEFINED])])  # fmt: skip
    for modality, results in alone.items():
        name = f"{ALONE[modality]}, complete"
        losses.append(
            [name, *_figure(results.scores.log_loss, results.log_loss_interval, LOG_LOSS)]
        )
        others.append([name, *_own(results)[:2], NONE, NONE, *_own(results)[2:]])
    return [[_filled(row, len(table[0])) for row in table] for table in (losses, others)]


def _filled(row: list[str], columns: int) -> list[str]:
    return [*row, *[NONE] * (columns - len(row))]


def notes(rows: Sequence[ConditionRow]) -> list[str]:
    """Return what was fed under which conditions, or why there are no figures."""
    under: dict[str, list[str]] = {}
    for row in rows:
        if row.answer.note:
            under.setdefault(row.answer.note, []).append(row.condition.about)
    return [f"{', '.join(names)}: {note}" for note, names in under.items()]


def _losses(measured: ConditionFigures, singles: Sequence[Modality]) -> list[str]:
    results = measured.results
    cells = _figure(results.scores.log_loss, results.log_loss_interval, LOG_LOSS)
    cells += _difference(measured.to_complete.log_loss, LOG_LOSS)
    for modality in singles:
        cells += _difference(measured.to_single[modality].log_loss, LOG_LOSS)
    cells += [NOT_WORSE[measured.not_worse]] if singles else []
    return [*cells, NONE if measured.rose is None else f"{100 * measured.rose:.1f}"]


def _others(measured: ConditionFigures) -> list[str]:
    accuracy, interval, error, error_interval = _own(measured.results)
    cells = [accuracy, interval, *_difference(measured.to_complete.accuracy, PERCENT)]
    cells += [error, error_interval, *_difference(measured.calibration_to_complete, CALIBRATION)]
    before = measured.calibration_error_before
    return cells if before is None else [*cells, f"{before:.3f}"]


def _shares(realigned: Realigned | None) -> list[str]:
    """Return the shares of the clips whose offset was found, and that were shifted by it."""
    if realigned is None:
        return []
    return [
        f"{100 * number / realigned.clips:.1f}" for number in (realigned.sure, realigned.shifted)
    ]


def _own(results: Results) -> list[str]:
    """Return accuracy and calibration error, each with its interval."""
    accuracy = _figure(results.scores.accuracy, results.accuracy_interval, PERCENT)
    return accuracy + _figure(results.calibration.error, results.calibration_interval, CALIBRATION)


def _figure(value: float, interval: Interval | None, form: NumberFormat) -> list[str]:
    return [form.figure(value, form.decimals(interval)), form.interval(interval)]


def _difference(difference: Difference | CalibrationDifference, form: NumberFormat) -> list[str]:
    interval = difference.interval
    value = form.figure(difference.difference, form.decimals(interval), "+")
    return [value, form.interval(interval, "+")]


def lent_images_csv(rows: Sequence[ConditionRow], clips: Sequence[Clip]) -> bytes:
    """Return whose images each clip had, where they were another clip's."""
    pairs = [
        [row.condition.name, clips[clip].id, clips[donor].id]
        for row in rows
        for clip, donor in row.answer.donor.items()
    ]
    return csv_bytes([["condition", "clip", "image_of"], *pairs])


def condition_values(rows: Sequence[ConditionRow]) -> list[dict[str, Any]]:
    """Return every figure under each condition, in JSON's types."""
    return [
        {
            "condition": row.condition.name,
            "about": row.condition.about,
            "alters": row.condition.alters,
            "note": row.answer.note,
            "defined": row.measured is not None,
            **({} if row.measured is None else _figures(row.measured)),
            **({} if row.answer.realigned is None else {"realigned": asdict(row.answer.realigned)}),
        }
        for row in rows
    ]


def _figures(measured: ConditionFigures) -> dict[str, Any]:
    results = measured.results
    return {
        "segments": len(results.segments),
        "log_loss": results.scores.log_loss,
        "log_loss_interval": _ends(results.log_loss_interval),
        "accuracy": results.scores.accuracy,
        "accuracy_interval": _ends(results.accuracy_interval),
        "expected_calibration_error": results.calibration.error,
        "expected_calibration_error_interval": _ends(results.calibration_interval),
        "minus_complete": {
            **_both(measured.to_complete.log_loss, measured.to_complete.accuracy),
            "expected_calibration_error": {
                "difference": measured.calibration_to_complete.difference,
                "interval": _ends(measured.calibration_to_complete.interval),
            },
        },
        "minus_alone": {
            modality: _both(row.log_loss, row.accuracy)
            for modality, row in measured.to_single.items()
        },
        "not_worse_than_left": measured.not_worse,
        "segments_without": measured.without,
        "confidence_rose": measured.rose,
        "calibration_error_before": measured.calibration_error_before,
    }


def _both(log_loss: Difference, accuracy: Difference) -> dict[str, Any]:
    return {
        name: {
            "difference": figure.difference,
            "interval": _ends(figure.interval),
            "p": figure.p,
        }
        for name, figure in (("log_loss", log_loss), ("accuracy", accuracy))
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def conditions_csv(rows: Sequence[ConditionRow]) -> bytes:
    """Return the figures under each condition as CSV, in all digits."""
    differences = ["minus_complete", "accuracy_minus_complete", "calibration_error_minus_complete"]
    differences += [f"minus_{name}_alone" for name in ALONE]
    header = [
        "condition", "segments", "log_loss", "log_loss_low", "log_loss_high",
        "accuracy", "accuracy_low", "accuracy_high",
        "calibration_error", "calibration_error_low", "calibration_error_high",
        *(f"{name}{end}" for name in differences for end in ("", "_low", "_high")),
        "not_worse_than_left", "segments_without", "confidence_rose", "calibration_error_before",
        "note",
    ]  # fmt: skip
    asked = [field.name for field in fields(Realigned)] if rows[0].answer.realigned else []
    table: list[list[Any]] = [[*header, *asked]]
    for row in rows:
        measured = row.measured
        cells: list[Any] = [""] * (len(header) - 2)
        if measured is not None:
            results, singles = measured.results, measured.to_single
            before = measured.calibration_error_before
            alone = [singles[name].log_loss if name in singles else None for name in ALONE]
            cells = [
                len(results.segments),
                results.scores.log_loss, *_pair(results.log_loss_interval),
                results.scores.accuracy, *_pair(results.accuracy_interval),
                results.calibration.error, *_pair(results.calibration_interval),
                *_triple(measured.to_complete.log_loss),
                *_triple(measured.to_complete.accuracy),
                *_triple(measured.calibration_to_complete),
                *(cell for difference in alone for cell in _triple(difference)),
                "" if measured.not_worse is None else measured.not_worse,
                measured.without,
                "" if measured.rose is None else measured.rose,
                "" if before is None else before,
            ]  # fmt: skip
        shifted = [getattr(row.answer.realigned, name, "") for name in asked]
        table.append([row.condition.name, *cells, row.answer.note, *shifted])
    return escape.csv_sheet(table)


def _pair(interval: Interval | None) -> list[Any]:
    return ["", ""] if interval is None else [interval.low, interval.high]


def _triple(difference: Difference | CalibrationDifference | None) -> list[Any]:
    if difference is None:
        return ["", "", ""]
    return [difference.difference, *_pair(difference.interval)]
