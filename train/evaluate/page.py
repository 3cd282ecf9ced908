"""report.html: an evaluation as a page, down to the images and sounds of every clip.

What is said of single clips is by the first of the evaluation's protocols that predicts seconds.
The worst clips of each scene come first in the table.
"""

from collections.abc import Callable
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from avsc.features.pages.clip_media import ClipMedia
from avsc.features.pages.page import Cell, ClipColumn, Page, Section, Value
from avsc.features.store.reader import Store
from avsc.train.evaluate.bootstrap import Interval
from avsc.train.evaluate.clip_results import ClipResult, clip_results, strip
from avsc.train.evaluate.figures import curves_figure, reliability_figure
from avsc.train.evaluate.results import Results
from avsc.train.evaluate.robustness.figure import curves
from avsc.train.evaluate.robustness.tables import ABOUT, condition_cells, notes
from avsc.train.evaluate.run_evaluation import RunEvaluation
from avsc.train.evaluate.score_tables import city_table, location_table, scene_table
from avsc.train.evaluate.temperatures import temperature_lines
from avsc.train.evaluate.writing import CALIBRATION, LOG_LOSS, PERCENT, NumberFormat
from avsc.train.fit.run_folder import RunFolder
from avsc.train.protocol import EVERY, Protocol

COLUMNS = (
    ClipColumn("clip", "Clip"),
    ClipColumn("scene", "Scene", filtered=True, several=True),
    ClipColumn("predicted", "Predicted", filtered=True),
    ClipColumn("second", "Seconds predicted", filtered=True, several=True),
    ClipColumn("right", "Right", filtered=True),
    ClipColumn("loss", "Log-loss", number=3),
    ClipColumn("share", "Seconds right / %", number=0),
    ClipColumn("city", "City", filtered=True),
    ClipColumn("location", "Location"),
)


class EvaluationPage:
    """The page of an evaluation.

    Args:
        evaluation: what was predicted.
        store: what was evaluated.
        run: folder of the run, for its training curves; None where there is no single one.
        sound: returns that of a clip, by its row in the store's clip table; None without sound.
    """

    def __init__(
        self,
        evaluation: RunEvaluation,
        store: Store,
        run: RunFolder | None,
        sound: Callable[[int], bytes | None] | None = None,
    ) -> None:
        self.evaluation, self.store, self.run = evaluation, store, run
        self.classes = evaluation.classes
        self.sound = sound
        self.protocol: Protocol = min(evaluation.results, key=EVERY.index)
        self.media = ClipMedia(store)

    @cached_property
    def clips(self) -> list[ClipResult]:
        """The clips of the page, in order."""
        return clip_results(self._results.segments)

    def page(self) -> Page:
        """Return the page."""
        shown, sound = self.evaluation, self.sound
        said, locations = shown.provenance, location_table(shown)
        return Page(
            title=f"{said['system']} on the {said['fold']} fold of {said['dataset']}",
            text=[
                f"Run {said['run']}, {said['checkpoint']} checkpoint, epoch {said['epoch']}. "
                f"{len(self.clips):,} clips; what is said of single clips is by the protocol "
                f"{self.protocol}. The worst clips of each scene come first."
            ],
            sections=[
                self._scores(),
                self._confusion(),
                *(table.section() for table in (scene_table(shown), city_table(shown)) if table),
                *self._conditions(),
                Section("Calibration and training", figures=self._figures()),
            ],
            columns=COLUMNS,
            rows=[self._row(clip) for clip in self.clips],
            clip=self._clip,
            sound=None if sound is None else lambda number: sound(self.clips[number].row),
            after=[
                *([locations.section()] if locations else []),
                self._missing(),
                self._provenance(),
            ],
        )

    @property
    def _results(self) -> Results:
        return self.evaluation.results[self.protocol]

    def _row(self, result: ClipResult) -> list[Value]:
        clip = self.store.clips[result.row]
        seconds = [self.classes[i] for i in np.unique(result.predicted)]
        return [
            clip.id,
            clip.labels,
            self.classes[result.best],
            seconds,
            "yes" if result.right else "no",
            round(result.loss, 4),
            round(100 * result.share, 1),
            clip.city,
            clip.location,
        ]

    def _clip(self, number: int) -> dict[str, Any]:
        result = self.clips[number]
        strips = [
            strip(protocol, results.segments, result, self.classes)
            for protocol, results in self.evaluation.results.items()
        ]
        return {**self.media.shown(result.row), "strips": strips}

    def _scores(self) -> Section:
        rows = []
        for protocol, results in self.evaluation.results.items():
            official = results.scores
            rows.append(
                [
                    Cell(protocol, head=True),
                    Cell(_figure(official.log_loss, results.log_loss_interval, LOG_LOSS)),
                    Cell(_figure(official.accuracy, results.accuracy_interval, PERCENT)),
                    Cell(
                        _figure(
                            results.calibration.error, results.calibration_interval, CALIBRATION
                        )
                    ),
                    Cell(f"{len(results.segments):,} of {self.evaluation.expected:,}"),
                ]
            )
        columns = ["protocol", "log-loss", "accuracy / %", "calibration error", "segments"]
        text = "Means over scenes, natural log-loss, with 95 % confidence intervals (bootstrap-t)."
        reasons = {results.withheld: None for results in self.evaluation.results.values()}
        withheld = [f"No interval (-): {reason}." for reason in reasons if reason]
        heat = [temperature_lines(*each) for each in self.evaluation.temperatures.items()]
        return Section("Scores", [text, *withheld, *chain.from_iterable(heat)], columns, rows)

    def _confusion(self) -> Section:
        confusion = self._results.scores.confusion
        share = confusion / confusion.sum(1, keepdims=True)
        rows = [
            [
                Cell(name, {"scene": name}, head=True),
                *(
                    Cell(
                        f"{confusion[i, j]} ({100 * share[i, j]:.0f}\xa0%)"
                        if confusion[i, j]
                        else "0",
                        {"scene": name, "second": other} if confusion[i, j] else {},
                        float(share[i, j]),
                    )
                    for j, other in enumerate(self.classes)
                ),
            ]
            for i, name in enumerate(self.classes)
        ]
        text = (
            f"Segments of each true scene (rows) by predicted scene (columns), {self.protocol}. A "
            "cell leads to the clips that have such segments."
        )
        return Section("Confusion", [text], ["true \\ predicted", *self.classes], rows)

    def _conditions(self) -> list[Section]:
        sections = []
        for protocol, rows in self.evaluation.conditions.items():
            losses, others = (
                (header, [[Cell(name, head=True), *map(_number, rest)] for name, *rest in body])
                for header, *body in condition_cells(rows)
            )
            figure = {"Log-loss along each kind of condition": curves(rows).svg.decode()}
            title = f"Under other conditions, {protocol}"
            sections.append(Section(title, [ABOUT, *notes(rows)], *losses, figure))
            title = f"Accuracy and calibration under other conditions, {protocol}"
            sections.append(Section(title, (), *others))
        return sections

    def _figures(self) -> dict[str, str]:
        drawings = {
            f"Calibration, {protocol}": reliability_figure(results.calibration, protocol)
            for protocol, results in self.evaluation.results.items()
        }
        if self.run is not None:
            epoch = self.evaluation.provenance["epoch"]
            drawings["Training curves"] = curves_figure(self.run.metrics, epoch)
        return {title: drawing.svg.decode() for title, drawing in drawings.items()}

    def _missing(self) -> Section:
        lost = [
            [Cell(protocol, head=True), Cell(name)]
            for protocol, names in self.evaluation.missing.items()
            for name in names
        ]
        text = "All segments were predicted." if not lost else f"{len(lost):,} have no prediction."
        return Section("Missing segments", [text], ["protocol", "segment"] if lost else [], lost)

    def _provenance(self) -> Section:
        rows = [
            [Cell(name, head=True), Cell(_plain(value))]
            for name, value in self.evaluation.provenance.items()
        ]
        return Section("What was evaluated", (), ["name", "value"], rows)


def _number(text: str) -> Cell:
    return Cell(text, number=True)


def _figure(value: float, interval: Interval | None, form: NumberFormat) -> str:
    return f"{form.figure(value, form.decimals(interval))} {form.interval(interval)}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return str(value)
