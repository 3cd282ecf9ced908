"""Classifiers: from embeddings to logits of scenes.

The *scene classifier* sees the embeddings of both modalities. *Unimodal heads* are two more, which
are trained beside it, each on the embedding of one modality. Their *late product* is an answer in
its own right: the product of their probabilities, to be normalised. It is Bayes' rule for
modalities that are independent given the scene, and scenes that are equally frequent; where a
modality is missing, the head of the other is left.
"""

import torch
from torch import Tensor, nn

HIDDEN = 1024
"""Hidden units of the scene classifier."""


class SceneClassifier(nn.Module):
    """Embeddings [B, inputs] to logits [B, classes]: Linear 1024-BN-ReLU-Dropout, Linear classes.

    The last two layers of Table 1, without the softmax, which the loss includes.

    Args:
        inputs: values of the (concatenated) embedding.
        classes: number of scenes.
        dropout: dropout probability of hidden units.
    """

    def __init__(self, inputs: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, classes),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Classify embeddings [B, inputs]: logits [B, classes]."""
        return self.layers(embedding)  # type: ignore[no-any-return]


class UnimodalHeads(nn.Module):
    """A classifier for each modality.

    Args:
        audio: acoustic embeddings [B, features] to logits [B, classes].
        visual: the same of embeddings of images.
    """

    def __init__(self, audio: nn.Module, visual: nn.Module) -> None:
        super().__init__()
        self.audio = audio
        self.visual = visual

    def forward(self, audio: Tensor | None, visual: Tensor | None) -> list[Tensor]:
        """Classify the embeddings that there are: logits [B, classes] of audio, of images."""
        pairs = ((self.audio, audio), (self.visual, visual))
        return [head(embedding) for head, embedding in pairs if embedding is not None]

    def product(self, audio: Tensor | None, visual: Tensor | None) -> Tensor:
        """Return the logarithm of the late product, not normalised, float32 [B, classes].

        Args:
            audio: float32 [B, features]; None where all of them are missing, NaN where one is.
            visual: the same.
        """
        parts = [
            torch.log_softmax(head(embedding), 1).masked_fill(embedding.isnan().any(1, True), 0)
            for head, embedding in ((self.audio, audio), (self.visual, visual))
            if embedding is not None
        ]
        if not parts:
            raise ValueError("both modalities are missing; one must be there")
        return torch.stack(parts).sum(0)

    def fall_back(
        self, classifier: nn.Module, audio: Tensor | None, visual: Tensor | None
    ) -> Tensor:
        """Return logits [B, classes] of a classifier of both, or of the head that is left.

        Args:
            classifier: of the concatenated embeddings.
            audio: as in `product`.
            visual: the same.
        """
        product = self.product(audio, visual)
        if audio is None or visual is None:
            return product
        both = torch.cat((audio, visual), dim=1)
        return torch.where(both.isnan().any(1, True), product, classifier(both))
