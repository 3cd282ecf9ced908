"""What a training step minimises."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from avsc.train.data.batch import Batch
from avsc.train.model.missing import COLUMN
from avsc.train.model.network import Network
from avsc.train.systems import Modality

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
class Distillation:
    """Cross-entropy with the labels, in part with a teacher's probabilities for the complete view.

    A sample is taught if its view lacks a modality that the teacher sees. The teacher sees the same
    frames and the same augmented images. The other samples have labels alone.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015):
    temperature T for both distributions, and the square of T so that gradients keep their size.

    Attributes:
        teacher: in evaluation mode, without gradients; without visual encoder if the student has
            the same.
        modalities: what the teacher sees.
        temperature: T.
        weight: of the teacher; that of the labels is the rest.
    """

    teacher: Network
    modalities: tuple[Modality, ...]
    temperature: float
    weight: float

    def __call__(
        self, network: Network, batch: Batch, logits: Tensor, seen: Tensor | None
    ) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            logits: the student's, float32 [batch, classes].
            seen: the student's embeddings of the images, float32 [batch, features].
        """
        labels = cross_entropy(logits, batch.scene, reduction="none")
        soft = torch.softmax(self._logits(batch, seen) / self.temperature, 1)
        ours = torch.log_softmax(logits / self.temperature, 1)
        far = kl_div(ours, soft, reduction="none").sum(1) * self.temperature**2
        weight = self.weight * self._taught(network, batch).to(labels.dtype)
        return ((1 - weight) * labels + weight * far).mean()

    @torch.no_grad()
    def _logits(self, batch: Batch, seen: Tensor | None) -> Tensor:
        teacher = self.teacher
        acoustic = batch.acoustic if "audio" in self.modalities else None
        if "visual" not in self.modalities:
            return teacher.classify(acoustic, None)
        if teacher.visual is None:
            return teacher.classify(acoustic, seen)
        return teacher(acoustic, batch.images, batch.view)  # type: ignore[no-any-return]

    def _taught(self, network: Network, batch: Batch) -> Tensor:
        """Return which samples are taught, bool [batch]."""
        taught = torch.zeros(len(batch.scene), dtype=torch.bool, device=batch.scene.device)
        for modality in self.modalities:
            if (network.acoustic if modality == "audio" else network.visual) is None:
                return torch.ones_like(taught)
            if batch.missing is not None:
                taught = taught | batch.missing[:, COLUMN[modality]]
        return taught


@dataclass(frozen=True)
class SceneLoss:
    """Loss of the classifier, and cross-entropy of the unimodal heads with the labels.

    The heads are trained on every sample, also where the classifier lost one of its modalities.

    Attributes:
        heads: weight of each head's loss; 0 where there are none.
        distillation: loss of the classifier; None for cross-entropy with the labels alone.
    """

    heads: float = 0.0
    distillation: Distillation | None = None

    def __call__(self, network: Network, batch: Batch) -> Tensor:
        """Return the mean over a batch, of which a network takes what it has an encoder for."""
        acoustic, visual = network.embeddings(
            None if network.acoustic is None else batch.acoustic,
            None if network.visual is None else batch.images,
            batch.view,
        )
        fused, heads = network.decide_each(acoustic, visual, batch.missing)
        if self.distillation is None:
            total = cross_entropy(fused, batch.scene)
        else:
            total = self.distillation(network, batch, fused, visual)
        for logits in heads:
            total = total + self.heads * cross_entropy(logits, batch.scene)
        return total
