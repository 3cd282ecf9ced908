"""Evaluating a trained network on clips of a store."""

import csv
from typing import Any

import numpy as np
import torch

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.source import Source
from avsc.train.fit.restore import Trained
from avsc.train.score.metrics import scores
from avsc.train.score.predict import predict
from avsc.train.score.protocol import PROTOCOLS, segments
from avsc.train.score.report import Evaluation


def fold_rows(store: Store, trained: Trained, fold: str) -> list[int]:
    """Return the rows of the test fold, the training fold, or the run's validation clips.

    Raises:
        AvscError: there are none.
    """
    if fold == "validation":
        with trained.folder.split.open(newline="") as file:
            held = {row["clip"] for row in csv.DictReader(file) if row["part"] == "validation"}
        rows = [row for row, clip in enumerate(store.clips) if clip.id in held]
    else:
        wanted = ("train", None) if fold == "train" else ("test",)
        rows = [row for row, clip in enumerate(store.clips) if clip.fold in wanted]
    if not rows:
        raise AvscError(
            f"{store.path}: no clip is in the {fold} fold. A set without folds is training only: "
            "add the column fold to its manifest, or evaluate --fold train."
        )
    return rows


def expected_segments(store: Store, rows: list[int], source: Source) -> int:
    """Return the number of one-second segments that clips have, made or not.

    A clip has as many as its samples show; one without samples as many as most clips of the store.
    """
    last = np.zeros(len(store.clips), np.int64)
    np.maximum.at(last, source.every.clip, source.every.second + 1)
    usual = int(np.bincount(last[last > 0]).argmax())
    return int(sum(max(last[row], usual) if last[row] == 0 else last[row] for row in rows))


def evaluate_rows(
    trained: Trained,
    store: Store,
    rows: list[int],
    stamp: dict[str, Any],
    device: torch.device,
    batch_size: int,
    workers: int,
    allow_missing: bool,
) -> Evaluation:
    """Return what a network makes of some clips, by both protocols.

    Raises:
        AvscError: a class has no segments; segments are missing and `allow_missing` is not set.
    """
    record = trained.record
    feature = record.settings.feature if record.system.sound else None
    source = Source.open(store, feature, record.system.pictures)
    samples = source.samples(rows)
    expected = expected_segments(store, rows, source)
    strict = samples.take(samples.strict)
    found = len(np.unique(np.stack([strict.clip, strict.second]), axis=1).T)
    if found < expected and not allow_missing:
        raise AvscError(
            f"{store.path}: {found} of {expected} segments can be predicted; the rest could not be "
            "extracted (see failures.csv). The official figure is over all of them: mend the clips "
            "and run `avsc-prep extract` again, or say --allow-missing."
        )
    network = trained.network.to(device)
    probability = predict(
        network, source, samples, batch_size=batch_size, workers=workers, device=device
    )
    by_protocol = {protocol: segments(probability, samples, protocol) for protocol in PROTOCOLS}
    return Evaluation(
        stamp=stamp,
        classes=store.classes,
        ids=[clip.id for clip in store.clips],
        expected=expected,
        segments=by_protocol,
        scores={p: scores(s, store.classes) for p, s in by_protocol.items()},
    )
