"""What a trained network predicts for clips of a store, and whether every segment is there.

The official figure is over every segment of the fold: 36,450 in TAU2021's test fold, ten for each
of 3,645 clips. A segment that could not be extracted counts as missing and is never omitted
silently, so the expected segments are determined from the store alone, before anything is
predicted. The number of segments of a clip is the first of these that applies:

1. with images: the seconds that have an image, and those that ``failures.csv`` says lack one;
2. with audio alone: the seconds up to the last one that contains a whole window;
3. for a clip that the store has nothing of: the most frequent number among the other clips (the
   largest, if several are as frequent).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.features.store.labels import failed_seconds
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.evaluate.predictions import segment_name
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.inputs import trained_inputs
from avsc.train.fit.refs import difference, other_kind
from avsc.train.fit.trained_run import Trained
from avsc.train.metrics import check_classes
from avsc.train.model.inference import embed_images, evaluating, last_layer_inputs, predict
from avsc.train.model.network import Network
from avsc.train.model.ten_seconds import compute_by_ten_seconds, cuts
from avsc.train.protocol import Protocol, Segments, check_whole_clips, frame_mask, segments

SHOWN = 8
"""Batches of images between two updates of the progress."""

Ints = NDArray[np.int64]


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


def check_store(store: Store, trained: Trained, allow_other: bool) -> None:
    """Raise a `SettingError` unless the run can be evaluated on the store.

    With `allow_other`, contents other than those it was trained on are accepted (a store that was
    repaired since, or another set of the same scenes), but never other classes or other features.
    """
    ref = trained.record.store
    if (other := other_kind(store, ref)) is not None:
        name, here, wanted = other
        raise SettingError(
            f"{store.path}: its {name} are {here}, and the run in {trained.folder.path} was "
            f"trained on {wanted}. Name a store like {ref.path} by --store."
        )
    changed = difference(store, ref.fingerprint, ref.parts)
    if changed is not None and not allow_other:
        raise SettingError(
            f"{store.path}: differs from what the run in {trained.folder.path} was trained on, in "
            f"its {changed}: it is another store, or has changed since. Name the right one by "
            "--store, or add --allow-other-store."
        )


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


def expected_segments(store: Store, source: Source, rows: Sequence[int]) -> Ints:
    """Return the segments that clips should have, int64 [2, segments]: clip row, second; ordered.

    Args:
        source: of that store, with the inputs of the system that is evaluated.
        rows: rows of the clips.

    Raises:
        AvscError: the store has nothing of any of the clips.
    """
    clips = np.unique(np.asarray(rows, np.int64))
    seconds = _seconds(store, source)[clips]
    if not seconds.any():
        raise AvscError(
            f"{store.path}: it has nothing of any of the {len(clips)} clips to evaluate "
            "(failures.csv says why). Fix them and run `avsc-prep extract` again."
        )
    count = np.bincount(seconds[seconds > 0])
    usual = len(count) - 1 - int(count[::-1].argmax())
    seconds = np.where(seconds > 0, seconds, usual)
    second = np.arange(seconds.sum()) - np.repeat(np.cumsum(seconds) - seconds, seconds)
    return np.stack([np.repeat(clips, seconds), second])


def _seconds(store: Store, source: Source) -> Ints:
    """Return how many seconds each clip of the store is known to have; 0 where nothing is known."""
    last = np.full(len(store.clips), -1, np.int64)
    if source.image_samples is None:
        whole = source.every.take(source.every.strict)
        np.maximum.at(last, whole.clip, whole.second)
        return last + 1
    np.maximum.at(last, source.image_samples.clip, source.image_samples.second)
    np.maximum.at(last, *failed_seconds(store))
    return last + 1


def within(samples: Samples, expected: Ints) -> Samples:
    """Return the samples that lie in an expected segment.

    Audio that ends in the middle of a second may have a frame centred in that second, although the
    clip has no such segment.
    """
    return samples.take(_isin(np.stack([samples.clip, samples.second]), expected))


def missing_segments(expected: Ints, samples: Samples) -> Ints:
    """Return the expected segments that no sample lies in, int64 [2, missing]."""
    return expected[:, ~_isin(expected, np.stack([samples.clip, samples.second]))]


def _isin(segments: Ints, others: Ints) -> NDArray[np.bool_]:
    span = 1 + max(segments[1].max(initial=0), others[1].max(initial=0))
    return np.isin(segments[0] * span + segments[1], others[0] * span + others[1])
