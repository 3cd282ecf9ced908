"""The pictures of a report: confusion matrices, calibration, training curves; as PNG.

Figures are made without pyplot, so that they need no display and leave no global state.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from avsc.train.evaluate.calibration import BINS, Calibration
from avsc.train.evaluate.fonts import lettered

DOTS_PER_INCH = 120


def confusion_picture(confusion: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """Return a PNG of a confusion matrix, each cell in per cent of its true class.

    Args:
        confusion: [true class, predicted class], segments; every row has some.
        classes: scene labels.
        title: above the picture.
    """
    with lettered(*classes) as names:
        return _confusion_picture(confusion, names, title)


def _confusion_picture(confusion: NDArray[np.int64], names: Sequence[str], title: str) -> bytes:
    percent = 100 * confusion / confusion.sum(1, keepdims=True)
    side = 2.4 + 0.55 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted scene")
    axes.set_ylabel("true scene")
    axes.set_title(f"{title}\n% of the segments of each true scene", fontsize=10)
    for row, column in zip(*np.nonzero(confusion), strict=True):
        value = percent[row, column]
        text = "100" if value >= 99.95 else f"{value:.1f}" if value >= 0.05 else "<0.1"
        colour = "white" if value > 50 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return _png(figure)


def reliability_picture(found: Calibration, title: str) -> bytes:
    """Return a PNG of accuracy against predicted probability, and of how many segments there are.

    Args:
        found: by bin.
        title: above the picture.
    """
    left = np.arange(BINS) / BINS
    there = found.segments > 0
    figure = Figure(figsize=(4.6, 5.9), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.bar(left, found.accuracy, 1 / BINS, align="edge", color="C0", edgecolor="white")
    upper.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="as predicted")
    upper.plot(
        found.confidence[there], found.accuracy[there], ".", color="black", label="bin's mean"
    )
    upper.set_ylim(0, 1)
    upper.set_xlim(0, 1)
    upper.set_ylabel("share that is right")
    upper.set_title(f"{title}\nexpected calibration error {found.error:.3f}", fontsize=10)
    upper.legend(loc="upper left", fontsize=9, frameon=False)
    lower.bar(left, 100 * found.segments / found.segments.sum(), 1 / BINS, align="edge",
              color="C0", edgecolor="white")  # fmt: skip
    lower.set_ylabel("predictions / %")
    lower.set_xlabel("probability of the predicted scene")
    return _png(figure)


def curves_picture(metrics: Path, epoch: int) -> bytes:
    """Return a PNG of a run's metrics.csv: losses, validation accuracy, learning rate.

    A run without validation has no accuracy, and no second curve beside the training loss.

    Args:
        metrics: the file.
        epoch: the one that is evaluated; marked.
    """
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    validated = any(row["validation_accuracy"] for row in rows)
    panels = 3 if validated else 2
    figure = Figure(figsize=(7, 0.6 + 2.2 * panels), layout="constrained")
    loss, *middle, rate = figure.subplots(panels, sharex=True)
    _curve(loss, rows, "training_loss", "C0", label="training (augmented)")
    if validated:
        _curve(loss, rows, "validation_log_loss", "C1", label="validation (log-loss)")
        _curve(middle[0], rows, "validation_accuracy", "C1", scale=100)
        middle[0].set_ylabel("validation\naccuracy / %")
        middle[0].set_ylim(0, 102)
    _curve(rate, rows, "learning_rate", "C2")
    loss.set_ylabel("loss / nats")
    rate.set_ylabel("learning rate at\nthe epoch's end")
    if rows:
        rate.set_yscale("log")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    mark = f"evaluated: epoch {epoch}"
    for axes in (loss, *middle, rate):
        axes.axvline(epoch, color="grey", linestyle="--", linewidth=1, label=mark)
        axes.grid(alpha=0.3)
    loss.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=9, frameon=False)
    return _png(figure)


def _curve(
    axes: Axes,
    rows: Sequence[dict[str, str]],
    column: str,
    colour: str,
    *,
    label: str | None = None,
    scale: float = 1,
) -> None:
    """Draw one column of metrics.csv; epochs without a value are left out."""
    points = [(int(row["epoch"]), scale * float(row[column])) for row in rows if row[column]]
    axes.plot(*zip(*points, strict=True), ".-", color=colour, label=label)


def _png(figure: Figure) -> bytes:
    """Return the picture's bytes, without the name and version of what made them."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return data.getvalue()
