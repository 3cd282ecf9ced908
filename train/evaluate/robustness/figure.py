"""The figure of conditions: log-loss along each kind of them, and under those without a scale."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc.train.evaluate.figures import Drawing, drawn
from avsc.train.evaluate.robustness.conditions import Curve
from avsc.train.evaluate.robustness.measures import ConditionFigures, ConditionRow
from avsc.train.evaluate.robustness.tables import ALONE

OTHERS = ""
"""What is varied by conditions that are on no curve."""


def curves(rows: Sequence[ConditionRow]) -> Drawing:
    """Draw log-loss along each kind of condition, and that of the systems of one modality."""
    lines: dict[Curve, list[tuple[float, ConditionFigures]]] = {}
    complete = rows[0].measured
    assert complete is not None
    for row in rows:
        curve = row.condition.curve
        if curve is not None and row.measured is not None:
            start = [] if curve.complete is None else [(curve.complete, complete)]
            lines.setdefault(curve, start).append((row.condition.level, row.measured))
    axes_names = list(dict.fromkeys(curve.axis for curve in lines))
    others = {row.condition.name: row.measured for row in rows
              if row.condition.curve is None and row.measured is not None}  # fmt: skip
    axes_names += [OTHERS] if len(others) > 1 or not axes_names else []
    figure = Figure(
        figsize=(0.6 + 4.2 * len(axes_names), 5.2 if OTHERS in axes_names else 4.2),
        layout="constrained",
    )
    panels = figure.subplots(1, len(axes_names), sharey=True, squeeze=False)[0]
    for name, axes in zip(axes_names, panels, strict=True):
        own = {curve: line for curve, line in lines.items() if curve.axis == name}
        for number, (curve, line) in enumerate(own.items()):
            ordered = sorted(line, key=lambda point: point[0])
            _draw_line(axes, ordered, ".-", f"C{number}", curve.name)
        for modality, single in complete.to_single.items():
            style = "--" if modality == "audio" else ":"
            loss = single.log_loss.first
            axes.axhline(loss, label=ALONE[modality], color="grey", linestyle=style, linewidth=1)
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
        if name == OTHERS:
            _draw_points(axes, others)
        if own or complete.to_single:
            axes.legend(fontsize=9, frameon=False)
    panels[0].set_ylabel("log-loss / nats")
    return drawn(figure)


def _draw_points(axes: Axes, others: Mapping[str, ConditionFigures]) -> None:
    """Draw conditions without a scale side by side."""
    _draw_line(axes, list(enumerate(others.values())), "o", "C0")
    axes.set_xticks(range(len(others)), list(others), rotation=45, ha="right")
    axes.set_xlim(-0.5, len(others) - 0.5)


def _draw_line(
    axes: Axes,
    line: Sequence[tuple[float, ConditionFigures]],
    form: str,
    colour: str,
    label: str | None = None,
) -> None:
    """Draw figures by place, with a bar for the interval of each that has one."""
    losses = [(place, measured.results.scores.log_loss) for place, measured in line]
    axes.plot(*zip(*losses, strict=True), form, color=colour, label=label, markersize=5)
    for place, measured in line:
        interval = measured.results.log_loss_interval
        if interval is not None:
            axes.plot([place, place], [interval.low, interval.high], color=colour, linewidth=1)
