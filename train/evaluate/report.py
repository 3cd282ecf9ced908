"""What an evaluation found, written so that it can be read, compared and cited.

metrics.json                everything, with what was evaluated
metrics.csv                 one row a scene, a city, a mean; the protocols side by side
predictions-PROTOCOL.tsv    the probabilities of every segment, as `predictions` says
confusion-PROTOCOL.png      the confusion matrix
reliability-PROTOCOL.png    whether predicted probabilities are what they say
curves.png                  the run's training curves
report.md                   all on one page; written last
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avsc.manifests import escape
from avsc.manifests.errors import SettingError
from avsc.manifests.files import Piece, publish_all
from avsc.train.evaluate.bootstrap import MINIMUM, Interval
from avsc.train.evaluate.calibration import BINS
from avsc.train.evaluate.figures import confusion_picture, curves_picture, reliability_picture
from avsc.train.evaluate.markdown import markdown_table
from avsc.train.evaluate.number_format import LOG_LOSS, PERCENT, Form
from avsc.train.evaluate.predict import Evaluation
from avsc.train.evaluate.predictions import encode_predictions
from avsc.train.evaluate.results import Finding
from avsc.train.fit.run_folder import RunFolder
from avsc.train.protocol import Protocol

MEAN, POOLED = "mean over scenes", "over all segments"
LISTED = 20
"""Missing segments that the report names; metrics.json names all."""
UNITS = {"location": "locations", "clip": "clips (locations are not known)"}


def write_report(
    folder: Path, run: RunFolder, found: Evaluation, before: Callable[[], None] = lambda: None
) -> None:
    """Write the files of a report.

    Args:
        folder: where; not a run's own folder, whose metrics.csv is another.
        run: the run's folder, for its training curves.
        found: what was found.
        before: called before each file takes its name; what it raises ends the writing.

    Raises:
        SettingError: the folder is a run's own.
        AvscError: a file cannot be written.
    """
    check_folder(folder)
    files: dict[str, Piece] = {}
    for protocol, each in found.findings.items():
        title = f"{found.stamp['system']}, {found.stamp['fold']} fold, {protocol}"
        files |= {
            f"predictions-{protocol}.tsv": encode_predictions(
                each.segments, found.clips, found.classes
            ),
            f"confusion-{protocol}.png": confusion_picture(
                each.scores.confusion, found.classes, title
            ),
            f"reliability-{protocol}.png": reliability_picture(each.calibration, title),
        }
    files |= {
        "curves.png": curves_picture(run.metrics, found.stamp["epoch"]),
        "metrics.csv": _csv(found),
        "metrics.json": (json.dumps(_values(found), indent=2) + "\n").encode(),
        "report.md": _page(found).encode(),
    }
    publish_all(folder, files, before)


def check_folder(folder: Path) -> None:
    """Raise a `SettingError` if a folder is a run's own."""
    if RunFolder(folder).started:
        raise SettingError(
            f"--out is {folder}, the folder of a run, whose metrics.csv a report would replace. "
            "Name another, or leave --out away."
        )


def table(found: Evaluation) -> str:
    """Return log-loss and accuracy by scene and over scenes, as a Markdown table."""
    names = [*found.classes, MEAN]
    columns = {
        protocol: (
            [*each.scores.class_log_loss, each.scores.log_loss],
            [*each.scores.class_accuracy, each.scores.accuracy],
        )
        for protocol, each in found.findings.items()
    }
    return _figures("scene", names, found, columns)


def city_table(found: Evaluation) -> str:
    """Return log-loss and accuracy by city and over all segments; empty when no clip has one."""
    names: list[str] = []
    columns: dict[Protocol, tuple[list[float], list[float]]] = {}
    for protocol, each in found.findings.items():
        if each.cities is None:
            return ""
        names = [*each.cities.names, POOLED]
        columns[protocol] = (
            [*each.cities.log_loss, each.pooled[0]],
            [*each.cities.accuracy, each.pooled[1]],
        )
    return _figures("city", names, found, columns)


def _figures(
    head: str,
    names: list[str],
    found: Evaluation,
    columns: Mapping[Protocol, tuple[list[float], list[float]]],
) -> str:
    """Return a table, with the digits that the interval of the mean over scenes carries."""
    rows = [[head], *([name] for name in names)]
    for protocol, (losses, accuracies) in columns.items():
        rows[0] += [f"{protocol} log-loss", "acc. %"]
        each = found.findings[protocol]
        digits = LOG_LOSS.decimals(each.log_loss_interval)
        percent = PERCENT.decimals(each.accuracy_interval)
        for row, loss, accuracy in zip(rows[1:], losses, accuracies, strict=True):
            row += [LOG_LOSS.figure(loss, digits), PERCENT.figure(accuracy, percent)]
    return markdown_table(rows)


def coverage(found: Evaluation) -> str:
    """Say how many of the segments were scored."""
    lines = []
    for protocol, lost in found.missing.items():
        there = found.expected - len(lost)
        text = f"{protocol}: {there:,}/{found.expected:,} segments"
        if protocol == "clip":
            text += f", in {len(found.findings[protocol].segments):,} clips, each predicted once"
        if lost:
            more = f" and {len(lost) - LISTED:,} more" if len(lost) > LISTED else ""
            text += (
                "; not the official figure, which is over all of them. Missing: "
                f"{', '.join(lost[:LISTED])}{more}"
            )
        lines.append(text)
    return "\n".join(lines)


def certainty(found: Evaluation) -> str:
    """Say confidence intervals, calibration error and temperature, a line a protocol."""
    resamples = found.stamp["resamples"]
    lines = []
    for protocol, each in found.findings.items():
        digits = LOG_LOSS.decimals(each.log_loss_interval)
        lines.append(
            f"{protocol}: "
            f"log-loss {_with_interval(each.scores.log_loss, each.log_loss_interval, LOG_LOSS)}, "
            f"accuracy {_with_interval(each.scores.accuracy, each.accuracy_interval, PERCENT)} "
            f"(95 % confidence, bootstrap-t, {resamples:,} resamples of the "
            f"{len(each.units.group)} {UNITS[each.units.kind]} within each scene)"
            f"{_withheld(each)}; expected calibration error "
            f"{each.calibration.error:.3f} ({BINS} bins)"
        )
        if each.temperature is not None:
            lines[-1] += (
                f"; with temperature {each.temperature.value:.3f}, fitted on "
                f"{each.temperature.fitted_on:,} predictions of the run's validation part "
                f"(log-loss without it {LOG_LOSS.figure(each.temperature.log_loss_before, digits)})"
            )
    return "\n".join(lines)


def _with_interval(value: float, interval: Interval | None, form: Form) -> str:
    unit = " %" if form is PERCENT else ""
    return f"{form.figure(value, form.decimals(interval))}{unit} {form.interval(interval)}"


def _withheld(each: Finding) -> str:
    """Say why an interval is withheld; empty if none is."""
    if each.log_loss_interval is not None and each.accuracy_interval is not None:
        return ""
    units = each.units
    if len(units.group) < MINIMUM:
        return f"; no interval (-): it needs {MINIMUM} {units.kind}s"
    if alone := units.alone:
        return f"; no interval (-): {', '.join(alone)} has a single {units.kind}"
    return f"; no interval (-): too few {units.kind}s differ from the others"


def _values(found: Evaluation) -> dict[str, Any]:
    protocols = {
        protocol: {
            **_protocol_values(each, found.classes),
            "missing": list(found.missing[protocol]),
        }
        for protocol, each in found.findings.items()
    }
    return {
        **found.stamp,
        "classes": list(found.classes),
        "expected_segments": found.expected,
        "protocols": protocols,
    }


def _protocol_values(each: Finding, classes: tuple[str, ...]) -> dict[str, Any]:
    scores, cities, bins = each.scores, each.cities, each.calibration
    return {
        "log_loss": scores.log_loss,
        "accuracy": scores.accuracy,
        "log_loss_interval": _ends(each.log_loss_interval),
        "accuracy_interval": _ends(each.accuracy_interval),
        "resampled": {"what": each.units.kind, "number": len(each.units.group)},
        "segments": len(each.segments),
        "pooled_log_loss": each.pooled[0],
        "pooled_accuracy": each.pooled[1],
        "class_log_loss": dict(zip(classes, scores.class_log_loss.tolist(), strict=True)),
        "class_accuracy": dict(zip(classes, scores.class_accuracy.tolist(), strict=True)),
        "city_log_loss": _by_city(each, "log_loss"),
        "city_accuracy": _by_city(each, "accuracy"),
        "city_segments": {} if cities is None else _by_city(each, "segments"),
        "confusion": scores.confusion.tolist(),
        "calibration": {
            "expected_error": bins.error,
            "segments": bins.segments.tolist(),
            "confidence": [None if np.isnan(x) else x for x in bins.confidence.tolist()],
            "accuracy": [None if np.isnan(x) else x for x in bins.accuracy.tolist()],
        },
        "temperature": None if each.temperature is None else vars(each.temperature),
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _by_city(each: Finding, name: str) -> dict[str, Any]:
    if each.cities is None:
        return {}
    return dict(zip(each.cities.names, getattr(each.cities, name).tolist(), strict=True))


def _csv(found: Evaluation) -> bytes:
    first = next(iter(found.findings.values()))
    cities = () if first.cities is None else first.cities.names
    columns: dict[str, list[Any]] = {
        "group": [*["scene"] * len(found.classes), *["city"] * len(cities), "mean", "mean"],
        "name": [*found.classes, *cities, MEAN, POOLED],
    }
    for protocol, each in found.findings.items():
        count, scores = len(each.segments), each.scores
        segments = [*scores.confusion.sum(1).tolist(), *_by_city(each, "segments").values()]
        losses = [*scores.class_log_loss.tolist(), *_by_city(each, "log_loss").values()]
        accuracies = [*scores.class_accuracy.tolist(), *_by_city(each, "accuracy").values()]
        columns[f"segments_{protocol}"] = [*segments, count, count]
        columns[f"log_loss_{protocol}"] = [*losses, scores.log_loss, each.pooled[0]]
        columns[f"accuracy_{protocol}"] = [*accuracies, scores.accuracy, each.pooled[1]]
    return escape.csv_sheet([columns, *zip(*columns.values(), strict=True)])


def _page(found: Evaluation) -> str:
    stamp = "\n".join(
        f"| {escape.markdown(name)} | {escape.markdown(_cell(value))} |"
        for name, value in found.stamp.items()
    )
    cities = city_table(found)
    by_city = f"## By city\n\nMeans over a city's segments.\n\n{cities}\n\n" if cities else ""
    pictures = "\n\n".join(
        f"![{kind}, {protocol}]({kind}-{protocol}.png)"
        for kind in ("confusion", "reliability")
        for protocol in found.findings
    )
    return f"""# {found.stamp["system"]} on the {found.stamp["fold"]} fold

The metric of DCASE 2021 task 1B on segments of one second: natural log-loss and accuracy of each
scene, and their unweighted means. A segment's probabilities are the mean over its frames: those
whose window lies wholly inside the second (strict), or those centred in it (centred). By the
protocol clip, which is not the official task, each clip is predicted once, by the mean of all its
frames.

{table(found)}

{_list(coverage(found))}

## How certain

{_list(certainty(found))}

{by_city}## What was evaluated

| | |
|---|---|
{stamp}

## Confusion and calibration

{pictures}

## Training

![training curves](curves.png)
"""


def _list(lines: str) -> str:
    return "\n".join(f"- {escape.markdown(line)}" for line in lines.split("\n"))


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)
