"""What a training step minimises."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avsc.train.data.batches import Batch
from avsc.train.model.network import Network

Loss = Callable[[Network, Batch], Tensor]
"""From a network and a process's slice of a batch to the mean loss of the slice, with its graph.

Slices of equal length have the loss of the whole batch as the mean of their losses.
"""


class Step(nn.Module):
    """A network and its loss as one module, which several processes can compute together."""

    def __init__(self, network: Network, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""
        return self.loss(self.network, batch)


@dataclass(frozen=True)
class LabelLoss:
    """Cross-entropy with the labels.

    Attributes:
        smoothing: of the labels.
    """

    smoothing: float = 0.0

    def __call__(self, network: Network, batch: Batch) -> Tensor:
        """Return the mean over a batch."""
        logits = network(batch.acoustic, batch.images, batch.view, batch.missing)
        return cross_entropy(logits, batch.scene, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class SceneLoss:
    """Cross-entropy of the classifier and of the unimodal heads with the labels.

    The heads are trained on every sample, also where the classifier lost one of its modalities.

    Attributes:
        heads: weight of each head's loss; 0 where there are none.
    """

    heads: float = 0.0

    def __call__(self, network: Network, batch: Batch) -> Tensor:
        """Return the mean over a batch."""
        acoustic, visual = network.embeddings(batch.acoustic, batch.images, batch.view)
        total = cross_entropy(network.decide(acoustic, visual, batch.missing), batch.scene)
        if network.heads is not None:
            for logits in network.heads(acoustic, visual).values():
                total = total + self.heads * cross_entropy(logits, batch.scene)
        return total
