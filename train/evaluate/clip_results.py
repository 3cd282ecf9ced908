"""Predictions clip by clip, for the pages that show clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.train.metrics import outcomes
from avsc.train.protocol import Segments

STRIP = 5
"""Scenes whose probabilities are shown second by second."""


@dataclass(frozen=True)
class ClipResult:
    """One clip's predictions.

    Attributes:
        row: in the store's clip table.
        probability: mean over its segments, float64 [classes].
        predicted: class index of each segment.
        loss: mean log-loss of its segments, nats.
        scene: class index.
    """

    row: int
    probability: NDArray[np.float64]
    predicted: NDArray[np.int64]
    loss: float
    scene: int

    @property
    def best(self) -> int:
        """The class of the highest mean probability."""
        return int(self.probability.argmax())

    @property
    def right(self) -> bool:
        """Whether that is its scene."""
        return self.best == self.scene

    @property
    def share(self) -> float:
        """Share of its segments that are right."""
        return float((self.predicted == self.scene).mean())


def clip_results(segments: Segments) -> list[ClipResult]:
    """Return what was predicted for each clip, the worst of each scene first."""
    loss = outcomes(segments)[:, 0]
    best = segments.probability.argmax(1)
    rows, first = np.unique(segments.clip, return_index=True)
    found = []
    for row, begin, end in zip(rows, first, [*first[1:], len(segments)], strict=True):
        each = slice(begin, end)
        mean = segments.probability[each].mean(0)
        scene = int(segments.scene[begin])
        found.append(ClipResult(int(row), mean, best[each], float(loss[each].mean()), scene))
    found.sort(key=lambda clip: -clip.loss)
    rank: dict[int, int] = {}
    turn = []
    for clip in found:
        rank[clip.scene] = rank.get(clip.scene, 0) + 1
        turn.append(rank[clip.scene])
    order = sorted(range(len(found)), key=lambda i: (turn[i], -found[i].loss))
    return [found[i] for i in order]


def strip(
    title: str, segments: Segments, result: ClipResult, classes: Sequence[str]
) -> dict[str, Any]:
    """Return a clip's probabilities second by second, as a page shows them: whole per cents.

    Args:
        title: of the predictions.
        segments: the predictions.
        result: of the clip; its scene comes first, then the most probable ones.
        classes: scene labels in the order of their indices.
    """
    begin, end = np.searchsorted(segments.clip, [result.row, result.row + 1])
    probability = segments.probability[begin:end]
    order = np.argsort(-probability.mean(0), kind="stable").tolist() if len(probability) else []
    shown = [result.scene, *(i for i in order if i != result.scene)][:STRIP]
    return {
        "title": f"{title}, probability in %",
        "seconds": [None] if segments.second is None else segments.second[begin:end].tolist(),
        "rows": [
            {
                "name": classes[i] + (" (true)" if i == result.scene else ""),
                "percent": np.rint(100 * probability[:, i]).astype(int).tolist(),
            }
            for i in shown
        ],
    }
