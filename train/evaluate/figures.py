"""The figures of a report: confusion matrices, calibration, training curves; and names in figures.

Figures are made without pyplot, so that they need no display and leave no global state.

matplotlib takes what stands between two dollar signs for a formula, and draws a box, with a
warning, for a character that its font lacks. `drawable_names` has names drawn literally, in an
installed font that has their characters; a character that no font has is written as its number,
such as ``\\u4e2d``.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from avsc.manifests import escape
from avsc.train.evaluate.calibration import BINS, Calibration

DOTS_PER_INCH = 120
LONGEST = 24
"""Characters of a name that a figure has room for."""
SYMBOLS = ("Last Resort", "cm", "STIXNon", "STIXSize")
"""Beginnings of the names of fonts whose glyphs are boxes, or not those of their code points."""


@dataclass(frozen=True)
class Drawing:
    """A figure, drawn.

    Attributes:
        png: for the screen, on white.
        svg: for print, on nothing.
    """

    png: bytes
    svg: bytes

    def files(self, name: str) -> dict[str, bytes]:
        """Return its files by name."""
        return {f"{name}.png": self.png, f"{name}.svg": self.svg}


def confusion_figure(confusion: NDArray[np.int64], classes: Sequence[str], title: str) -> Drawing:
    """Draw a confusion matrix: each cell in per cent of its true class, and in segments.

    Args:
        confusion: [true class, predicted class], segments; every row has some.
        classes: scene labels.
    """
    with drawable_names(*classes) as names:
        return _confusion_figure(confusion, names, title)


def _confusion_figure(confusion: NDArray[np.int64], names: Sequence[str], title: str) -> Drawing:
    percent = 100 * confusion / confusion.sum(1, keepdims=True)
    side = 2.4 + 0.55 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    edges = np.arange(len(names) + 1) - 0.5
    axes.pcolormesh(edges, edges, percent, cmap="Blues", vmin=0, vmax=100)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set_xlabel("predicted scene")
    axes.set_ylabel("true scene")
    axes.set_title(f"{title}\n% of the segments of each true scene, and segments", fontsize=10)
    for row, column in zip(*np.nonzero(confusion), strict=True):
        value = percent[row, column]
        text = "100" if value >= 99.95 else f"{value:.1f}" if value >= 0.05 else "<0.1"
        colour = "white" if value > 50 else "black"
        text += f"\n({confusion[row, column]})"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    return drawn(figure)


def reliability_figure(calibration: Calibration, title: str) -> Drawing:
    """Draw accuracy against predicted probability, and the segments in each bin."""
    left = np.arange(BINS) / BINS
    filled = calibration.segments > 0
    confidence, accuracy = calibration.confidence, calibration.accuracy
    figure = Figure(figsize=(4.6, 5.9), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.bar(left, accuracy, 1 / BINS, align="edge", color="C0", edgecolor="white")
    upper.plot([0, 1], [0, 1], "--", color="grey", linewidth=1, label="perfectly calibrated")
    upper.plot(confidence[filled], accuracy[filled], ".", color="black", label="mean of the bin")
    upper.set_ylim(0, 1)
    upper.set_xlim(0, 1)
    upper.set_ylabel("accuracy")
    upper.set_title(f"{title}\nexpected calibration error {calibration.error:.3f}", fontsize=10)
    upper.legend(loc="upper left", fontsize=9, frameon=False)
    bars = lower.bar(
        left, calibration.segments, 1 / BINS, align="edge", color="C0", edgecolor="white"
    )
    lower.bar_label(bars, [str(n) if n else "" for n in calibration.segments], fontsize=5)
    lower.margins(y=0.15)
    lower.set_ylabel("segments")
    lower.set_xlabel("probability of the predicted scene")
    return drawn(figure)


def curves_figure(metrics: Path, epoch: int) -> Drawing:
    """Draw a run's metrics.csv: losses, validation accuracy, learning rate.

    A run without validation has no accuracy, and no second curve beside the training loss.

    Args:
        epoch: the one that is evaluated; it is marked.
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
        low, high = middle[0].get_ylim()
        middle[0].set_ylim(low, min(high, 100 + (100 - low) / 20))  # nothing is above 100 %
    _curve(rate, rows, "learning_rate", "C2")
    loss.set_ylabel("loss / nats")
    rate.set_ylabel("learning rate at\nthe epoch's end")
    if rows:
        rate.set_yscale("log")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    label = f"evaluated: epoch {epoch}"
    for axes in (loss, *middle, rate):
        axes.axvline(epoch, color="grey", linestyle="--", linewidth=1, label=label)
        axes.grid(alpha=0.3)
    loss.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=9, frameon=False)
    return drawn(figure)


def _curve(
    axes: Axes,
    rows: Sequence[dict[str, str]],
    column: str,
    colour: str,
    *,
    label: str | None = None,
    scale: float = 1,
) -> None:
    """Draw one column of metrics.csv; epochs without a value are omitted."""
    points = [(int(row["epoch"]), scale * float(row[column])) for row in rows if row[column]]
    axes.plot(*zip(*points, strict=True), ".-", color=colour, label=label)


def drawn(figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> Drawing:
    """Return a figure's files, without the date and the name and version of the software.

    Args:
        figure: the figure.
        dots_per_inch: of the PNG.
    """
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=dots_per_inch, metadata={"Software": None})
    # Texts stay texts, and the bytes do not change from run to run.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "avsc"}):
        unstamped = {"Date": None, "Creator": None}
        figure.savefig(svg, format="svg", transparent=True, metadata=unstamped)
    return Drawing(png.getvalue(), svg.getvalue())


@contextmanager
def drawable_names(*names: str) -> Iterator[list[str]]:
    r"""Yield names for figures that are made, and drawn, within this context.

    >>> with drawable_names("bar $5", "x" * 40) as names:
    ...     print(*names)
    bar \$5 xxxxxxxxxxx...xxxxxxxxxx
    """
    lacking = {c for name in names for c in name if not c.isascii()}
    lacking -= _characters(findfont(FontProperties()))
    families: list[str] = []
    for family, file in _fonts() if lacking else ():
        if supplied := lacking & _characters(file):
            families.append(family)
            lacking -= supplied
    numbers = str.maketrans({c: ascii(c)[1:-1] for c in lacking})
    before = matplotlib.rcParams["font.family"]
    with matplotlib.rc_context({"font.family": [*before, *families]}):
        yield [
            escape.mathtext(_shortened(escape.terminal(name).translate(numbers))) for name in names
        ]


def _shortened(name: str) -> str:
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in name)
    most = LONGEST // 2 if wide else LONGEST
    end = (most - 3) // 2
    return name if len(name) <= most else f"{name[: most - 3 - end]}...{name[-end:]}"


def _fonts() -> Iterator[tuple[str, str]]:
    """Yield families and files of the installed fonts that are upright and of normal weight."""
    for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        usual = (font.style, font.weight, font.stretch) == ("normal", 400, "normal")
        if usual and not font.name.startswith(SYMBOLS):
            yield font.name, font.fname


def _characters(file: str) -> set[str]:
    """Return the characters that a font can draw at any size."""
    try:
        font = get_font(file)
        return {chr(code) for code in font.get_charmap()} if font.scalable else set()
    except (OSError, RuntimeError, ValueError):  # a font that cannot be loaded draws nothing
        return set()
