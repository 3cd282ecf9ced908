"""One update of the weights by a batch, whole or in slices, in 32 or 16 bits.

*Slices* (``--accumulate N``): a batch goes through the network in N equal slices, whose gradients
add up to those of the whole batch, so that the activations of one slice at a time need memory.
Dropout drops what it would drop of the whole batch; batch normalisation alone sees a slice. Several
processes share each slice, so that results do not depend on their number.

*Scaling*: an image model that is trained in float16 has its loss multiplied, so that small
gradients do not vanish; a step whose gradients overflow is left out and the factor halved (by
PyTorch's `GradScaler`, whose state belongs to a checkpoint). Finding that out waits for the device.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from avsc.train.data.batch import Batch
from avsc.train.fit.compute import Session
from avsc.train.model.network import Network
from avsc.train.model.recompute import statistics_kept
from avsc.train.model.synced_layers import BatchShare, share_dropout


class Update:
    """Updates the weights, batch by batch.

    Args:
        step: from a batch, or a slice of it, to its mean loss.
        network: whose weights that depends on, on the session's device.
        optimiser: of its weights.
        session: what computes.

    Attributes:
        step: as given; with other processes, what exchanges their gradients.
        scaler: of the loss; None where gradients are not of float16.
    """

    def __init__(
        self,
        step: nn.Module,
        network: Network,
        optimiser: torch.optim.Optimizer,
        session: Session,
    ) -> None:
        self.step = step
        self.optimiser = optimiser
        self._network = network
        self._processes = session.processes
        self._slices = session.computing.accumulate
        self._share = BatchShare(self._processes.rank, self._processes.count * self._slices)
        if self._share.count > 1:
            share_dropout(network, self._share)
        dtype = network.visual_dtype(session.device)
        scaled = dtype == torch.float16 and not network.frozen_visual
        self.scaler = torch.amp.GradScaler(session.device.type) if scaled else None

    @property
    def state(self) -> dict[str, Any] | None:
        """What has to be saved of the scaler; this waits for the device."""
        return None if self.scaler is None else self.scaler.state_dict()

    @state.setter
    def state(self, saved: dict[str, Any] | None) -> None:
        if self.scaler is not None and saved is not None:
            self.scaler.load_state_dict(saved)

    def __call__(self, slices: Sequence[Batch], seed: int) -> Tensor:
        """Update the weights by the gradient of a batch's mean loss.

        Args:
            slices: this process's part of each slice of the batch, in their order.
            seed: of PyTorch's stream, from which each slice draws the masks of the whole batch.

        Returns:
            The mean loss of the batch, without its graph.
        """
        self.optimiser.zero_grad(set_to_none=True)
        losses = []
        for number, part in enumerate(slices):
            self._share.index = number * self._processes.count + self._processes.rank
            torch.manual_seed(seed)
            with self._gradients_apart(number + 1 < len(slices)):
                loss: Tensor = self.step(part) / len(slices)
                self._backward(loss if self.scaler is None else self.scaler.scale(loss))
            losses.append(loss.detach())
        if self.scaler is None:
            self.optimiser.step()
        else:
            self.scaler.step(self.optimiser)
            self.scaler.update()
        return self._processes.mean(sum(losses[1:], losses[0]))

    def try_out(self, part: Batch) -> None:
        """Compute the gradients of some samples, and drop them.

        An image model is not compiled from then on: its graph would pad them to a whole slice.
        """
        self._network.compile_visual(None)
        self.optimiser.zero_grad(set_to_none=True)
        self._backward(self.step(part))
        self.optimiser.zero_grad(set_to_none=True)

    def _backward(self, loss: Tensor) -> None:
        again = self._network.recomputes
        with statistics_kept(self._network) if again else nullcontext():
            loss.backward()  # type: ignore[no-untyped-call]

    def _gradients_apart(self, wanted: bool) -> AbstractContextManager[Any]:
        """Keep a slice's gradients in this process; with the last slice, all are exchanged."""
        if wanted and isinstance(self.step, nn.parallel.DistributedDataParallel):
            return self.step.no_sync()
        return nullcontext()
