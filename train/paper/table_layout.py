"""A table as Markdown, CSV and LaTeX: what was measured beside what was printed.

Each row has a line for each protocol. Markdown and LaTeX round, CSV has every digit. LaTeX needs
the package booktabs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avsc.manifests import escape
from avsc.train.evaluate.markdown import markdown_table
from avsc.train.evaluate.number_format import LOG_LOSS, NONE, PERCENT, Form
from avsc.train.paper.printed import Printed
from avsc.train.paper.table_scores import Figure, Score

HEAD = (
    "row", "inputs", "VE", "protocol", "log-loss", "acc. %",
    "paper", "acc. %", "difference", "acc. %",
)  # fmt: skip
WORDS = 4
"""Columns of words, before those of figures."""


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        label: of the row.
        inputs: acoustic feature and image model; the training strategy of a result of others.
        pretraining: of the visual encoder; None without one, and for results of others.
        protocol: that was measured by; None where nothing was.
        runs: how many there are.
        score: what was measured; None for a published result of others.
        printed: what the paper has; None where it has nothing.
    """

    label: str
    inputs: tuple[str, ...]
    pretraining: str | None
    protocol: str | None
    runs: int
    score: Score | None
    printed: Printed | None

    @property
    def differences(self) -> tuple[float, float] | None:
        """Measured less printed: log-loss, accuracy."""
        if self.score is None or self.printed is None:
            return None
        return (
            self.score.log_loss.mean - self.printed.log_loss,
            self.score.accuracy.mean - self.printed.accuracy,
        )


def markdown(lines: Sequence[Line]) -> str:
    """Return the table as Markdown."""
    return markdown_table([HEAD, *_rows(lines)], left=WORDS)


def latex(lines: Sequence[Line], caption: str) -> bytes:
    """Return the table as LaTeX, for booktabs."""
    head, *rows = (" & ".join(map(escape.latex, cells)) + r" \\" for cells in (HEAD, *_rows(lines)))
    columns = "l" * WORDS + "r" * (len(HEAD) - WORDS)
    return "\n".join(
        (
            r"\begin{table}", rf"\caption{{{escape.latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows,
            r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        )
    ).encode()  # fmt: skip


def comma_separated(lines: Sequence[Line]) -> bytes:
    """Return the table as CSV, a line a row, every figure in a column of its own."""
    parts = ("mean", "deviation", "low", "high")
    table: list[list[object]] = [
        ["row", "inputs", "visual_pretraining", "protocol", "runs",
         *(f"{name}_{part}" for name in ("log_loss", "accuracy") for part in parts), "segments",
         "log_loss_paper", "accuracy_paper", "log_loss_difference", "accuracy_difference",
         "source"]
    ]  # fmt: skip
    for line in lines:
        score, printed = line.score, line.printed
        figures = [None] * 9 if score is None else [
            *_parts(score.log_loss), *_parts(score.accuracy), score.segments
        ]  # fmt: skip
        paper = (None, None) if printed is None else (printed.log_loss, printed.accuracy)
        table.append(
            [line.label, " + ".join(line.inputs), line.pretraining, line.protocol, line.runs,
             *figures, *paper, *(line.differences or (None, None)), printed and printed.source]
        )  # fmt: skip
    return escape.csv_sheet(table)


def _parts(each: Figure) -> list[float | None]:
    ends = (None, None) if each.interval is None else (each.interval.low, each.interval.high)
    return [each.mean, each.deviation, *ends]


def _rows(lines: Sequence[Line]) -> list[list[str]]:
    """Return the cells of lines; what a row's second line would repeat is left away."""
    rows = []
    for before, line in zip([None, *lines], lines, strict=False):
        cells = _cells(line)
        if before is not None and (before.label, before.inputs) == (line.label, line.inputs):
            cells[:3] = ["", "", ""]
        rows.append(cells)
    return rows


def _cells(line: Line) -> list[str]:
    printed, differences = line.printed, line.differences
    cells = [line.label, " + ".join(line.inputs) or NONE, line.pretraining or NONE]
    cells += [line.protocol or NONE]
    if line.score is None:
        cells += [NONE, NONE]
    else:
        cells += [_figure(line.score.log_loss, LOG_LOSS), _figure(line.score.accuracy, PERCENT)]
    cells += (
        [NONE, NONE]
        if printed is None
        else [f"{printed.log_loss:.4g}", f"{100 * printed.accuracy:.4g}"]
    )
    if line.score is None or differences is None:
        return [*cells, NONE, NONE]
    digits, percent = (
        form.decimals(each.interval)
        for form, each in ((LOG_LOSS, line.score.log_loss), (PERCENT, line.score.accuracy))
    )
    return [
        *cells,
        LOG_LOSS.figure(differences[0], digits, "+"),
        PERCENT.figure(differences[1], percent, "+"),
    ]


def _figure(each: Figure, form: Form) -> str:
    decimals = form.decimals(each.interval)
    spread = "" if each.deviation is None else f" ± {form.figure(each.deviation, decimals)}"
    return f"{form.figure(each.mean, decimals)}{spread} {form.interval(each.interval)}"
