"""Scene classifier: the last two layers of Table 1, without the softmax that the loss includes."""

from torch import Tensor, nn

HIDDEN = 1024


class SceneClassifier(nn.Module):
    """Embeddings [B, inputs] to logits [B, classes]: Linear 1024-BN-ReLU-Dropout, Linear classes.

    Args:
        inputs: values of the (concatenated) embedding.
        classes: number of scenes.
        dropout: probability that a hidden unit is dropped.
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
