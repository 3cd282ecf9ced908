"""From the probabilities of samples to one answer a window of time.

Window j is [j * hop, j * hop + length), of a recording that has its middle. *strict* takes the
samples whose acoustic frame lies wholly inside it, *centred* those whose frame has its centre
inside; images count by the instant they are on show at (k + 0.5 s of one a second). Windows of one
second, one second apart, are the segments of the official task, and their answers are those of
evaluation (`avsc.train.protocol`). *clip* is one answer for all of the recording.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.features.framing import centre_sample, first_sample
from avsc.features.specs import AcousticSpec
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Ints, Samples
from avsc.train.protocol import EVERY, Protocol

IMAGE_RATE = 1000
"""Ticks of a second where there are no acoustic frames."""
LONGEST = 1_000_000
"""Seconds of a window, a hop, or that are averaged over."""


@dataclass(frozen=True)
class Windows:
    """Which windows of time are answered for, and how.

    Attributes:
        length: of a window, seconds.
        hop: from the start of one window to that of the next, seconds; None: the length.
        smooth: answers are averaged over those whose windows have their middles within so many
            seconds, half before and half after; 0 averages nothing.
        protocol: which samples count; None: the model's own.
    """

    length: float = 1.0
    hop: float | None = None
    smooth: float = 0.0
    protocol: Protocol | None = None

    def __post_init__(self) -> None:
        for name, value in (("window", self.length), ("hop", self.hop)):
            if value is not None and not 0.01 <= value <= LONGEST:
                raise SettingError(f"{name} is {value:g} s; wanted 0.01 to {LONGEST:,} s.")
        if not 0 <= self.smooth <= LONGEST:
            raise SettingError(f"smooth is {self.smooth:g} s; wanted 0 to {LONGEST:,} s.")
        if self.protocol not in (None, *EVERY):
            raise SettingError(f"protocol is {self.protocol!r}; one of {', '.join(EVERY)}.")


@dataclass(frozen=True)
class Answers:
    """Answers of a model, ordered by time.

    Attributes:
        start: float64 [answers], seconds.
        end: float64 [answers], seconds.
        probability: float64 [answers, classes], rows sum to 1.
        missing: (start, end) of the windows for which there is nothing to answer from.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    probability: NDArray[np.float64]
    missing: tuple[tuple[float, float], ...]


def answers(
    probability: NDArray[np.float64],
    samples: Samples,
    seconds: int,
    spec: AcousticSpec | None,
    windows: Windows,
    protocol: Protocol,
) -> Answers:
    """Return the mean of the probabilities of the samples in each window.

    Args:
        probability: of the samples, float64 [samples, classes].
        samples: of one recording; `frame` is the number of the frame in it.
        seconds: whole seconds of the recording.
        spec: of the frames; None without sound.
        windows: which are wanted.
        protocol: which samples count.
    """
    if protocol == "clip":
        total = np.zeros((1, probability.shape[1]))
        np.add.at(total, np.zeros(len(samples), np.int64), probability)
        ends = np.array([0.0]), np.array([float(seconds)])
        return Answers(*ends, total / max(1, len(samples)), ())
    first, last, ticks = _extent(samples, spec, protocol)
    length = round(windows.length * ticks)
    hop = length if windows.hop is None else round(windows.hop * ticks)
    starts = np.arange(0, max(0, seconds * ticks - length // 2), hop)
    window, sample = _members(first, last, starts, length)
    count = np.bincount(window, minlength=len(starts))
    total = np.zeros((len(starts), probability.shape[1]))
    np.add.at(total, window, probability[sample])
    there = count > 0
    start, end = starts / ticks, (starts + length) / ticks
    missing = zip(start[~there].tolist(), end[~there].tolist(), strict=True)
    mean = total[there] / count[there][:, None]
    return Answers(start[there], end[there], mean, tuple(missing))


def smoothed(found: Answers, seconds: float) -> Answers:
    """Return answers averaged over those whose middles are at most half of `seconds` away."""
    if not seconds or not len(found.start):
        return found
    middle = (found.start + found.end) / 2
    low = np.searchsorted(middle, middle - seconds / 2 - 1e-9)
    high = np.searchsorted(middle, middle + seconds / 2 + 1e-9)
    sums = np.concatenate([np.zeros((1, found.probability.shape[1])), found.probability.cumsum(0)])
    mean = (sums[high] - sums[low]) / (high - low)[:, None]
    mean = np.clip(mean, 0, None)
    return Answers(found.start, found.end, mean / mean.sum(1, keepdims=True), found.missing)


def _extent(
    samples: Samples, spec: AcousticSpec | None, protocol: Protocol
) -> tuple[Ints, Ints, int]:
    """Return first and last tick that must lie in a sample's window, and the ticks of a second."""
    if samples.frame is None or spec is None:
        middle = (2 * samples.time + 1) * IMAGE_RATE // (2 * samples.rate)
        return middle, middle, IMAGE_RATE
    if protocol == "centred":
        centre = centre_sample(samples.frame, spec)
        return centre, centre, spec.sample_rate
    first = first_sample(samples.frame, spec)
    return first, first + spec.window - 1, spec.sample_rate


def _members(first: Ints, last: Ints, starts: Ints, length: int) -> tuple[Ints, Ints]:
    """Return (window, sample) of each sample that lies in a window, by window, then by sample.

    Samples are in the order of time: those of a window follow one another.
    """
    low = np.searchsorted(first, starts)
    high = np.maximum(low, np.searchsorted(last, starts + length))
    count = high - low
    window = np.repeat(np.arange(len(starts)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return window, np.repeat(low, count) + offset
