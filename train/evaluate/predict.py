"""Evaluating a trained network on clips of a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.evaluate.calibration import Temperature, fit_temperature, tempered
from avsc.train.evaluate.coverage import expected_segments, missing_segments, within
from avsc.train.evaluate.predictions import segment_name
from avsc.train.evaluate.results import Finding
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.refs import difference
from avsc.train.fit.trained_run import Trained
from avsc.train.metrics import check_classes, scores
from avsc.train.model.inference import embed_images, evaluating, predict
from avsc.train.model.ten_seconds import compute_by_ten_seconds, cuts
from avsc.train.protocol import Protocol, Segments, counted, segments

SHOWN = 8
"""Batches of pictures between two looks at the progress."""


@dataclass(frozen=True)
class Evaluation:
    """One run on some clips.

    Attributes:
        stamp: what was evaluated: run, checkpoint, store, versions; plain values.
        classes: scene labels in the order of their class indices.
        clips: the store's clip table.
        expected: number of segments that the clips should have.
        missing: by protocol, names of the expected segments that nothing could be predicted for.
        findings: by protocol.
    """

    stamp: dict[str, Any]
    classes: tuple[str, ...]
    clips: Sequence[Clip]
    expected: int
    missing: dict[Protocol, tuple[str, ...]]
    findings: dict[Protocol, Finding]


@dataclass(frozen=True)
class Predicted:
    """What a network predicts for some clips.

    Attributes:
        expected: number of segments that the clips should have.
        missing: by protocol, names of the expected segments that nothing could be predicted for.
        segments: by protocol.
    """

    expected: int
    missing: dict[Protocol, tuple[str, ...]]
    segments: dict[Protocol, Segments]


def check_store(store: Store, trained: Trained, allow_other: bool) -> None:
    """Raise a `SettingError` unless the run can be evaluated on the store.

    With `allow_other`, contents other than those it was trained on are accepted (a store that was
    mended since, or another set of the same scenes), but never other classes or other features.
    """
    mark = trained.record.store
    specs = {product: store.spec(product).digest for product in mark.specs}
    for name, found, wanted in (
        ("classes", store.classes, mark.classes),
        ("specs", specs, mark.specs),
    ):
        if found != wanted:
            raise SettingError(
                f"{store.path}: its {name} are {found}, and the run in {trained.folder.path} was "
                f"trained on {wanted}. Name a store like {mark.path} by --store."
            )
    changed = difference(store, mark.fingerprint, mark.parts)
    if changed is not None and not allow_other:
        raise SettingError(
            f"{store.path}: not what the run in {trained.folder.path} was trained on, by its "
            f"{changed}: it is another store, or has changed since. Name that one by --store, or "
            "say --allow-other-store."
        )


def predict_clips(
    trained: Trained,
    store: Store,
    rows: Sequence[int],
    protocols: Sequence[Protocol],
    computing: Computing,
    console: Console,
    allow_missing: bool = False,
) -> Predicted:
    """Return what a network makes of some clips.

    Args:
        trained: the run.
        store: a store that `check_store` accepts.
        rows: rows of the clips.
        protocols: which frames count, and for what.
        computing: where and how to compute.
        console: shown the progress.
        allow_missing: predict the segments that are there although some are missing.

    Raises:
        AvscError: a class has no segments, or segments are missing that may not be.
    """
    source = trained_inputs(trained.record, store, trained.folder.path).source(rows)
    expected = expected_segments(store, source, rows)
    samples = within(source.samples(rows), expected)
    missing: dict[Protocol, tuple[str, ...]] = {}
    for protocol in protocols:
        heard = samples.take(counted(samples, protocol))
        lost = missing_segments(expected, heard)
        missing[protocol] = tuple(segment_name(store.clips[c].id, k) for c, k in lost.T)
        if lost.size and not allow_missing:
            raise AvscError(_withheld(store, protocol, missing[protocol], expected.shape[1]))
        check_classes(heard.scene, store.classes)
    probability = _predict(trained, source, samples, computing, console)
    found = {protocol: segments(probability, samples, protocol) for protocol in protocols}
    return Predicted(expected.shape[1], missing, found)


def with_temperature(
    segments: Segments, held: Segments, classes: Sequence[str]
) -> tuple[Segments, Temperature]:
    """Return predictions with the temperature that suits others best, and the temperature.

    Args:
        segments: the predictions.
        held: those of the run's validation part, by the same protocol.
        classes: scene labels in the order of their indices.
    """
    value = fit_temperature(held, classes)
    before = scores(segments, classes).log_loss
    return tempered(segments, value), Temperature(value, len(held), before)


def _withheld(store: Store, protocol: Protocol, lost: Sequence[str], expected: int) -> str:
    return (
        f"{store.path}: {expected - len(lost):,} of {expected:,} segments can be predicted "
        f"({protocol}); missing are {', '.join(lost[:3])}{' and more' if len(lost) > 3 else ''}. "
        "The official figure is over all of them: mend the clips (failures.csv says what is wrong) "
        "and run `avsc-prep extract` again, or say --allow-missing."
    )


def _predict(
    trained: Trained, source: Source, samples: Samples, computing: Computing, console: Console
) -> NDArray[np.float64]:
    """Return the probabilities of samples, float64 [samples, classes]."""
    if computing.device.type == "cpu":
        return _predict_by_ten_seconds(trained, source, samples, computing, console)
    network = trained.network.to(computing.device)
    embeddings = None
    how = {"batch_size": computing.batch_size, "workers": computing.workers}
    if samples.image is not None:
        pictures = np.unique(samples.image)
        parts: list[Tensor] = []
        for start in range(0, len(pictures), SHOWN * computing.batch_size):
            part = pictures[start : start + SHOWN * computing.batch_size]
            parts.append(embed_images(network, source, part, **how, device=computing.device))
            if console.due():
                batches = -(-len(pictures) // computing.batch_size)
                console.show("pictures", (start + len(part)) // computing.batch_size, batches)
        embeddings = torch.cat(parts)
    return predict(network, source, samples, **how, device=computing.device, embeddings=embeddings)


def _predict_by_ten_seconds(
    trained: Trained, source: Source, samples: Samples, computing: Computing, console: Console
) -> NDArray[np.float64]:
    """Return the probabilities that a recording of its own would get, whatever the batch size."""
    network, batches = trained.network.to(computing.device), len(cuts(samples))
    found: list[NDArray[np.float64]] = []
    with evaluating(network):
        for logits in compute_by_ten_seconds(
            network,
            source,
            samples,
            network.image_input,
            workers=computing.workers,
            device=computing.device,
        ):
            found.append(torch.softmax(logits.double(), 1).numpy())
            if console.due():
                console.show("clips", len(found), batches)
    return np.concatenate(found)
