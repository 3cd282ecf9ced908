"""Weights named as in lukemelas's EfficientNet-PyTorch, renamed to timm's names.

Its EfficientNets, and the EfficientNet-Lites made from it, number their blocks through
(``_blocks.7._expand_conv.weight``), and count a block's normalisation layers from 0 where it has
an expanding convolution and from 1 where it has none; timm numbers the blocks of each stage
(``blocks.3.1.conv_pw.weight``), and the layers as they come.
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

STEM = "_conv_stem.weight"
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
"""Layers of a block without an expanding convolution."""
INVERTED = {
    **SEPARABLE,
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
"""Layers of a block with one."""


def timm_names(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor] | None:
    """Return such tensors by timm's names; None if these are no such names, or not wanted.

    Args:
        tensors: by name. What has no counterpart keeps its name.
        wanted: names of the model's tensors.
    """
    if STEM not in tensors or "conv_stem.weight" not in wanted:
        return None
    numbers = {match[0] for name in wanted if (match := re.match(r"blocks\.\d+\.\d+\.", name))}
    blocks = sorted(numbers, key=lambda block: [int(number) for number in block.split(".")[1:3]])
    return {_renamed(name, tensors, blocks): value for name, value in tensors.items()}


def _renamed(name: str, tensors: Mapping[str, Tensor], blocks: list[str]) -> str:
    match = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)(\.\w+)", name)
    if match is None:
        return name
    number, layer, kind = match.groups()
    if number is None:
        return OUTSIDE[layer] + kind if layer in OUTSIDE else name
    expands = f"_blocks.{number}._expand_conv.weight" in tensors
    layers = INVERTED if expands else SEPARABLE
    if layer not in layers or int(number) >= len(blocks):
        return name
    return f"{blocks[int(number)]}{layers[layer]}{kind}"
