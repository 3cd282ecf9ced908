"""Estimating the cost of an extraction from a sample of clips.

The planned clips are divided into n equal strata and one clip is sampled from each. They are
extracted one after the other in one process, by the code that a worker runs, and thrown away; a
clip that kills the process is reported. Totals are the number of clips times the mean, with the
95 % interval of the mean by Student's t; time on several workers assumes that whole blocks are
handed out in order, each to the first free worker. Contention between workers (disk, memory) is not
modelled.
"""

import heapq
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
from threadpoolctl import threadpool_limits

from avsc.features.isolate import make_clip_in_time
from avsc.features.store.failures import Failure
from avsc.manifests.clips import located
from avsc.manifests.errors import AvscError
from avsc.preprocess.block import peak_memory
from avsc.preprocess.plan import BlockTask, Plan

CONFIDENCE = 0.95
FILES_OF_A_BLOCK = 2  # part and receipt, of each product
FILES_OF_A_STORE = 6  # of layout.py four, request.json, the record of the run


@dataclass(frozen=True)
class Measured:
    """One clip that was made for the forecast.

    Attributes:
        clip: id of the clip.
        bytes_made: of its records.
        bytes_read: of its recordings.
        failures: what could not be made of it.
        peak_memory: largest resident set of its process so far, bytes.
    """

    clip: str
    seconds: float
    bytes_made: int
    bytes_read: int
    failures: tuple[Failure, ...]
    peak_memory: int


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        """Return the estimate of a multiple."""
        return Estimate(factor * self.mean, factor * self.low, factor * self.high)


@dataclass(frozen=True)
class Forecast:
    """What an extraction will take.

    Attributes:
        measured: the clips that it rests on.
        lost: ids of clips that ended the process which made them.
        seconds: of a clip on one core.
        bytes_made: of a clip's records.
        bytes_read: of a clip's recordings.
        clips: to be made.
        files: that the closed store will have.
        peak_memory: largest resident set of the process that made them, bytes.
    """

    measured: tuple[Measured, ...]
    lost: tuple[str, ...]
    seconds: Estimate
    bytes_made: Estimate
    bytes_read: Estimate
    clips: int
    files: int
    peak_memory: int


def forecast(plan: Plan, products: int, sample: int, seed: int) -> Forecast:
    """Measure a few of the clips that a plan asks for.

    Args:
        plan: with something to be done.
        products: number of products that the store is to hold.
        sample: how many clips to measure; at least two.

    Raises:
        AvscError: every clip ended the process that made it.
    """
    chosen = draw(plan.tasks, sample, seed)
    measured, lost = _measure_all(chosen)
    if not measured:
        raise AvscError(
            f"none of {len(chosen)} clips could be measured: each ended its process, the first of "
            f"them {lost[0]!r}. Run `avsc-prep doctor`."
        )
    return Forecast(
        measured,
        lost,
        interval([one.seconds for one in measured]),
        interval([one.bytes_made for one in measured]),
        interval([one.bytes_read for one in measured]),
        plan.n_clips,
        FILES_OF_A_BLOCK * products * plan.blocks + FILES_OF_A_STORE,
        max(one.peak_memory for one in measured),
    )


def draw(tasks: Sequence[BlockTask], sample: int, seed: int) -> list[tuple[BlockTask, int]]:
    """Return (task, row in its block) of clips to be made, spread over the set."""
    rows = [(task, row) for task in tasks for row in sorted(_rows(task))]
    edges = np.linspace(0, len(rows), min(sample, len(rows)) + 1).astype(int)
    random = np.random.default_rng(seed)
    return [rows[random.integers(low, high)] for low, high in pairwise(edges)]


def interval(values: Sequence[float]) -> Estimate:
    """Return the mean of a sample, and its 95 % interval cut off at zero.

    >>> round(interval([1.0, 2.0, 3.0]).high, 3)
    4.484
    """
    from scipy.special import stdtrit

    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Estimate(mean, mean, mean)
    reach = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1) / count**0.5)
    return Estimate(mean, max(mean - reach, 0.0), mean + reach)


def span(tasks: Sequence[BlockTask], workers: int) -> int:
    """Return how many clips the busiest of some workers makes when blocks are handed out."""
    busy = [0] * max(min(workers, len(tasks)), 1)
    for task in tasks:
        heapq.heapreplace(busy, busy[0] + task.n_clips)
    return max(busy)


def _measure_all(
    chosen: Sequence[tuple[BlockTask, int]],
) -> tuple[tuple[Measured, ...], tuple[str, ...]]:
    """Return what each clip took, and the ids of those that ended the process."""
    measured: list[Measured] = []
    lost: list[str] = []
    waiting = list(reversed(chosen))
    while waiting:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            try:
                # Libraries are loaded and filters built once, before the clock runs.
                process.submit(_measure, *waiting[-1]).result()
                while waiting:
                    measured.append(process.submit(_measure, *waiting[-1]).result())
                    waiting.pop()
            except BrokenProcessPool:
                task, row = waiting.pop()
                lost.append(task.clips[row].id)
    return tuple(measured), tuple(lost)


def _measure(task: BlockTask, row: int) -> Measured:
    clip = task.clips[row]
    specs = {name: spec for name, spec in task.specs.items() if row in task.todo[name]}
    names = (clip.audio, clip.video)
    audio, video = (None if n is None else located(task.root, n) for n in names)
    begin = time.perf_counter()
    with threadpool_limits(1):
        made = make_clip_in_time(clip.id, audio, video, specs, task.limits)
    seconds = time.perf_counter() - begin
    size = sum(data.nbytes for records in made.records.values() for _, data in records)
    read = sum(path.stat().st_size for path in {audio, video} if path and path.is_file())
    return Measured(clip.id, seconds, size, read, tuple(made.failures), peak_memory())


def _rows(task: BlockTask) -> frozenset[int]:
    return frozenset[int]().union(*task.todo.values())
