"""Layers that see a whole batch, of which a process computes a slice, or several in turn.

Batch normalisation takes its mean and variance over the samples of all processes. On GPUs this is
PyTorch's `SyncBatchNorm`, inserted by timm, which knows its own layers of normalisation with
activation; on a CPU, where PyTorch has none, `BatchNormOverProcesses`. Dropout draws the mask of a
whole batch and uses the rows of its own samples, so that no two slices drop alike.

Layers are exchanged for others with the same weights under the same names: optimisers and
checkpoints do not notice.
"""

from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def over_processes(network: nn.Module) -> None:
    """Let batch normalisation see all processes, in the parts that are in training mode.

    Args:
        network: on its device; changed in place.
    """
    for name, child in list(network.named_children()):
        if child.training and next(child.parameters()).is_cuda:
            setattr(network, name, convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
    for parent in list(network.modules()):
        if parent.training and isinstance(parent, _BatchNorm) and not parent.weight.is_cuda:
            parent.__class__ = BatchNormOverProcesses


@dataclass
class BatchShare:
    """Which of a batch's equal, contiguous slices the network computes at present.

    Attributes:
        index: number of the slice, from 0.
        count: how many there are; each has as many rows.
    """

    index: int
    count: int


def share_dropout(network: nn.Module, share: BatchShare) -> None:
    """Replace dropout by that of a share of the batch, which may change from slice to slice."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, BatchDropout(child.p, share).train(child.training))


class BatchDropout(nn.Dropout):
    """Dropout of the rows of a slice of the whole batch [batch, ...].

    Args:
        p: probability that a value is dropped.
        share: which slice.
    """

    def __init__(self, p: float, share: BatchShare) -> None:
        super().__init__(p)
        self.share = share

    def forward(self, value: Tensor) -> Tensor:
        """Drop; the mask depends on PyTorch's stream, which is the same for all slices."""
        if not self.training or self.p == 0:
            return value
        shape = (self.share.count * len(value), *value.shape[1:])
        kept = nn.functional.dropout(value.new_ones(shape), self.p)
        begin = self.share.index * len(value)
        return value * kept[begin : begin + len(value)]


class BatchNormOverProcesses(_BatchNorm):
    """Batch normalisation over the samples of all processes, of which each has as many.

    What timm's layers do afterwards (`drop`, `act`) follows.
    """

    def forward(self, value: Tensor) -> Tensor:
        """Normalise [batch, channels, ...]."""
        assert self.running_mean is not None
        assert self.running_var is not None
        shape = (1, -1, *(1,) * (value.dim() - 2))
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = self._moments(value, shape)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        value = (value - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        for following in ("drop", "act"):
            value = getattr(self, following, nn.Identity())(value)
        return value

    def _moments(self, value: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the whole batch [channels]; move the running ones."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        axes = [axis for axis in range(value.dim()) if axis != 1]
        count = distributed.get_world_size()
        mean = _sum(value.mean(axes)) / count
        variance = _sum((value - mean.view(shape)).square().mean(axes)) / count
        samples = count * value.numel() // value.shape[1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * samples / (samples - 1), self.momentum)
        return mean, variance


class _Sum(torch.autograd.Function):
    """Sum over the processes; the gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def _sum(value: Tensor) -> Tensor:
    return _Sum.apply(value)  # type: ignore[no-any-return]
