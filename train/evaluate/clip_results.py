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
        scene: class index of each segment.
    """

    row: int
    probability: NDArray[np.float64]
    predicted: NDArray[np.int64]
    loss: float
    scene: NDArray[np.int64]

    @property
    def best(self) -> int:
        """The class of the highest mean probability."""
        return int(self.probability.argmax())

    @property
    def labels(self) -> list[int]:
        """Its classes, that of most segments first; one, in a clip of one scene."""
        count = np.bincount(self.scene)
        return [int(i) for i in np.argsort(-count, kind="stable") if count[i]]

    @property
    def right(self) -> bool:
        """Whether the best class is its scene; whether all segments are right, if that changes."""
        if len(self.labels) > 1:
            return self.share == 1
        return bool(self.best == self.scene[0])

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
        scene = segments.scene[span]
        results.append(ClipResult(int(row), mean, best[span], float(loss[span].mean()), scene))
    results.sort(key=lambda clip: -clip.loss)
    rank: dict[int, int] = {}
    turn = []
    for clip in results:
        most = clip.labels[0]
        rank[most] = rank.get(most, 0) + 1
        turn.append(rank[most])
    order = sorted(range(len(results)), key=lambda i: (turn[i], -results[i].loss))
    return [results[i] for i in order]


def strip(
    title: str, segments: Segments, result: ClipResult, classes: Sequence[str]
) -> dict[str, Any]:
    """Return a clip's probabilities second by second, as a page shows them: whole per cents.

    Args:
        result: of the clip; its scene comes first (labels that change come with their seconds),
            then the most probable ones.
        classes: scene labels in the order of their indices.
    """
    begin, end = np.searchsorted(segments.clip, [result.row, result.row + 1])
    probability = segments.probability[begin:end]
    order = np.argsort(-probability.mean(0), kind="stable").tolist() if len(probability) else []
    true = result.labels
    shown = [*true, *(i for i in order if i not in true)][:STRIP]
    return {
        "title": f"{title}, probability in %",
        "seconds": [None] if segments.second is None else segments.second[begin:end].tolist(),
        "rows": [
            {
                "name": classes[i] + _true_in(segments, slice(begin, end), i),
                "percent": np.rint(100 * probability[:, i]).astype(int).tolist(),
            }
            for i in shown
        ],
    }


def _true_in(segments: Segments, span: slice, scene: int) -> str:
    """Return in which of a clip's segments a class is the true one: `` (true)`` in all."""
    here = segments.scene[span] == scene
    if here.all() or not here.any() or segments.second is None:
        return " (true)" if here.any() else ""
    seconds = segments.second[span][here].tolist()
    runs = [k for k in seconds if k - 1 not in seconds]
    ends = [k for k in seconds if k + 1 not in seconds]
    said = (str(a) if a == b else f"{a}-{b}" for a, b in zip(runs, ends, strict=True))
    return f" (true in {', '.join(said)})"


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
        row += [clip.label_text, classes[result.best], result.right, result.loss]
        row += [clip.city, clip.location, clip.fold, *result.probability.tolist()]
        if embeddings:
            row.append("[" + ", ".join(f"{x:.4g}" for x in embeddings[result.row]) + "]")
        rows.append(row)
    return csv_bytes(rows)


def _path(relative: str | None, root: Path | None) -> str | None:
    return relative if root is None or relative is None else str(root / relative)
