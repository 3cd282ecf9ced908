"""The pictures of a report: confusion matrix and training curves, as PNG."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def confusion_picture(confusion: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """Return a PNG of a confusion matrix.

    Args:
        confusion: [true class, predicted class], segments.
        classes: scene labels.
        title: above the picture.
    """
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = 2.4 + 0.55 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    for row in places:
        for column in places:
            if confusion[row, column]:
                colour = "white" if share[row, column] > 0.5 else "black"
                text = f"{100 * share[row, column]:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    return _png(figure)


def curves_picture(metrics: Path) -> bytes:
    """Return a PNG of a run's metrics.csv: losses, validation accuracy, learning rate."""
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure = Figure(figsize=(7, 7), layout="constrained")
    loss, accuracy, rate = figure.subplots(3, sharex=True)
    loss.plot(epochs, _column(rows, "training_loss"), ".-", label="training loss (augmented)")
    loss.plot(epochs, _column(rows, "validation_log_loss"), ".-", label="validation log-loss")
    loss.set_ylabel("nats")
    loss.legend()
    accuracy.plot(epochs, 100 * _column(rows, "validation_accuracy"), ".-", color="C1")
    accuracy.set_ylabel("validation accuracy, %")
    accuracy.set_ylim(0, 102)
    rate.plot(epochs, _column(rows, "learning_rate"), ".-", color="C2")
    rate.set_yscale("log")
    rate.set_ylabel("learning rate at the epoch's end")
    rate.set_xlabel("epoch")
    return _png(figure)


def _column(rows: list[dict[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) if row[name] else np.nan for row in rows])


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "avsc"}):
        figure.savefig(data, format="png", dpi=120, metadata={"Software": None})
    return data.getvalue()
