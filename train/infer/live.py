"""Answers of a model for a source that is still running, hop by hop.

The features are those of the same recording in a file, bit for bit. The network sees the acoustic
frames of one hop at a time, where for a file it sees those of ten seconds
(`avsc.train.model.ten_seconds`), and a CPU rounds products of another size differently: a
probability differs from that of a file by `ROUNDING` at most.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from avsc.features.clip import filter_bank
from avsc.features.framing import magnitude
from avsc.features.jpeg import encode
from avsc.features.live.feed import TOO_SLOW, Feed, Note
from avsc.features.live.hop import Gap, Hop, HopSpec
from avsc.manifests.errors import SettingError
from avsc.train.infer.model import Model
from avsc.train.infer.prediction import Prediction
from avsc.train.infer.windows import IMAGE_RATE, Windows
from avsc.train.systems import Modality

ROUNDING = 1e-4
"""By how much a probability may differ from that of the same seconds in a file; found: 2e-5."""

LOUDEST = 1e30
"""Samples from which on spectra are not finite; full scale is 1."""

WORDS: dict[Modality, str] = {"audio": "sound", "visual": "images"}

REMEMBERED = 3600
"""Answers whose latency is remembered."""


@dataclass(frozen=True)
class Answer:
    """A model's answer for a hop.

    Attributes:
        prediction: one row; its times are live times (seconds since the source was first heard).
        latency: seconds from the end of the hop, by the source's clock, to the answer.
    """

    prediction: Prediction
    latency: float


@dataclass
class Tally:
    """What became of the hops so far.

    Attributes:
        answers: number of answers.
        dropped: seconds that were dropped because answers took too long.
        missing: seconds without an answer for other reasons.
        latencies: of the latest answers, seconds.
        without: number of answers without sound and without images.
    """

    answers: int = 0
    dropped: float = 0.0
    missing: float = 0.0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    without: Counter[Modality] = field(default_factory=Counter)

    def add(self, item: Answer | Gap) -> None:
        """Count an answer or a gap."""
        if isinstance(item, Answer):
            self.answers += 1
            self.latencies.append(item.latency)
            self.without.update(item.prediction.without)
        elif item.reason == TOO_SLOW:
            self.dropped += item.end - item.start
        else:
            self.missing += item.end - item.start

    def __str__(self) -> str:
        parts = [f"{self.answers} answers"]
        parts += [f"{count} of them without {WORDS[m]}" for m, count in self.without.items()]
        if self.latencies:
            middle, most = np.percentile(self.latencies, [50, 99])
            parts.append(f"latency {middle:.3f} s (median), {most:.3f} s (99th percentile)")
        if self.dropped:
            parts.append(f"{self.dropped:g} s dropped because answers took longer than the source")
        if self.missing:
            parts.append(f"{self.missing:.3f} s without an answer for other reasons")
        return "; ".join(parts) + "."


def wanted_of(model: Model, windows: Windows) -> HopSpec:
    """Return what a model is shown of a live source.

    Raises:
        SettingError: the windows need what is yet to come.
    """
    protocol = windows.protocol or model.protocol
    if protocol == "clip":
        raise SettingError(
            "--protocol clip is one answer for a whole recording, and a live source has no end; "
            "strict or centred."
        )
    if windows.smooth:
        raise SettingError(
            "--smooth averages over answers to come, which a live source does not have; omit it, "
            "or ask for a longer --window."
        )
    ticks = IMAGE_RATE if model.acoustic is None else model.acoustic.sample_rate
    length = Fraction(round(windows.length * ticks), ticks)
    step = length if windows.hop is None else Fraction(round(windows.hop * ticks), ticks)
    strict = protocol == "strict"
    return HopSpec(model.acoustic, model.images, strict, length, step, model.takes_missing)


def follow(model: Model, feed: Feed) -> Iterator[Answer | Gap | Note]:
    """Yield a model's answers for a source, gaps and notes, in the order of their times.

    Raises:
        MediaError: as `Feed`.
    """
    for item in feed:
        if isinstance(item, Hop):
            yield answer(model, item, feed.name)
        else:
            yield item


def answer(model: Model, hop: Hop, name: str) -> Answer | Gap:
    """Return a model's answer for a hop; a gap when its samples are no sound."""
    frames = view = images = None
    if hop.samples is not None:
        assert model.acoustic is not None
        if not np.abs(hop.samples).max() < LOUDEST:
            return Gap(hop.start, hop.end, "samples far beyond 1, infinite or not numbers")
        magnitudes = magnitude(hop.samples, model.acoustic)
        bank = filter_bank(model.acoustic)
        frames = torch.from_numpy(bank.log(magnitudes, model.acoustic.floor))
    if hop.images:
        images = model.views(hop.images)
    if hop.view is not None and frames is not None:
        seen = hop.view >= 0
        frames, view = frames[seen], torch.from_numpy(hop.view[seen])
    probability = model.classify(frames, images, view).mean(0, keepdims=True)
    times = np.array([[hop.start, hop.end]])
    without = model.lacking(audio=frames is not None, visual=images is not None)
    tempered = model.tempered(probability, without)
    prediction = Prediction(name, model.classes, times, tempered, without=without)
    return Answer(prediction, time.monotonic() - hop.due)


def warm_up(model: Model, wanted: HopSpec) -> float:
    """Answer for a second of silence and grey before the source is opened; return its seconds.

    The first pass through a network takes longer than those that follow: code is loaded, and
    compiled, and memory is allocated.
    """
    samples: NDArray[np.float32] | None = None
    view = None
    grey: tuple[NDArray[np.uint8], ...] = ()
    if wanted.images is not None:
        side = wanted.images.short_side or 320
        image = np.full((side, side * 16 // 9, 3), 128, np.uint8)
        grey = (np.frombuffer(encode(image, wanted.images), np.uint8),)
    if wanted.acoustic is not None:
        spec, count = wanted.acoustic, len(wanted.frames(10))
        samples = np.zeros((2, spec.window + max(0, count - 1) * spec.hop), np.float32)
        view = np.zeros(max(1, count), np.int64) if grey else None
    took = 0.0
    for _ in range(2):
        began = time.monotonic()
        answer(model, Hop(0, 1, 1, began, samples, grey, view), "warm-up")
        took = time.monotonic() - began
    return took
