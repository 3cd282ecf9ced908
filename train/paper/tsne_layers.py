"""Embeddings at three places of a network.

``fused``: the classifier's input, e = AE(a) + VE(v) joined (equation 1 of the paper), which is what
the paper calls an audio-visual embedding. ``hidden``: the 1,024 units of the classifier before its
last layer, which is what the scenes are told by. ``acoustic``: the acoustic encoder's output. All
are taken in evaluation mode.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.compute import Computing
from avsc.train.model.inference import predict
from avsc.train.model.network import Network

Layer = Literal["fused", "hidden", "acoustic"]
LAYERS: tuple[Layer, ...] = ("fused", "hidden", "acoustic")


def named_layers(names: str) -> tuple[Layer, ...]:
    """Return the layers that a list such as ``"fused,acoustic"`` names, in their own order.

    Raises:
        SettingError: one is unknown, or there is none.
    """
    given = [name.strip() for name in names.split(",")]
    unknown = [name for name in given if name not in LAYERS]
    if unknown:
        raise SettingError(
            f"--layers is {names!r}: {unknown[0]!r} is unknown; any of {', '.join(LAYERS)}."
        )
    return tuple(layer for layer in LAYERS if layer in given)


def embeddings(
    network: Network,
    source: Source,
    samples: Samples,
    layers: Sequence[Layer],
    computing: Computing,
) -> dict[Layer, NDArray[np.float32]]:
    """Return the embeddings of samples, float32 [samples, values], by layer.

    Args:
        network: of a run.
        source: what the samples refer to.
        samples: what to embed.
        layers: which.
        computing: where and how to compute.

    Raises:
        SettingError: the network has no such layer.
    """
    network = network.to(computing.device)
    taken: dict[Layer, list[Tensor]] = {layer: [] for layer in layers}
    with _taking(network, taken):
        predict(
            network,
            source,
            samples,
            batch_size=computing.batch_size,
            workers=computing.workers,
            device=computing.device,
        )
    return {layer: torch.cat(parts).numpy() for layer, parts in taken.items()}


@contextmanager
def _taking(network: Network, taken: dict[Layer, list[Tensor]]) -> Iterator[None]:
    """Note what passes through the layers."""
    handles = []
    for layer, parts in taken.items():
        if layer == "acoustic":
            if network.acoustic is None:
                raise SettingError(
                    "--layers names acoustic, and a run has no sound. Leave it away."
                )
            handles.append(network.acoustic.register_forward_hook(_output(parts)))
        elif layer == "fused":
            handles.append(network.classifier.register_forward_pre_hook(_input(parts)))
        else:
            last = [each for each in network.classifier.modules() if isinstance(each, nn.Linear)]
            handles.append(last[-1].register_forward_pre_hook(_input(parts)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _output(parts: list[Tensor]) -> Any:
    return lambda module, given, result: parts.append(result.detach().float().cpu())


def _input(parts: list[Tensor]) -> Any:
    return lambda module, given: parts.append(given[0].detach().float().cpu())
