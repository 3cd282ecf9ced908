"""What is drawn: the same segments for both runs, embedded at three layers of each network.

A point is one second of a clip, represented in each run by the strict frame in the middle of that
second (the window that lies wholly inside it) and the second's image. At most a given number of
points are used, the same number of each scene where there are enough, drawn without replacement by
keys (seed, scene).

Layers: ``fused``: the classifier's input, e = AE(a) + VE(v) concatenated (equation 1 of the paper),
which is what the paper calls an audio-visual embedding. ``hidden``: the 1,024 units of the
classifier before its last layer. ``acoustic``: the acoustic encoder's output. All are taken in
evaluation mode.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avsc.features.store.labels import Labels
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.compute import Computing
from avsc.train.model.inference import predict
from avsc.train.model.network import Network

Layer = Literal["fused", "hidden", "acoustic"]
LAYERS: tuple[Layer, ...] = ("fused", "hidden", "acoustic")

SegmentId = tuple[str, int]
"""Clip id and second."""


@dataclass(frozen=True)
class Points:
    """The segments that are drawn, ordered by clip, then by second.

    Attributes:
        segments: clip id and second of each point.
        scene: class index of each, int64 [points].
        group: number of its location (of its clip where locations are not known), int64 [points].
        available: number of segments that the points were drawn from.
    """

    segments: tuple[SegmentId, ...]
    scene: NDArray[np.int64]
    group: NDArray[np.int64]
    available: int

    def __len__(self) -> int:
        return len(self.segments)


def middle_samples(samples: Samples, clips: Sequence[Clip]) -> dict[SegmentId, int]:
    """Return, for each segment that has one, the number of the strict sample in its middle."""
    strict: dict[SegmentId, list[int]] = {}
    for number in np.flatnonzero(samples.strict).tolist():
        segment = clips[samples.clip[number]].id, int(samples.second[number])
        strict.setdefault(segment, []).append(number)
    return {segment: numbers[len(numbers) // 2] for segment, numbers in strict.items()}


def choose_points(
    common: Sequence[SegmentId],
    clips: Sequence[Clip],
    classes: Sequence[str],
    most: int,
    seed: int,
) -> Points:
    """Choose the points.

    Args:
        common: the segments that both runs have.
        classes: scene labels in the order of their indices.
        most: largest number of points.

    Raises:
        AvscError: there are no common segments.
    """
    if not common:
        raise AvscError("the two runs have no segment of these clips in common; nothing to draw.")
    by_id = {clip.id: clip for clip in clips}
    row_of = {clip.id: row for row, clip in enumerate(clips)}
    ordered = sorted(common)
    place = np.array([(row_of[clip], second) for clip, second in ordered], np.int64)
    scene = Labels.of(clips, classes).at(*place.T)
    chosen: list[int] = []
    for index in range(len(classes)):
        members = np.flatnonzero(scene == index)
        quota = min(len(members), max(1, most // len(classes)))
        draw = np.random.default_rng((seed, index))
        chosen += draw.choice(members, quota, replace=False).tolist()
    chosen.sort()
    segments = tuple(ordered[number] for number in chosen)
    names = [by_id[clip].location or clip for clip, _ in segments]
    _, group = np.unique(names, return_inverse=True)
    return Points(segments, scene[chosen].astype(np.int64), group.reshape(-1), len(ordered))


def named_layers(names: str) -> tuple[Layer, ...]:
    """Return the layers that a list such as ``"fused,acoustic"`` names, in the order of `LAYERS`.

    Raises:
        SettingError: one is unknown, or there is none.
    """
    listed = [name.strip() for name in names.split(",")]
    unknown = [name for name in listed if name not in LAYERS]
    if unknown:
        raise SettingError(
            f"--layers is {names!r}: {unknown[0]!r} is unknown; any of {', '.join(LAYERS)}."
        )
    return tuple(layer for layer in LAYERS if layer in listed)


def embeddings(
    network: Network,
    source: Source,
    samples: Samples,
    layers: Sequence[Layer],
    computing: Computing,
) -> dict[Layer, NDArray[np.float32]]:
    """Return the embeddings of samples, float32 [samples, values], by layer.

    Args:
        source: what the samples refer to.
        computing: where and how to compute.

    Raises:
        SettingError: the network has no such layer.
    """
    network = network.to(computing.device)
    outputs: dict[Layer, list[Tensor]] = {layer: [] for layer in layers}
    with _recording(network, outputs):
        predict(
            network,
            source,
            samples,
            batch_size=computing.batch_size,
            workers=computing.workers,
            device=computing.device,
        )
    return {layer: torch.cat(batches).numpy() for layer, batches in outputs.items()}


@contextmanager
def _recording(network: Network, outputs: dict[Layer, list[Tensor]]) -> Iterator[None]:
    """Append what passes through the layers to `outputs`, batch by batch."""
    handles = []
    for layer, batches in outputs.items():
        if layer == "acoustic":
            if network.acoustic is None:
                raise SettingError("--layers includes acoustic, but a run has no audio. Omit it.")
            handles.append(network.acoustic.register_forward_hook(_output_hook(batches)))
        elif layer == "fused":
            handles.append(network.classifier.register_forward_pre_hook(_input_hook(batches)))
        else:
            linear = [
                module for module in network.classifier.modules() if isinstance(module, nn.Linear)
            ]
            handles.append(linear[-1].register_forward_pre_hook(_input_hook(batches)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _output_hook(batches: list[Tensor]) -> Callable[..., Any]:
    return lambda module, inputs, output: batches.append(output.detach().float().cpu())


def _input_hook(batches: list[Tensor]) -> Callable[..., Any]:
    return lambda module, inputs: batches.append(inputs[0].detach().float().cpu())
