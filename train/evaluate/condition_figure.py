"""The figure of conditions: log-loss along each kind of them."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc.train.evaluate.condition_tables import ALONE
from avsc.train.evaluate.conditions import Curve
from avsc.train.evaluate.figures import Drawing, drawn
from avsc.train.evaluate.robustness import ConditionFigures, ConditionRow


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
