"""The scale of embeddings before they are joined.

Joined as they are, features whose standard deviation is a fortieth of their neighbours' hardly
move the classifier's first layer (docs/world.md). ``batch`` gives each feature mean 0 and variance
1 over the batch, ``layer`` each embedding over its features; both then scale and shift each feature
by what is learned. Each modality is normalised by itself, before learned vectors take the place of
missing embeddings: the statistics are always those of real ones.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn

from avsc.train.systems import Modality

Kind = Literal["layer", "batch"]
LAYERS: Mapping[Kind, Callable[[int], nn.Module]] = {
    "layer": nn.LayerNorm,
    "batch": nn.BatchNorm1d,
}


class FusionNorm(nn.Module):
    """Normalises the embeddings of both modalities.

    Args:
        kind: of `LAYERS`.
        audio: values of an acoustic embedding.
        visual: values of a visual embedding.
    """

    def __init__(self, kind: Kind, audio: int, visual: int) -> None:
        super().__init__()
        self.kind = kind
        self.audio, self.visual = LAYERS[kind](audio), LAYERS[kind](visual)

    def forward(self, modality: Modality, embedding: Tensor) -> Tensor:
        """Normalise embeddings of a modality, float32 [B, features]."""
        norm = self.audio if modality == "audio" else self.visual
        return norm(embedding)  # type: ignore[no-any-return]
