"""Scores by scene, city and location: tables for the terminal, report.md and report.html.

A column of a report is a `ScoreColumn` in `_columns`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avsc.features.pages.page import Cell, Section
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.results import PlaceScores, Results
from avsc.train.evaluate.run_evaluation import MEAN, POOLED, RunEvaluation
from avsc.train.evaluate.writing import COUNT, LOG_LOSS, PERCENT, NumberFormat, markdown_table
from avsc.train.metrics import NOWHERE
from avsc.train.protocol import Protocol

UNKNOWN = "–"
"""What a page's table of clips shows of a clip without a city, or without a location."""


@dataclass(frozen=True)
class ScoreColumn:
    """One column of a table of scores.

    Attributes:
        header: at its top.
        values: by row.
        form: how they are printed.
        interval: the one of the mean over scenes, which decides their digits.
        page_only: only a page has room for it.
    """

    header: str
    values: Sequence[float]
    form: NumberFormat
    interval: Interval | None = None
    page_only: bool = False

    def texts(self) -> list[str]:
        """Return the values as they are printed."""
        digits = self.form.decimals(self.interval)
        return [self.form.figure(value, digits) for value in self.values]

    def cells(self) -> list[Cell]:
        """Return the values for a page; those in per cent are shaded."""
        shaded = self.form is PERCENT
        return [
            Cell(text, share=float(value) if shaded else None, number=True)
            for text, value in zip(self.texts(), self.values, strict=True)
        ]


@dataclass(frozen=True)
class ScoreTable:
    """Scores of groups of segments, and of all of them in the last row.

    Attributes:
        kind: ``scene``, ``city`` or ``location``.
        names: of the rows.
        columns: beside the names.
    """

    kind: str
    names: Sequence[str]
    columns: Sequence[ScoreColumn]

    def markdown(self) -> str:
        """Return the table without what only a page has room for."""
        columns = [column for column in self.columns if not column.page_only]
        texts = [[column.header, *column.texts()] for column in columns]
        return markdown_table([*zip([self.kind, *self.names], *texts, strict=True)])

    def section(self) -> Section:
        """Return the table for a page; a group's name leads to its clips."""
        *groups, total = self.names
        heads = [Cell(name, {self.kind: self._linked(name)}, head=True) for name in groups]
        heads.append(Cell(total, head=True))
        rows = [*zip(heads, *(column.cells() for column in self.columns), strict=True)]
        headers = [self.kind, *(column.header for column in self.columns)]
        return Section(f"By {self.kind}", (), headers, rows)

    def _linked(self, name: str) -> str:
        return UNKNOWN if self.kind != "scene" and name == NOWHERE[self.kind] else name


def scene_table(evaluation: RunEvaluation) -> ScoreTable:
    """Return scores by scene and over scenes."""
    columns = []
    for protocol, results in evaluation.results.items():
        scores, count = results.scores, len(results.segments)
        columns += _columns(
            protocol,
            results,
            [*scores.confusion.sum(1), count],
            [*scores.class_log_loss, scores.log_loss],
            [*scores.class_accuracy, scores.accuracy],
        )
    return ScoreTable("scene", [*evaluation.classes, MEAN], columns)


def city_table(evaluation: RunEvaluation) -> ScoreTable | None:
    """Return scores by city and over all segments; None when no clip has a city."""
    return _place_table("city", evaluation, lambda results: results.cities)


def location_table(evaluation: RunEvaluation) -> ScoreTable | None:
    """Return scores by location and over all segments; None when no clip has a location."""
    return _place_table("location", evaluation, lambda results: results.locations)


def _place_table(
    kind: str, evaluation: RunEvaluation, of: Callable[[Results], PlaceScores | None]
) -> ScoreTable | None:
    """Return scores by place. The protocols may lack different segments, so that one may lack a
    place: its figures are then not numbers, and its segments none.
    """
    found = {protocol: of(results) for protocol, results in evaluation.results.items()}
    names = sorted({name for places in found.values() if places for name in places.names})
    if not names:
        return None
    columns = []
    for protocol, places in found.items():
        results = evaluation.results[protocol]
        rows = {} if places is None else places.rows()
        mine = [rows.get(name, (0, float("nan"), float("nan"))) for name in names]
        mine.append((len(results.segments), *results.pooled))
        count, losses, accuracies = zip(*mine, strict=True)
        columns += _columns(protocol, results, count, losses, accuracies)
    return ScoreTable(kind, [*names, POOLED], columns)


def _columns(
    protocol: Protocol,
    results: Results,
    segments: Sequence[float],
    losses: Sequence[float],
    accuracies: Sequence[float],
) -> list[ScoreColumn]:
    return [
        ScoreColumn(f"{protocol} segments", segments, COUNT, page_only=True),
        ScoreColumn(f"{protocol} log-loss", losses, LOG_LOSS, results.log_loss_interval),
        ScoreColumn("acc. %", accuracies, PERCENT, results.accuracy_interval),
    ]
