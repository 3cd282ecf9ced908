"""What an evaluation found, written so that it can be read, compared and cited.

metrics.json                everything, with what was evaluated
metrics.csv                 one row a scene, the protocols side by side; the last row is the mean
predictions-PROTOCOL.tsv    the probabilities of every segment, as `predictions` says
confusion-PROTOCOL.png      the confusion matrix
curves.png                  the run's training curves
report.md                   all on one page; written last
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

from avsc.manifests.errors import SettingError
from avsc.manifests.publish import publish
from avsc.train.fit.run_folder import RunFolder
from avsc.train.score.evaluation import Evaluation
from avsc.train.score.figures import confusion_picture, curves_picture
from avsc.train.score.predictions import encode_predictions

MEAN = "mean over scenes"
LISTED = 20
"""Missing segments that the report names; metrics.json names all."""


def write_report(folder: Path, run: RunFolder, found: Evaluation) -> None:
    """Write the files of a report.

    Args:
        folder: where; not a run's own folder, whose metrics.csv is another.
        run: the run's folder, for its training curves.
        found: what was found.

    Raises:
        SettingError: the folder is a run's own.
        AvscError: a file cannot be written.
    """
    check_folder(folder)
    for protocol, segments in found.segments.items():
        predictions = encode_predictions(segments, found.clips, found.classes)
        publish(folder / f"predictions-{protocol}.tsv", predictions)
        picture = confusion_picture(
            found.scores[protocol].confusion,
            found.classes,
            f"{found.stamp['system']}, {found.stamp['fold']} fold, {protocol}\n"
            "% of the segments of each true scene",
        )
        publish(folder / f"confusion-{protocol}.png", picture)
    publish(folder / "curves.png", curves_picture(run.metrics, found.stamp["epoch"]))
    publish(folder / "metrics.csv", _csv(found))
    publish(folder / "metrics.json", (json.dumps(_values(found), indent=2) + "\n").encode())
    publish(folder / "report.md", _page(found).encode())


def check_folder(folder: Path) -> None:
    """Raise a `SettingError` if a folder is a run's own."""
    if RunFolder(folder).begun:
        raise SettingError(
            f"--out is {folder}, the folder of a run, whose metrics.csv a report would replace. "
            "Name another, or leave --out away."
        )


def table(found: Evaluation) -> str:
    """Return log-loss and accuracy by scene and over scenes, as a Markdown table."""
    rows = [["scene"], ["---"], *([name] for name in (*found.classes, MEAN))]
    for protocol, each in found.scores.items():
        losses = (*each.class_log_loss, each.log_loss)
        accuracies = (*each.class_accuracy, each.accuracy)
        for head, cells in (
            (f"{protocol} log-loss", [f"{loss:.4f}" for loss in losses]),
            ("acc. %", [f"{100 * accuracy:.2f}" for accuracy in accuracies]),
        ):
            for row, cell in zip(rows, (head, "---:", *cells), strict=True):
                row.append(cell)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows[1] = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(_padded(row, widths))} |" for row in rows)


def _padded(row: list[str], widths: list[int]) -> list[str]:
    first, *rest = row
    return [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
    ]


def coverage(found: Evaluation) -> str:
    """Say how many of the segments were scored."""
    lines = []
    for protocol, lost in found.missing.items():
        text = f"{protocol}: {len(found.segments[protocol]):,}/{found.expected:,} segments"
        if lost:
            more = f" and {len(lost) - LISTED:,} more" if len(lost) > LISTED else ""
            text += (
                "; not the official figure, which is over all of them. Missing: "
                f"{', '.join(lost[:LISTED])}{more}"
            )
        lines.append(text)
    return "\n".join(lines)


def _values(found: Evaluation) -> dict[str, Any]:
    protocols = {
        protocol: {
            "log_loss": each.log_loss,
            "accuracy": each.accuracy,
            "segments": len(found.segments[protocol]),
            "missing": list(found.missing[protocol]),
            "class_log_loss": dict(zip(found.classes, each.class_log_loss.tolist(), strict=True)),
            "class_accuracy": dict(zip(found.classes, each.class_accuracy.tolist(), strict=True)),
            "confusion": each.confusion.tolist(),
        }
        for protocol, each in found.scores.items()
    }
    return {
        **found.stamp,
        "classes": list(found.classes),
        "expected_segments": found.expected,
        "protocols": protocols,
    }


def _csv(found: Evaluation) -> bytes:
    columns: dict[str, list[Any]] = {"scene": [*found.classes, MEAN]}
    for protocol, each in found.scores.items():
        counts = each.confusion.sum(1)
        columns[f"segments_{protocol}"] = [*counts.tolist(), int(counts.sum())]
        columns[f"log_loss_{protocol}"] = [*each.class_log_loss.tolist(), each.log_loss]
        columns[f"accuracy_{protocol}"] = [*each.class_accuracy.tolist(), each.accuracy]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _page(found: Evaluation) -> str:
    stamp = "\n".join(f"| {name} | {_cell(value)} |" for name, value in found.stamp.items())
    pictures = "\n\n".join(f"![confusion, {p}](confusion-{p}.png)" for p in found.scores)
    return f"""# {found.stamp["system"]} on the {found.stamp["fold"]} fold

The metric of DCASE 2021 task 1B on segments of one second: natural log-loss and accuracy of each
scene, and their unweighted means. A segment's probabilities are the mean over its frames: those
whose window lies wholly inside the second (strict), or those centred in it (centred).

{table(found)}

{coverage(found)}

## What was evaluated

| | |
|---|---|
{stamp}

## Confusion

{pictures}

## Training

![training curves](curves.png)
"""


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)
