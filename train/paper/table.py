"""The lines of a table: what each row's runs measured, next to what the paper published.

A row's figure is the mean over its seeds. The interval is of that mean: each segment's log-loss
(and correctness) is averaged over the seeds' runs, and whole locations are resampled within each
scene, as `evaluate.bootstrap` says. It does not include the standard deviation over seeds, which is
given beside it. Each row has a line for each protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError
from avsc.train.evaluate.bootstrap import (
    ACCURACY,
    LOSS,
    Interval,
    Resampling,
    Units,
    resampling_units,
)
from avsc.train.evaluate.compare import check_same_segments
from avsc.train.evaluate.crossed import resample_mean
from avsc.train.evaluate.predictions import segment_names
from avsc.train.evaluate.submissions import Truth, read_evaluation, read_submission
from avsc.train.metrics import by_scene, check_classes, outcomes
from avsc.train.model.weights import pretraining
from avsc.train.paper.plan import PlannedRun, PublishedResult, TablePlan, TableRow
from avsc.train.protocol import PROTOCOLS, Protocol, Segments


@dataclass(frozen=True)
class SeedMean:
    """One figure over several seeds.

    Attributes:
        mean: over the runs.
        std: standard deviation over the runs (n - 1); None with one.
        interval: 95 % confidence interval of the mean over locations; None where withheld.
    """

    mean: float
    std: float | None
    interval: Interval | None


@dataclass(frozen=True)
class SeedScores:
    """The official metric over several seeds, by one protocol.

    Attributes:
        log_loss: nats.
        accuracy: 0 to 1.
        segments: scored in each run.
        units: the units that were resampled.
    """

    log_loss: SeedMean
    accuracy: SeedMean
    segments: int
    units: Units


@dataclass(frozen=True)
class RowScores:
    """Scores of a row's runs.

    Attributes:
        pretraining: of the visual encoder: ``"Places365"``, ``"ImageNet"``, ``"nothing"``, ...;
            None without images.
        epochs: of each run's best checkpoint.
        expected: number of segments that there should be.
    """

    by_protocol: dict[Protocol, SeedScores]
    pretraining: str | None
    epochs: tuple[int, ...]
    expected: int


@dataclass(frozen=True)
class TableLine:
    """One line of a table.

    Attributes:
        inputs: acoustic feature and image model; for a result of others, the training strategy.
        pretraining: of the visual encoder; None without one, and for results of others.
        protocol: of the measured scores; None where there are none.
        scores: what was measured; None for a published result of others.
        published: the paper's figures; None where it has none.
    """

    label: str
    inputs: tuple[str, ...]
    pretraining: str | None
    protocol: str | None
    runs: int
    scores: SeedScores | None
    published: PublishedResult | None

    @property
    def differences(self) -> tuple[float, float] | None:
        """Measured less published: log-loss, accuracy."""
        if self.scores is None or self.published is None:
            return None
        return (
            self.scores.log_loss.mean - self.published.log_loss,
            self.scores.accuracy.mean - self.published.accuracy,
        )


@dataclass(frozen=True)
class PaperTable:
    """A table whose runs are all evaluated.

    Attributes:
        plan: its rows and runs.
        rows: scores of each row that has runs, by `row_name`.
        overrides: settings that differ from the systems' defaults.
        seeds: of each row's runs.
    """

    plan: TablePlan
    lines: tuple[TableLine, ...]
    rows: dict[str, RowScores]
    overrides: Mapping[str, Any]
    seeds: Sequence[int]
    resampling: Resampling


def make_table(
    plan: TablePlan,
    truth: Truth,
    overrides: Mapping[str, Any],
    seeds: Sequence[int],
    resampling: Resampling,
) -> PaperTable:
    """Return a table whose runs are all evaluated.

    Raises:
        AvscError: a run is not evaluated.
    """
    lines, rows = [], {}
    for row in plan.rows:
        inputs = _inputs(row)
        if not row.runs:
            strategy = () if row.published is None else (row.published.strategy,)
            lines.append(TableLine(row.label, strategy, None, None, 0, None, row.published))
            continue
        scores = row_scores([plan.runs[name] for name in row.runs], truth, resampling)
        rows[row_name(row)] = scores
        row_line = TableLine(
            row.label, inputs, scores.pretraining, None, len(row.runs), None, row.published
        )
        lines += [
            replace(row_line, protocol=protocol, scores=by_protocol)
            for protocol, by_protocol in scores.by_protocol.items()
        ]
    return PaperTable(plan, tuple(lines), rows, overrides, seeds, resampling)


def _inputs(row: TableRow) -> tuple[str, ...]:
    return tuple(name for name in (row.feature, row.backbone) if name)


def row_name(row: TableRow) -> str:
    """Return a row's label with its feature and image model."""
    return " ".join(word for word in (row.label, row.feature, row.backbone) if word)


def row_scores(runs: Sequence[PlannedRun], truth: Truth, resampling: Resampling) -> RowScores:
    """Return the scores of a row's runs; all are evaluated.

    Raises:
        AvscError: an evaluation is missing or damaged, or two are not of the same segments.
    """
    evaluations = [read_evaluation(run.folder, "test") for run in runs]
    origins = {evaluation["visual_encoder"] for evaluation in evaluations} - {None}
    by_protocol = {
        protocol: seed_scores(
            [read_submission(run.folder, protocol, truth) for run in runs], truth, resampling
        )
        for protocol in PROTOCOLS
    }
    return RowScores(
        by_protocol,
        ", ".join(sorted({pretraining(origin) for origin in origins})) or None,
        tuple(evaluation["epoch"] for evaluation in evaluations),
        evaluations[0]["expected_segments"],
    )


def seed_scores(runs: Sequence[Segments], truth: Truth, resampling: Resampling) -> SeedScores:
    """Return the official metric of several predictions of the same segments."""
    first = runs[0]
    for other in runs[1:]:
        check_same_segments(first, other, truth.clips)
    check_classes(first.scene, truth.classes)
    scenes = by_scene(first, truth.classes)
    units = resampling_units(first, truth.clips, scenes)
    values = np.stack([outcomes(run) for run in runs])
    figures = np.stack([scenes.means(outcome).mean(0) for outcome in values])
    sums = units.sums(values.mean(0))
    low, high = resample_mean(sums, units, resampling).ends()
    log_loss, accuracy = (
        _seed_mean(figures[:, column], Interval.within(low[0, column], high[0, column], span))
        for column, span in enumerate((LOSS, ACCURACY))
    )
    return SeedScores(log_loss, accuracy, len(first), units)


def _seed_mean(runs: NDArray[np.float64], interval: Interval | None) -> SeedMean:
    std = float(runs.std(ddof=1)) if len(runs) > 1 else None
    return SeedMean(float(runs.mean()), std, interval)


def with_ensembles(table: PaperTable, truth: Truth) -> PaperTable:
    """Return a table with lines for the ensemble of each row's runs: means of probabilities.

    Rows of one run have none.
    """
    lines = list(table.lines)
    for row in table.plan.rows:
        if len(row.runs) < 2:
            continue
        own = next(
            line for line in lines if line.label == row.label and line.inputs == _inputs(row)
        )
        for protocol in PROTOCOLS:
            folders = [table.plan.runs[name].folder for name in row.runs]
            runs = [read_submission(folder, protocol, truth) for folder in folders]
            scores = seed_scores([ensemble(runs)], truth, table.resampling)
            label = f"{row.label}, ensemble"
            lines.append(
                replace(own, label=label, protocol=protocol, scores=scores, published=None)
            )
    return replace(table, lines=tuple(lines))


def ensemble(runs: Sequence[Segments]) -> Segments:
    """Return the means of the probabilities of several predictions of the same segments."""
    return replace(runs[0], probability=np.mean([run.probability for run in runs], axis=0))


def with_submissions(
    table: PaperTable, files: Sequence[Path], truth: Truth, allow_missing: bool
) -> PaperTable:
    """Return a table with a line for each predictions file of other systems.

    Args:
        table: whose first run has the segments of the test fold.
        files: the predictions, of segments or of whole clips.
        truth: what they refer to.
        allow_missing: score what is there if segments or clips are missing.

    Raises:
        AvscError: a file is not of the form, has segments outside the test fold, or lacks some that
            may not be missing.
    """
    lines = list(table.lines)
    expected = read_submission(next(iter(table.plan.runs.values())).folder, "centred", truth)
    for file in files:
        segments = read_submission(file, "strict", truth)
        count = _check_covers(file, segments, expected, truth, allow_missing)
        complete = len(segments) == count
        label = file.name if complete else f"{file.name} ({len(segments):,}/{count:,})"
        protocol = "whole clips, as given" if segments.second is None else "as given"
        scores = seed_scores([segments], truth, table.resampling)
        lines.append(TableLine(label, (), None, protocol, 1, scores, None))
    return replace(table, lines=tuple(lines))


def _check_covers(
    file: Path, segments: Segments, expected: Segments, truth: Truth, allow_missing: bool
) -> int:
    """Return how many segments, or clips, there should be; raise if the file is not of them."""
    whole = segments.second is None
    if whole:
        expected = replace(expected, second=None, clip=np.unique(expected.clip))
    here = {*segment_names(segments, truth.clips)}
    wanted = {*segment_names(expected, truth.clips)}
    kind = "clips" if whole else "segments"
    if foreign := sorted(here - wanted):
        raise AvscError(
            f"{file}: {foreign[0]!r} and {len(foreign) - 1:,} more are not among the "
            f"{len(wanted):,} {kind} of the test fold here. Remove them."
        )
    if (lost := sorted(wanted - here)) and not allow_missing:
        raise AvscError(
            f"{file}: {len(here):,} of {len(wanted):,} {kind} of the test fold; missing are "
            f"{', '.join(lost[:3])}{' and more' if len(lost) > 3 else ''}. The official figure is "
            "over all of them: complete the file, or add --allow-missing."
        )
    return len(wanted)
