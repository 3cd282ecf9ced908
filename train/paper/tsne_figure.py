"""The figure: a row for each layer, a column for each run, one colour and marker per scene.

Colours are Petroff's ten (2021, "Accessible color sequences for data visualization"), designed to
be distinguishable with any colour vision; the markers are so in print without colour too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = "o^svDP*Xp<>h"
DOTS_PER_INCH = 200


@dataclass(frozen=True)
class Panel:
    """One map.

    Attributes:
        title: above the map.
        note: below the title.
        points: [points, 2].
    """

    title: str
    note: str
    points: NDArray[np.float64]


def draw(
    panels: Sequence[Sequence[Panel]], scene: NDArray[np.int64], classes: Sequence[str]
) -> Figure:
    """Return the figure.

    Args:
        panels: rows of maps.
        scene: class index of each point.
        classes: scene labels, as `drawable_names` returns them; so are names in the panels.
    """
    rows, columns = len(panels), len(panels[0])
    figure = Figure(figsize=(0.4 + 3.6 * columns, 0.9 + 3.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for row, line in zip(axes, panels, strict=True):
        for axis, panel in zip(row, line, strict=True):
            for index in range(len(classes)):
                members = panel.points[scene == index]
                axis.scatter(
                    members[:, 0], members[:, 1], s=9, linewidths=0, alpha=0.8,
                    color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)],
                )  # fmt: skip
            axis.set_title(f"({next(letters)}) {panel.title}\n{panel.note}", fontsize=9)
            _square(axis, panel.points)
    markers = [
        matplotlib.lines.Line2D(
            [], [], linestyle="", markersize=6, markeredgewidth=0, label="scene",
            color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)],
        )
        for index in range(len(classes))
    ]  # fmt: skip
    legend = figure.legend(
        handles=markers, loc="outside lower center", ncols=min(5, len(markers)), fontsize=9,
        frameon=False, columnspacing=1, handletextpad=0.1,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), classes, strict=True):
        text.set_text(name)  # as a label, a name that begins with "_" would be omitted
    return figure


def _square(axes: matplotlib.axes.Axes, points: NDArray[np.float64]) -> None:
    """Show a square that holds all points, with one scale on both axes."""
    middle = (points.max(0) + points.min(0)) / 2
    half = 1.05 * float(np.ptp(points, axis=0).max()) / 2 or 1.0
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
