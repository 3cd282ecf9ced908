"""Predictions clip by clip, for the pages that show clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.files import csv_bytes
from avsc.train.evaluate.run_evaluation import RunEvaluation
from avsc.train.metrics import outcomes
from avsc.train.protocol import EVERY, Segments

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
    results = []
    for row, begin, end in zip(rows, first, [*first[1:], len(segments)], strict=True):
        span = slice(begin, end)
        mean = segments.probability[span].mean(0)
        scene = int(segments.scene[begin])
        results.append(ClipResult(int(row), mean, best[span], float(loss[span].mean()), scene))
    results.sort(key=lambda clip: -clip.loss)
    rank: dict[int, int] = {}
    turn = []
    for clip in results:
        rank[clip.scene] = rank.get(clip.scene, 0) + 1
        turn.append(rank[clip.scene])
    order = sorted(range(len(results)), key=lambda i: (turn[i], -results[i].loss))
    return [results[i] for i in order]


def strip(
    title: str, segments: Segments, result: ClipResult, classes: Sequence[str]
) -> dict[str, Any]:
    """Return a clip's probabilities second by second, as a page shows them: whole per cents.

    Args:
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


def clips_csv(evaluation: RunEvaluation, root: Path | None) -> bytes:
    """Return clips.csv: a row per clip, for programs that browse data (Spotlight, FiftyOne).

    Columns: ``clip``, ``audio`` and ``video`` (paths of the recordings), ``scene``, ``predicted``,
    ``right``, ``log_loss``, ``city``, ``location``, ``fold``, ``probability SCENE`` for each scene,
    and ``embedding``, a list of numbers, if there is one. Probabilities are means over the clip's
    segments by the first protocol. The worst clip of each scene comes first.

    Args:
        root: folder of the recordings; None leaves their paths relative.
    """
    classes, embeddings = evaluation.classes, evaluation.embeddings
    results = evaluation.results[min(evaluation.results, key=EVERY.index)]
    head = ["clip", "audio", "video", "scene", "predicted", "right", "log_loss", "city"]
    head += ["location", "fold", *(f"probability {name}" for name in classes)]
    rows: list[list[object]] = [[*head, *(["embedding"] if embeddings else [])]]
    for result in clip_results(results.segments):
        clip = evaluation.clips[result.row]
        row: list[object] = [clip.id, _path(clip.audio, root), _path(clip.video, root)]
        row += [clip.scene, classes[result.best], result.right, result.loss]
        row += [clip.city, clip.location, clip.fold, *result.probability.tolist()]
        if embeddings:
            row.append("[" + ", ".join(f"{x:.4g}" for x in embeddings[result.row]) + "]")
        rows.append(row)
    return csv_bytes(rows)


def _path(relative: str | None, root: Path | None) -> str | None:
    return relative if root is None or relative is None else str(root / relative)
