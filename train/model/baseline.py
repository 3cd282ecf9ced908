"""The official baseline's networks: small dense ones over vectors made elsewhere.

Source: S. Wang, A. Mesaros, T. Heittola, T. Virtanen, "A curated dataset of urban scenes for
audio-visual scene analysis", ICASSP 2021, and the authors' code for DCASE 2021, task 1B
(shanwangshan/TAU-urban-audio-visual-scenes: ``train`` and ``train_combine``), which reports
0.658 / 77.0 % on the official test fold.

Documented there, and so here: OpenL3 vectors of audio and of images (512 values, content ``env``,
input ``mel256``, every 0.1 s), each value normalised by its mean and std over the training
vectors; a sub-network for each, ``512-BN-ReLU-Dropout, 128-BN-ReLU-Dropout, 64-BN-ReLU-Dropout,
10``, trained alone for 199 epochs; then both cut after the layer of 128 (before its BN) and frozen,
their outputs joined, sound first, under the late layers ``128, 10`` (with nothing between them),
trained for 99 epochs. Adam at 1e-4 with weight decay 1e-4, batches of 64, dropout 0.2, the epoch of
the best validation loss kept.

Chosen here, because one loop and one evaluation serve every system: which vectors belong together
(each acoustic vector with the visual one nearest to the middle of its second, where the authors
join the vectors of equal number), the segment's probabilities (the mean over its vectors, where
their code takes the first vector of each second), validation by our metric and split, and a value
that never varies is only centred.
"""

import torch
from torch import Tensor, nn

from avsc.manifests.errors import AvscError

EMBEDDING = 128
"""Values that a dense encoder makes of a vector."""


class DenseEncoder(nn.Module):
    """Vectors [B, features] to embeddings [B, 128]: normalised, Linear 512-BN-ReLU-Dropout-128.

    Mean and standard deviation are buffers, and so are saved with the weights.

    Args:
        features: values of a vector.
        dropout: probability that a hidden unit is dropped.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((features,), torch.nan))
        self.register_buffer("deviation", torch.full((features,), torch.nan))
        self.layers = nn.Sequential(*_layer(features, 512, dropout), nn.Linear(512, EMBEDDING))

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the mean and the standard deviation of the training vectors, each [features].

        Raises:
            AvscError: another shape, or a value that is not finite.
        """
        if mean.shape != self.mean.shape or deviation.shape != self.mean.shape:
            raise AvscError(
                f"mean and standard deviation have shapes {tuple(mean.shape)} and "
                f"{tuple(deviation.shape)}; wanted [features] = {tuple(self.mean.shape)}."
            )
        if not (mean.isfinite().all() and deviation.isfinite().all()):
            raise AvscError("mean or standard deviation of the training vectors is not finite.")
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, vectors: Tensor) -> Tensor:
        """Encode vectors [B, features] as [B, 128]."""
        return self.layers((vectors - self.mean) / self.deviation)  # type: ignore[no-any-return]


class SubNetworkHead(nn.Module):
    """What follows an encoder while its sub-network is trained alone: [B, 128] to logits."""

    def __init__(self, inputs: int, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(inputs),
            nn.ReLU(),
            nn.Dropout(dropout),
            *_layer(inputs, 64, dropout),
            nn.Linear(64, classes),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Classify embeddings [B, inputs]: logits [B, classes]."""
        return self.layers(embedding)  # type: ignore[no-any-return]


class LateLayers(nn.Module):
    """The layers over both encoders' embeddings: [B, 256] to logits."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 128), nn.Linear(128, classes))

    def forward(self, embedding: Tensor) -> Tensor:
        """Classify concatenated embeddings [B, inputs]: logits [B, classes]."""
        return self.layers(embedding)  # type: ignore[no-any-return]


def _layer(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [
        nn.Linear(inputs, outputs),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
        nn.Dropout(dropout),
    ]
