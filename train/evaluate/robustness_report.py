"""The files of a robustness evaluation.

robustness.json            every figure, with what was evaluated
robustness.csv             one row per condition
robustness.png             log-loss along each kind of condition; as SVG, too
pairs.csv                  whose images each clip had, where they were another clip's
predictions-CONDITION.tsv  the probabilities of every segment, on request, as `predictions` says
robustness.md              the same on one page; written last
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc.manifests import escape
from avsc.manifests.files import Piece, csv_bytes, publish_all, remove
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.compare import Difference
from avsc.train.evaluate.conditions import CONDITIONS, Curve
from avsc.train.evaluate.figures import Drawing, drawn
from avsc.train.evaluate.predictions import encode_predictions
from avsc.train.evaluate.robustness import ConditionFigures, ConditionRow, Robustness
from avsc.train.evaluate.writing import (
    LOG_LOSS,
    NONE,
    PERCENT,
    NumberFormat,
    bullets,
    json_bytes,
    markdown_table,
    provenance_table,
)
from avsc.train.systems import Modality

ALONE: dict[Modality, str] = {"audio": "audio alone", "visual": "images alone"}
NOT_WORSE = {True: "yes", False: "not shown", None: NONE}


def write_robustness(
    folder: Path, found: Robustness, save_predictions: bool, before: Callable[[], None]
) -> None:
    """Write the files.

    Args:
        folder: where.
        found: what to report.
        save_predictions: write the predictions under each condition, too.
        before: called before each file takes its name; if it raises, no more is written.

    Raises:
        AvscError: a file cannot be written.
    """
    files: dict[str, Piece] = {
        "robustness.csv": _csv(found),
        "robustness.json": json_bytes(_values(found)),
        **curves(found).files("robustness"),
        "pairs.csv": _pairs(found),
    }
    for row in found.rows if save_predictions else ():
        if row.answer.segments is not None:
            files[f"predictions-{row.condition.name}.tsv"] = encode_predictions(
                row.answer.segments, found.clips, found.classes
            )
    for name in CONDITIONS:  # of an earlier evaluation
        if f"predictions-{name}.tsv" not in files:
            remove(folder / f"predictions-{name}.tsv")
    publish_all(folder, {**files, "robustness.md": _page(found).encode()}, before)


def robustness_table(found: Robustness) -> str:
    """Return the figures under every condition, as a Markdown table."""
    first = found.rows[0].measured
    assert first is not None
    singles = list(first.to_single)
    header = ["condition", "log-loss", "95 % interval", "acc. %", "ECE", "- complete", "interval"]
    for modality in singles:
        header += [f"- {ALONE[modality]}", "interval"]
    header += ["not worse than what is left"] if singles else []
    header.append("confidence rose %")
    return markdown_table([header, *(_cells(row, singles, len(header)) for row in found.rows)])


def notes(found: Robustness) -> list[str]:
    """Return what was fed under which condition, or why there are no figures."""
    return [f"{row.condition.about}: {row.answer.note}" for row in found.rows if row.answer.note]


def _cells(row: ConditionRow, singles: list[Modality], columns: int) -> list[str]:
    measured = row.measured
    if measured is None:
        return [row.condition.about, *[NONE] * (columns - 1)]
    scores, interval = measured.results.scores, measured.results.log_loss_interval
    percent = PERCENT.decimals(measured.results.accuracy_interval)
    cells = [
        row.condition.about,
        LOG_LOSS.figure(scores.log_loss, LOG_LOSS.decimals(interval)),
        LOG_LOSS.interval(interval),
        PERCENT.figure(scores.accuracy, percent),
        f"{measured.results.calibration.error:.3f}",
        *_difference(measured.to_complete.log_loss, LOG_LOSS),
    ]
    for modality in singles:
        cells += _difference(measured.to_single[modality].log_loss, LOG_LOSS)
    cells += [NOT_WORSE[measured.not_worse]] if singles else []
    return [*cells, NONE if measured.rose is None else f"{100 * measured.rose:.1f}"]


def _difference(difference: Difference, form: NumberFormat) -> list[str]:
    interval = difference.interval
    value = form.figure(difference.difference, form.decimals(interval), "+")
    return [value, form.interval(interval, "+")]


def _values(found: Robustness) -> dict[str, Any]:
    rows = []
    for row in found.rows:
        condition = row.condition
        values: dict[str, Any] = {
            "condition": condition.name,
            "about": condition.about,
            "alters": condition.alters,
            "note": row.answer.note,
            "defined": row.measured is not None,
        }
        if row.measured is not None:
            values |= _figures(row.measured)
        rows.append(values)
    return {**found.provenance, "classes": list(found.classes), "rows": rows}


def _figures(measured: ConditionFigures) -> dict[str, Any]:
    results = measured.results
    return {
        "segments": len(results.segments),
        "log_loss": results.scores.log_loss,
        "log_loss_interval": _ends(results.log_loss_interval),
        "accuracy": results.scores.accuracy,
        "accuracy_interval": _ends(results.accuracy_interval),
        "expected_calibration_error": results.calibration.error,
        "minus_complete": _both(measured.to_complete.log_loss, measured.to_complete.accuracy),
        "minus_alone": {
            modality: _both(row.log_loss, row.accuracy)
            for modality, row in measured.to_single.items()
        },
        "not_worse_than_left": measured.not_worse,
        "segments_without": measured.without,
        "confidence_rose": measured.rose,
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


def _csv(found: Robustness) -> bytes:
    differences = ["minus_complete", *(f"minus_{name}_alone" for name in ALONE)]
    header = [
        "condition", "segments", "log_loss", "log_loss_low", "log_loss_high",
        "accuracy", "accuracy_low", "accuracy_high", "calibration_error",
        *(f"{name}{end}" for name in differences for end in ("", "_low", "_high")),
        "not_worse_than_left", "segments_without", "confidence_rose", "note",
    ]  # fmt: skip
    table: list[list[Any]] = [header]
    for row in found.rows:
        measured = row.measured
        cells: list[Any] = [""] * (len(header) - 2)
        if measured is not None:
            results, singles = measured.results, measured.to_single
            alone = [singles[name].log_loss if name in singles else None for name in ALONE]
            cells = [
                len(results.segments),
                results.scores.log_loss, *_pair(results.log_loss_interval),
                results.scores.accuracy, *_pair(results.accuracy_interval),
                results.calibration.error,
                *_triple(measured.to_complete.log_loss),
                *(cell for difference in alone for cell in _triple(difference)),
                "" if measured.not_worse is None else measured.not_worse,
                measured.without,
                "" if measured.rose is None else measured.rose,
            ]  # fmt: skip
        table.append([row.condition.name, *cells, row.answer.note])
    return escape.csv_sheet(table)


def _pair(interval: Interval | None) -> list[Any]:
    return ["", ""] if interval is None else [interval.low, interval.high]


def _triple(difference: Difference | None) -> list[Any]:
    if difference is None:
        return ["", "", ""]
    return [difference.difference, *_pair(difference.interval)]


def _pairs(found: Robustness) -> bytes:
    rows = [
        [row.condition.name, found.clips[clip].id, found.clips[donor].id]
        for row in found.rows
        for clip, donor in row.answer.donor.items()
    ]
    return csv_bytes([["condition", "clip", "image_of"], *rows])


def curves(found: Robustness) -> Drawing:
    """Draw log-loss along each kind of condition, and that of the systems of one modality."""
    lines: dict[Curve, list[tuple[float, ConditionFigures]]] = {}
    complete = found.rows[0].measured
    assert complete is not None
    for row in found.rows:
        curve = row.condition.curve
        if curve is not None and row.measured is not None:
            start = [] if curve.complete is None else [(curve.complete, complete)]
            lines.setdefault(curve, start).append((row.condition.level, row.measured))
    axes_names = list(dict.fromkeys(curve.axis for curve in lines)) or [""]
    figure = Figure(figsize=(0.6 + 4.2 * len(axes_names), 4.2), layout="constrained")
    panels = figure.subplots(1, len(axes_names), sharey=True, squeeze=False)[0]
    for name, axes in zip(axes_names, panels, strict=True):
        own = {curve: line for curve, line in lines.items() if curve.axis == name}
        for number, (curve, line) in enumerate(own.items()):
            _draw(axes, curve, sorted(line, key=lambda point: point[0]), f"C{number}")
        for modality, single in complete.to_single.items():
            style = "--" if modality == "audio" else ":"
            loss = single.log_loss.first
            axes.axhline(loss, label=ALONE[modality], color="grey", linestyle=style, linewidth=1)
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        if own or complete.to_single:
            axes.legend(fontsize=9, frameon=False)
    panels[0].set_ylabel("log-loss / nats")
    return drawn(figure)


def _draw(
    axes: Axes, curve: Curve, line: list[tuple[float, ConditionFigures]], colour: str
) -> None:
    """Draw a curve, with a bar for the interval of each point that has one."""
    losses = [(level, measured.results.scores.log_loss) for level, measured in line]
    axes.plot(*zip(*losses, strict=True), ".-", color=colour, label=curve.name)
    for level, measured in line:
        interval = measured.results.log_loss_interval
        if interval is not None:
            axes.plot([level, level], [interval.low, interval.high], color=colour, linewidth=1)


def _page(found: Robustness) -> str:
    provenance = found.provenance
    return f"""# Robustness of {escape.markdown(str(provenance["system"]))}

Log-loss and accuracy are the official figures (means over scenes), ECE the expected calibration
error. Differences in log-loss are paired by segment: this condition minus the complete recordings,
and minus the systems of one modality, which have the complete recordings. "Not worse than what is
left": the upper end of the interval of the difference to each named system of a modality that is as
recorded is at most {provenance["margin"]} nats. "Confidence rose": of the segments from which a
modality was taken away, those whose largest probability is higher without it.

{robustness_table(found)}

{bullets(notes(found))}

![log-loss along each kind of condition](robustness.png)

## What was evaluated

{provenance_table(provenance)}
"""
