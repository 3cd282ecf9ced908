"""Offset head: by how many seconds the audio of a recording is late, from embeddings by second.

If audio and image of a second are drawn together, and seconds independently, the logarithm of the
likelihood that the audio is d seconds late is, up to a constant, the sum over all seconds k that
both have of log p(a_k+d, v_k) / (p(a_k+d) p(v_k)). The head learns that ratio as an inner product
f(a) . g(v), which has no term of either alone. What coincides may depend on the scene: there are
several such products, and the likelihood is the mean of theirs.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

DROPOUT = 0.5
HIDDEN = 64
SIZE = 16
PRODUCTS = 12
SURE = 0.5
"""Probability below which an offset is not stated as found, and nothing is shifted by it."""


class OffsetHead(nn.Module):
    """Embeddings of two streams, by second, to logits of the offset.

    Args:
        audio: values of an acoustic embedding.
        visual: values of a visual embedding.
        most: largest offset, seconds; 1 or more.
    """

    temperature: Tensor

    def __init__(self, audio: int, visual: int, most: int) -> None:
        super().__init__()
        self.most = most
        self.register_buffer("temperature", torch.ones(()))
        self.audio = Projection(audio)
        self.visual = Projection(visual)
        last = self.visual.last
        nn.init.zeros_(last.weight)  # every offset is as probable as any other, to begin with
        nn.init.zeros_(last.bias)

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Return logits of each offset from -most to most, float32 [B, 2 most + 1].

        Args:
            audio: float32 [B, seconds, features].
            visual: float32 [B, seconds, features], of the same seconds.
        """
        heard, seen, length = self.audio(audio), self.visual(visual), audio.shape[1]
        sums = []
        for late in range(-self.most, self.most + 1):
            second = slice(max(0, -late), length - max(0, late))
            later = slice(max(0, late), length + min(0, late))
            sums.append((heard[:, later] * seen[:, second]).sum((1, 3)))
        logits = torch.logsumexp(torch.stack(sums, 1), 2) - math.log(PRODUCTS)
        return logits / self.temperature

    @torch.no_grad()
    def probability(
        self, audio: NDArray[np.float32], visual: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the probability of each offset of one recording, float64 [2 most + 1].

        Args:
            audio: float32 [seconds, features].
            visual: float32 [seconds, features], of the same seconds.
        """
        logits = self(torch.from_numpy(audio)[None], torch.from_numpy(visual)[None])
        found: NDArray[np.float64] = torch.softmax(logits.double(), 1)[0].numpy()
        return found


class Projection(nn.Module):
    """Embeddings [..., features], normalised, to vectors [..., products, size].

    Args:
        features: values of an embedding.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.dropout = nn.Dropout(DROPOUT)
        self.first = nn.Linear(features, HIDDEN)
        self.last = nn.Linear(HIDDEN, PRODUCTS * SIZE)

    def normalise_by(self, embeddings: Tensor) -> None:
        """Take mean and standard deviation of embeddings [n, features]; constants count nothing."""
        self.mean.copy_(embeddings.mean(0))
        std = embeddings.std(0, correction=0)
        self.std.copy_(torch.where(std > 1e-6 * std.max(), std, torch.inf))

    def forward(self, embedding: Tensor) -> Tensor:
        """Project embeddings."""
        normalised = self.dropout((embedding - self.mean) / self.std)
        hidden = self.dropout(torch.relu(self.first(normalised)))
        vectors: Tensor = self.last(hidden) / SIZE**0.5
        return vectors.reshape(*vectors.shape[:-1], PRODUCTS, SIZE)
