"""What a row's runs came to: mean, deviation over seeds, interval over locations.

The interval is that of the mean over seeds: each segment's log-loss (and rightness) is averaged
over the seeds' runs, and whole locations are resampled within each scene, as `evaluate.bootstrap`
says. It does not hold the standard deviation over seeds, which stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.train.evaluate.bootstrap import (
    ACCURACY,
    LOSS,
    Interval,
    Resampling,
    Units,
    resample,
    resampling_units,
)
from avsc.train.evaluate.compare import check_same_segments
from avsc.train.evaluate.submissions import Truth, evaluated, read_entrant
from avsc.train.metrics import by_scene, check_classes, outcomes
from avsc.train.model.weights import pretraining
from avsc.train.paper.table_plan import Job
from avsc.train.protocol import PROTOCOLS, Protocol, Segments


@dataclass(frozen=True)
class Figure:
    """One figure over several runs.

    Attributes:
        mean: over the runs.
        deviation: standard deviation over the runs (n - 1); None with one.
        interval: 95 % confidence interval of the mean over locations; None where withheld.
    """

    mean: float
    deviation: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Score:
    """The official metric over several runs, by one protocol.

    Attributes:
        log_loss: nats.
        accuracy: 0 to 1.
        segments: scored in each run.
        units: what was resampled.
    """

    log_loss: Figure
    accuracy: Figure
    segments: int
    units: Units


@dataclass(frozen=True)
class Measured:
    """What a row's runs came to.

    Attributes:
        scores: by protocol.
        pretraining: of the visual encoder: ``"Places365"``, ``"ImageNet"``, ``"nothing"``, ...;
            None without pictures.
        epochs: of each run's best checkpoint.
        expected: segments that there should be.
    """

    scores: dict[Protocol, Score]
    pretraining: str | None
    epochs: tuple[int, ...]
    expected: int


def measure(jobs: Sequence[Job], truth: Truth, how: Resampling) -> Measured:
    """Return what a row's runs came to; all are evaluated.

    Raises:
        AvscError: an evaluation is missing or damaged, or two are not of the same segments.
    """
    stamps = [evaluated(job.folder, "test") for job in jobs]
    origins = {stamp["visual_encoder"] for stamp in stamps} - {None}
    return Measured(
        {
            protocol: score([read_entrant(job.folder, protocol, truth) for job in jobs], truth, how)
            for protocol in PROTOCOLS
        },
        ", ".join(sorted({pretraining(origin) for origin in origins})) or None,
        tuple(stamp["epoch"] for stamp in stamps),
        stamps[0]["expected_segments"],
    )


def score(runs: Sequence[Segments], truth: Truth, how: Resampling) -> Score:
    """Return the official metric of several predictions of the same segments."""
    first = runs[0]
    for other in runs[1:]:
        check_same_segments(first, other, truth.clips)
    check_classes(first.scene, truth.classes)
    scenes = by_scene(first, truth.classes)
    units = resampling_units(first, truth.clips, scenes)
    values = np.stack([outcomes(each) for each in runs])
    figures = np.stack([scenes.means(each).mean(0) for each in values])
    sums = units.sums(values.mean(0))
    low, high = resample(sums, units, how).over_groups().ends()
    log_loss, accuracy = (
        _figure(figures[:, column], Interval.within(low[0, column], high[0, column], span))
        for column, span in enumerate((LOSS, ACCURACY))
    )
    return Score(log_loss, accuracy, len(first), units)


def _figure(runs: NDArray[np.float64], interval: Interval | None) -> Figure:
    deviation = float(runs.std(ddof=1)) if len(runs) > 1 else None
    return Figure(float(runs.mean()), deviation, interval)
