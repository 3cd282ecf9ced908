"""Activations that are computed again in the backward pass, to save memory.

timm's image models can keep only what enters each block (`set_grad_checkpointing`). The blocks are
then computed twice, by which batch normalisation would also move its running mean and variance
twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from avsc.manifests.errors import SettingError


def recompute_activations(model: nn.Module) -> None:
    """Let an image model of timm keep no activations within its blocks.

    Raises:
        SettingError: it cannot.
    """
    try:
        model.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AttributeError, AssertionError, NotImplementedError) as error:
        raise SettingError(
            f"--checkpoint-activations is yes, which timm's {type(model).__name__} cannot do. Omit "
            "it; --accumulate saves memory with every model."
        ) from error


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Keep running means and variances as they are while layers are computed again."""
    layers = [
        (layer, layer.momentum, layer.num_batches_tracked)
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.training and layer.track_running_stats
    ]
    for layer, _, count in layers:
        layer.momentum = 0.0
        layer.num_batches_tracked = torch.zeros_like(count) if count is not None else None
    try:
        yield
    finally:
        for layer, momentum, count in layers:
            layer.momentum, layer.num_batches_tracked = momentum, count
