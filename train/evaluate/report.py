"""The files of an evaluation's report.

metrics.json                everything, with what was evaluated
clips.csv                   one row per clip, as `clip_results.clips_csv` says
metrics.csv                 one row per scene, per city and per mean; the protocols side by side
predictions-PROTOCOL.tsv    the probabilities of every segment, as `predictions` says
confusion-PROTOCOL.png      the confusion matrix; as SVG, too, like all figures
reliability-PROTOCOL.png    calibration of the predicted probabilities
curves.png                  the run's training curves
conditions-PROTOCOL.csv     figures under the conditions that were asked for, and as PNG and SVG
pairs.csv                   whose images each clip had under them, where they were another clip's
report.md                   everything on one page; written last
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from avsc.manifests.errors import SettingError
from avsc.manifests.files import Piece, publish_all, remove
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.calibration import BINS
from avsc.train.evaluate.clip_results import clips_csv
from avsc.train.evaluate.figures import confusion_figure, curves_figure, reliability_figure
from avsc.train.evaluate.predictions import encode_predictions
from avsc.train.evaluate.results import Results
from avsc.train.evaluate.robustness.figure import curves
from avsc.train.evaluate.robustness.tables import (
    ABOUT,
    conditions_csv,
    conditions_table,
    lent_images_csv,
    notes,
)
from avsc.train.evaluate.run_evaluation import RunEvaluation, metrics_csv, metrics_json
from avsc.train.evaluate.score_tables import city_table, scene_table
from avsc.train.evaluate.temperatures import temperature_lines
from avsc.train.evaluate.writing import (
    CALIBRATION,
    LOG_LOSS,
    PERCENT,
    NumberFormat,
    bullets,
    provenance_table,
)
from avsc.train.fit.run_folder import RunFolder

TRAINING = """
## Training

![training curves](curves.png)
"""
LISTED = 20
"""Missing segments that the report names; metrics.json names all."""
UNITS = {"location": "locations", "clip": "clips (locations are not known)"}


def write_report(
    folder: Path,
    run: RunFolder | None,
    evaluation: RunEvaluation,
    root: Path | None = None,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Write the files of a report.

    Args:
        folder: where; not a run's own folder, which has another metrics.csv.
        run: the run's folder, for its training curves; None where there is no single one.
        root: folder of the recordings, for their paths in clips.csv.
        before: called before each file takes its name; if it raises, no more is written.

    Raises:
        SettingError: the folder is a run's own.
        AvscError: a file cannot be written.
    """
    check_folder(folder)
    provenance, classes = evaluation.provenance, evaluation.classes
    files: dict[str, Piece] = {}
    for protocol, results in evaluation.results.items():
        title = f"{provenance['system']}, {provenance['fold']} fold, {protocol}"
        files |= {
            f"predictions-{protocol}.tsv": encode_predictions(
                results.segments, evaluation.clips, classes
            ),
            **confusion_figure(results.scores.confusion, classes, title).files(
                f"confusion-{protocol}"
            ),
            **reliability_figure(results.calibration, title).files(f"reliability-{protocol}"),
        }
    for protocol, rows in evaluation.conditions.items():
        files |= {
            f"conditions-{protocol}.csv": conditions_csv(rows),
            **curves(rows).files(f"conditions-{protocol}"),
            "pairs.csv": lent_images_csv(rows, evaluation.clips),  # the same for all protocols
        }
    for path in (*folder.glob("conditions-*.*"), folder / "pairs.csv"):
        if path.name not in files:  # of an earlier evaluation
            remove(path)
    files |= {
        **({} if run is None else _curves(run, provenance)),
        "clips.csv": clips_csv(evaluation, root),
        "metrics.csv": metrics_csv(evaluation),
        "metrics.json": metrics_json(evaluation),
        "report.md": _page(evaluation).encode(),
    }
    publish_all(folder, files, before)


def _curves(run: RunFolder, provenance: dict[str, Any]) -> dict[str, Piece]:
    return {**curves_figure(run.metrics, provenance["epoch"]).files("curves")}


def check_folder(folder: Path) -> None:
    """Raise a `SettingError` if a folder is a run's own."""
    if RunFolder(folder).started:
        raise SettingError(
            f"--out is {folder}, the folder of a run, whose metrics.csv a report would replace. "
            "Name another, or omit --out."
        )


def summary(evaluation: RunEvaluation) -> list[str]:
    """Return what is printed of an evaluation: tables by scene and by city, coverage, intervals."""
    tables = [
        table.markdown() for table in (scene_table(evaluation), city_table(evaluation)) if table
    ]
    conditions = [
        f"under other conditions, {protocol}:\n\n{conditions_table(rows)}"
        for protocol, rows in evaluation.conditions.items()
    ]
    lines = (coverage(evaluation), uncertainty(evaluation))
    return [*tables, *map("\n".join, lines), *conditions]


def coverage(evaluation: RunEvaluation) -> list[str]:
    """Return how many of the segments were scored, one line per protocol."""
    lines = []
    for protocol, lost in evaluation.missing.items():
        scored = evaluation.expected - len(lost)
        text = f"{protocol}: {scored:,}/{evaluation.expected:,} segments"
        if protocol == "clip":
            clips = len(evaluation.results[protocol].segments)
            text += f", in {clips:,} clips, each predicted once"
        if lost:
            more = f" and {len(lost) - LISTED:,} more" if len(lost) > LISTED else ""
            text += (
                "; not the official figure, which is over all of them. Missing: "
                f"{', '.join(lost[:LISTED])}{more}"
            )
        lines.append(text)
    return lines


def uncertainty(evaluation: RunEvaluation) -> list[str]:
    """Return scores with intervals, calibration error and temperature, one line per protocol."""
    resamples = evaluation.provenance["resamples"]
    lines = []
    for protocol, results in evaluation.results.items():
        scores, error = results.scores, results.calibration.error
        withheld = f"; no interval (-): {results.withheld}" if results.withheld else ""
        lines.append(
            f"{protocol}: "
            f"log-loss {_with_interval(scores.log_loss, results.log_loss_interval, LOG_LOSS)}, "
            f"accuracy {_with_interval(scores.accuracy, results.accuracy_interval, PERCENT)} "
            f"(95 % confidence, bootstrap-t, {resamples:,} resamples of the "
            f"{results.units.count} {UNITS[results.units.kind]}{_within(results)})"
            f"{withheld}; expected calibration error "
            f"{_with_interval(error, results.calibration_interval, CALIBRATION)} "
            f"({BINS} bins)"
        )
        if (temperature := results.temperature) is not None:
            digits = LOG_LOSS.decimals(results.log_loss_interval)
            lines[-1] += (
                f"; with temperature {temperature.value:.3f}, fitted on "
                f"{temperature.fitted_on:,} predictions for the run's validation clips "
                f"(without it log-loss {LOG_LOSS.figure(temperature.log_loss_before, digits)}, "
                f"expected calibration error {temperature.calibration_error_before:.3f})"
            )
    for protocol, fitted in evaluation.temperatures.items():
        lines += temperature_lines(protocol, fitted)
    return lines


def _with_interval(value: float, interval: Interval | None, form: NumberFormat) -> str:
    unit = " %" if form is PERCENT else ""
    return f"{form.figure(value, form.decimals(interval))}{unit} {form.interval(interval)}"


def _within(results: Results) -> str:
    return " within each scene" if results.units.place is None else ""


def _conditions(evaluation: RunEvaluation) -> str:
    """Return the section of report.md on conditions; empty without any."""
    parts = [
        f"### {protocol.capitalize()}\n\n{conditions_table(rows)}\n\n{bullets(notes(rows))}\n\n"
        f"![log-loss along each kind of condition, {protocol}](conditions-{protocol}.png)\n\n"
        for protocol, rows in evaluation.conditions.items()
    ]
    return f"## Under other conditions\n\n{ABOUT}\n\n{''.join(parts)}" if parts else ""


def _page(evaluation: RunEvaluation) -> str:
    """Return report.md."""
    provenance = evaluation.provenance
    cities = city_table(evaluation)
    by_city = (
        f"## By city\n\nMeans over a city's segments.\n\n{cities.markdown()}\n\n" if cities else ""
    )
    figures = "\n\n".join(
        f"![{kind}, {protocol}]({kind}-{protocol}.png)"
        for kind in ("confusion", "reliability")
        for protocol in evaluation.results
    )
    return f"""# {provenance["system"]} on the {provenance["fold"]} fold

The metric of DCASE 2021 task 1B on segments of one second: natural log-loss and accuracy of each
scene, and their unweighted means over scenes. A segment's probabilities are the mean over its
frames: those whose window lies wholly inside the second (strict), or those centred in it (centred).
With the protocol clip, which is not the official task, each clip is predicted once, by the mean
over all its frames.

{scene_table(evaluation).markdown()}

{bullets(coverage(evaluation))}

## Uncertainty

{bullets(uncertainty(evaluation))}

{by_city}{_conditions(evaluation)}## What was evaluated

{provenance_table(provenance)}

## Confusion and calibration

{figures}
{"" if isinstance(provenance["epoch"], list) else TRAINING}"""
