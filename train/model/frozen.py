"""What computes a frozen image model: its weights rounded once, its graph compiled once.

Autocast rounds the float32 weights of every convolution at every call; of frozen weights a copy is
rounded once instead, with the same results. Checkpoints and records know the float32 weights alone.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

Backend = str | Callable[..., Any]
"""Of `torch.compile`."""
ROUNDED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, Conv2dSame)
"""Layers that use their weights for nothing but what autocast computes in 16 bits."""
FEW = 16
"""Images below which PyTorch has other convolutions on a CPU, and for one image another graph."""


@dataclass(frozen=True)
class Compilation:
    """How PyTorch compiles an image model.

    Attributes:
        backend: of `torch.compile`.
        batch: images that it sees at a time: fewer are padded to so many, so that one graph serves
            all; None where numbers vary, for any of which the graph is compiled.
    """

    backend: Backend = "inductor"
    batch: int | None = None


class FrozenEncoder:
    """Computes a frozen image model.

    Attributes:
        compilation: how it is compiled; None where it is not.
    """

    def __init__(self) -> None:
        self.compilation: Compilation | None = None
        self._made_of: tuple[Any, ...] = ()
        self._module: Callable[[Tensor], Tensor] = nn.Identity()

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenEncoder":
        """Return one that makes for itself what computes."""
        made = FrozenEncoder()
        made.compilation = self.compilation
        return made

    def __call__(self, encoder: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Encode images [B, 3, S, S] as [B, features].

        Args:
            encoder: with its float32 weights.
            images: normalised.
            dtype: what autocast, which is on, computes in; float32 where it is off.
        """
        module, how = self._made(encoder, dtype), self.compilation
        if how is None:
            return module(images)  # len() would make the number of images a constant of an export
        count, least = len(images), how.batch or FEW
        if count < least:
            padding = images.new_zeros((least - count, *images.shape[1:]))
            images = torch.cat([images, padding])
        if how.batch is None:
            torch._dynamo.maybe_mark_dynamic(images, 0)
        return module(images)[:count]

    def _made(self, encoder: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Return what computes; made again when weights have changed or moved."""
        weights = list(encoder.parameters())
        changes = sum(weight._version for weight in weights)
        made_of = (dtype, weights[0].device, weights[0].dtype, changes, self.compilation)
        if made_of != self._made_of:
            module = encoder if dtype == torch.float32 else _rounded(encoder, dtype)
            how = self.compilation
            self._module = module if how is None else torch.compile(module, backend=how.backend)
            self._made_of = made_of
        return self._module


def _rounded(encoder: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a copy of an encoder with weights as autocast would round them at each call."""
    rounded = copy.deepcopy(encoder)
    for layer in rounded.modules():
        if type(layer) in ROUNDED:
            for name, weight in list(layer.named_parameters()):
                setattr(layer, name, nn.Parameter(weight.to(dtype), requires_grad=False))
    return rounded
