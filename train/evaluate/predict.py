"""What a trained network predicts for clips of a store, if every segment of them is there."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.samples import Ints, Samples
from avsc.train.data.source import Source
from avsc.train.evaluate.expected import expected_segments, missing_segments, within
from avsc.train.evaluate.predictions import segment_name
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.trained_run import Trained
from avsc.train.metrics import check_classes
from avsc.train.model.inference import embed_images, evaluating, last_layer_inputs, predict
from avsc.train.model.network import Network
from avsc.train.model.ten_seconds import compute_by_ten_seconds, cuts
from avsc.train.protocol import Protocol, Segments, check_whole_clips, frame_mask, segments

SHOWN = 8
"""Batches of images between two updates of the progress."""


@dataclass(frozen=True)
class ClipSamples:
    """What a network reads of some clips.

    Attributes:
        source: what the samples refer to.
        samples: those that lie in an expected segment.
        expected: the segments that the clips should have, as `expected_segments` gives them.
        missing: by protocol, names of the expected segments that no sample lies in.
    """

    source: Source
    samples: Samples
    expected: Ints
    missing: dict[Protocol, tuple[str, ...]]


@dataclass(frozen=True)
class ClipPredictions:
    """What a network predicts for some clips.

    Attributes:
        expected: number of segments that the clips should have.
        missing: by protocol, names of the expected segments that nothing could be predicted for.
        segments: by protocol.
        embeddings: by the clip's row, the mean input of the network's last layer; None
            unless they were asked for.
    """

    expected: int
    missing: dict[Protocol, tuple[str, ...]]
    segments: dict[Protocol, Segments]
    embeddings: dict[int, NDArray[np.float32]] | None = None


def predict_clips(
    trained: Trained,
    store: Store,
    rows: Sequence[int],
    protocols: Sequence[Protocol],
    computing: Computing,
    console: Console,
    allow_missing: bool = False,
    embed: bool = False,
) -> ClipPredictions:
    """Predict the segments of some clips.

    Args:
        store: a store that `check_store` accepts.
        rows: rows of the clips.
        protocols: which frames count, and for what.
        computing: where and how to compute.
        console: shows the progress.
        allow_missing: predict the segments that are there although some are missing.
        embed: return the clips' embeddings, too.

    Raises:
        AvscError: a class has no segments, or segments are missing that may not be.
    """
    clips = clip_samples(trained, store, rows, protocols, allow_missing)
    samples = clips.samples
    with ExitStack() as stack:
        embeddings = stack.enter_context(last_layer_inputs(trained.network)) if embed else []
        probability = predict_samples(trained.network, clips.source, samples, computing, console)
    predicted = {protocol: segments(probability, samples, protocol) for protocol in protocols}
    return ClipPredictions(
        clips.expected.shape[1],
        clips.missing,
        predicted,
        _clip_means(embeddings, samples) if embed else None,
    )


def clip_samples(
    trained: Trained,
    store: Store,
    rows: Sequence[int],
    protocols: Sequence[Protocol],
    allow_missing: bool = False,
) -> ClipSamples:
    """Open what a run reads of some clips, and see that every segment is there.

    Args:
        trained: the run.
        store: a store that `check_store` accepts.
        rows: rows of the clips.
        protocols: which frames count, and for what.
        allow_missing: go on with the segments that are there although some are missing.

    Raises:
        AvscError: a class has no segments, or segments are missing that may not be.
    """
    if "clip" in protocols:
        check_whole_clips(store.clips, rows)
    source = trained_inputs(trained.record, store, trained.folder.path).source(rows)
    expected = expected_segments(store, source, rows)
    samples = within(source.samples(rows), expected)
    missing: dict[Protocol, tuple[str, ...]] = {}
    for protocol in protocols:
        scored = samples.take(frame_mask(samples, protocol))
        lost = missing_segments(expected, scored)
        missing[protocol] = tuple(segment_name(store.clips[c].id, k) for c, k in lost.T)
        if lost.size and not allow_missing:
            raise AvscError(_withheld(store, protocol, missing[protocol], expected.shape[1]))
        if not trained.record.settings.folds:  # a fold may lack a class; all of them do not
            check_classes(scored.scene, store.classes)
    return ClipSamples(source, samples, expected, missing)


def _clip_means(embeddings: Sequence[Tensor], samples: Samples) -> dict[int, NDArray[np.float32]]:
    """Return the mean over the samples of each clip, by its row."""
    values = torch.cat(list(embeddings)).numpy()
    rows, first = np.unique(samples.clip, return_index=True)
    means = np.split(values, first[1:])
    return {int(row): each.mean(0) for row, each in zip(rows, means, strict=True)}


def _withheld(store: Store, protocol: Protocol, lost: Sequence[str], expected: int) -> str:
    return (
        f"{store.path}: {expected - len(lost):,} of {expected:,} segments can be predicted "
        f"({protocol}); missing are {', '.join(lost[:3])}{' and more' if len(lost) > 3 else ''}. "
        "The official figure is over all of them: fix the clips (failures.csv says what is wrong) "
        "and run `avsc-prep extract` again, or add --allow-missing."
    )


def predict_samples(
    network: Network, source: Source, samples: Samples, computing: Computing, console: Console
) -> NDArray[np.float64]:
    """Return the probabilities of samples, float64 [samples, classes]."""
    if computing.device.type == "cpu":
        return _predict_by_ten_seconds(network, source, samples, computing, console)
    network = network.to(computing.device)
    embeddings = None
    kwargs = {"batch_size": computing.batch_size, "workers": computing.workers}
    if samples.image is not None:
        images = np.unique(samples.image)
        embedded: list[Tensor] = []
        for start in range(0, len(images), SHOWN * computing.batch_size):
            chunk = images[start : start + SHOWN * computing.batch_size]
            embedded.append(embed_images(network, source, chunk, **kwargs, device=computing.device))
            if console.due():
                batches = -(-len(images) // computing.batch_size)
                console.show("images", (start + len(chunk)) // computing.batch_size, batches)
        embeddings = torch.cat(embedded)
    return predict(
        network, source, samples, **kwargs, device=computing.device, embeddings=embeddings
    )


def _predict_by_ten_seconds(
    network: Network, source: Source, samples: Samples, computing: Computing, console: Console
) -> NDArray[np.float64]:
    """Return the probabilities that each recording would get alone, whatever the batch size."""
    network, batches = network.to(computing.device), len(cuts(samples))
    probabilities: list[NDArray[np.float64]] = []
    with evaluating(network):
        for logits in compute_by_ten_seconds(
            network,
            source,
            samples,
            network.image_input,
            workers=computing.workers,
            device=computing.device,
        ):
            probabilities.append(torch.softmax(logits.double(), 1).numpy())
            if console.due():
                console.show("clips", len(probabilities), batches)
    return np.concatenate(probabilities)
