"""Epochs of training, whatever is trained: steps, saving, stopping, going on.

Nothing random is carried from step to step: what a batch holds is keyed by (seed, epoch, batch),
and PyTorch's own stream, which dropout draws from, is seeded anew for each step. A run that was
stopped therefore goes on from its last checkpoint, in the middle of an epoch too, and on a CPU ends
with the very numbers of a run that was not.

The sum of an epoch's losses stays on the device and is looked at only when it is shown or saved, so
that a step does not wait for the GPU. A loss that is not finite stays so in the sum.

Several processes may train together (`distributed`); process 0 alone writes and speaks.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from signal import SIGTERM, Signals

import numpy as np
import torch
from torch import Tensor, nn

from avsc.manifests.errors import AvscError
from avsc.train.data.batches import Batch
from avsc.train.fit.checkpoint import LostError, Progress, save_best, save_last
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.history import Row, best_row, finished, write_metrics
from avsc.train.fit.recovery import load_newest, mend_best
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.tensorboard import Curves
from avsc.train.fit.timing import EpochTimer
from avsc.train.model.network import Network

DROPOUT = 3  # what a generator is for: the first word of its key, as in train/data/batches


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the epochs of a run depend on.

    Attributes:
        folder: where the run is kept.
        digest: of its record; checkpoints carry it.
        seed: of all that is random.
        epochs: how many to train.
        batches: in an epoch.
        patience: epochs without a better validation before it stops; 0: never.
        save_minutes: between saves within an epoch.
        device: where to compute.
        rate: learning rate at a time, counted in epochs.
        row: what an epoch comes to.
        trained_on: name of the pictures that the visual encoder learns from; best.pt carries it.
        processes: those that train together.
    """

    folder: RunFolder
    digest: str
    seed: int
    epochs: int
    batches: int
    patience: int
    save_minutes: float
    device: torch.device
    rate: Callable[[float], float]
    row: type[Row] = Row
    trained_on: str | None = None
    processes: Processes = ALONE


class Epochs(ABC):
    """A run at work; what is trained says what a batch, its loss and an epoch's validation are.

    Args:
        plan: what its epochs depend on.
        network: with its first weights.
        optimiser: of the weights that are trained.
        console: what it says its progress to.

    Attributes:
        network: with its weights.
        model: computes the network's output in a step, together with the other processes.
        progress: how far it has come.
    """

    def __init__(
        self, plan: Plan, network: Network, optimiser: torch.optim.Optimizer, console: Console
    ) -> None:
        self.plan, self.console = plan, console
        self.network, self.optimiser = network, optimiser
        self.model: nn.Module = network
        self.progress = Progress()
        self._loss = torch.zeros((), dtype=torch.float64, device=plan.device)
        self._saved = time.monotonic()
        self._lost: LostError | None = None  # what is wrong with best.pt

    @abstractmethod
    def _batches(self) -> Iterator[Batch]:
        """Return the epoch's batches from the first that is not done."""

    @abstractmethod
    def _loss_of(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, with its graph."""

    @abstractmethod
    def _validate(self) -> dict[str, float]:
        """Return the figures of `plan.row` that validation gives; none without validation."""

    def resume(self) -> None:
        """Take up the state of the newest checkpoint, if there is one.

        Raises:
            AvscError: none can be read, or it belongs to another run.
        """
        plan, folder = self.plan, self.plan.folder
        if not folder.saved:
            if folder.best.exists():
                self.console.say(
                    f"{folder.path}: last.pt and previous.pt are gone; training begins again with "
                    "the first epoch"
                )
            return
        self.progress = at = load_newest(
            folder,
            plan.digest,
            self.network,
            self.optimiser,
            plan.row,
            self.console,
            plan.processes.main,
        )
        self._loss.fill_(at.loss)
        if plan.processes.main:
            self._lost = mend_best(folder, plan.digest, at.history, plan.trained_on, self.console)
        self.console.say(
            f"going on after {at.epoch} epochs and {at.batch} of {plan.batches} batches"
        )

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` of them without a better validation."""
        return finished(self.progress.history, self.plan.epochs, self.plan.patience)

    def fit(self, stop: StopRequest) -> bool:
        """Train to the end, or until `stop`; return whether the end was reached.

        Raises:
            AvscError: the loss is no longer finite, a picture is damaged, the disk is full, or
                another run has the folder now.
            LostError: at the end, when the weights of the best epoch are lost.
        """
        history, plan = self.progress.history, self.plan
        devices = [plan.device] if plan.device.type == "cuda" else []
        with torch.random.fork_rng(devices), ExitStack() as stack:
            self.model = plan.processes.parallel(self.network.train())
            curves = None
            if plan.processes.main:
                self._write_metrics()
                curves = stack.enter_context(Curves(plan.folder.tensorboard, history))
            done = len(history)
            timer = EpochTimer(plan.folder, done, plan.device, plan.processes, self.console)
            while not self.finished:
                timer.start(self.progress.batch)
                if not self._train(stop):
                    self._save()
                    return False
                row = self._close_epoch()
                if curves is not None:
                    curves.add(row)
                self.console.say(f"{row.summary()} ({timer.stop(row.epoch):.1f} s)")
        if self._lost is not None:
            raise self._lost
        return True

    def _train(self, stop: StopRequest) -> bool:
        """Do what is left of the epoch's batches; return False when `stop` came before the end."""
        at, plan = self.progress, self.plan
        batches = self._batches()
        self.network.train()
        for batch in () if self._asked(stop) else batches:
            self._step(batch)
            if self._asked(stop):
                break
            if time.monotonic() - self._saved >= 60 * plan.save_minutes:
                self._save()
            if self.console.due():
                text = f"epoch {at.epoch + 1}, loss {self._mean_loss():.4f}"
                self.console.show(text, at.batch, plan.batches)
        return not self._asked(stop)

    def _asked(self, stop: StopRequest) -> bool:
        """Whether one of the processes was asked to stop; all of them then take it as theirs."""
        own = (stop.signal or SIGTERM) if stop else 0
        found = self.plan.processes.highest(own)
        if found and stop.signal is None:
            stop.signal = Signals(found)
        return bool(found)

    def _step(self, batch: Batch) -> None:
        """Update the weights by one batch."""
        at, plan = self.progress, self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate(at.epoch + at.batch / plan.batches)
        torch.manual_seed(step_seed(plan.seed, at.epoch, at.batch))
        loss = self._loss_of(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._loss += plan.processes.mean(loss.detach())
        at.batch += 1

    def _mean_loss(self) -> float:
        """Return the mean loss of the epoch so far; this waits for the device."""
        at = self.progress
        at.loss = self._loss.item()
        if self.plan.processes.main and not math.isfinite(at.loss):
            raise AvscError(
                f"{self.plan.folder.path}: the loss is no longer finite in epoch {at.epoch + 1} "
                f"(found by batch {at.batch}). Begin anew with a lower --lr-max and --no-resume."
            )
        return at.loss / max(1, at.batch)

    def _close_epoch(self) -> Row:
        """Validate, note the epoch and save it."""
        at, plan = self.progress, self.plan
        row = plan.row(
            epoch=at.epoch + 1,
            learning_rate=plan.rate(at.epoch + 1 - 1 / plan.batches),
            training_loss=self._mean_loss(),
            **self._validate(),
        )
        at.history.append(row)
        at.epoch, at.batch, at.loss = at.epoch + 1, 0, 0.0
        self._loss.zero_()
        self._save()  # before best.pt, which can be made again from it
        if plan.processes.main and best_row(at.history) is row:
            save_best(
                plan.folder.best,
                plan.digest,
                self.network,
                at.epoch,
                plan.trained_on,
                plan.folder.publish,
            )
            self._lost = None
        if plan.processes.main:
            self._write_metrics()
        return row

    def _write_metrics(self) -> None:
        plan = self.plan
        write_metrics(plan.folder.metrics, self.progress.history, plan.row, plan.folder.publish)

    def _refuse_infinite(self, probability: np.ndarray) -> None:
        """Raise an `AvscError` unless all predictions of a validation are finite."""
        if self.plan.processes.main and not np.isfinite(probability).all():
            raise AvscError(
                f"{self.plan.folder.path}: predictions are no longer finite after epoch "
                f"{self.progress.epoch + 1}. Begin anew with a lower --lr-max and --no-resume."
            )

    def _save(self) -> None:
        """Write last.pt."""
        plan = self.plan
        self._mean_loss()
        if plan.processes.main:
            save_last(
                plan.folder.last,
                plan.digest,
                self.network,
                self.optimiser,
                self.progress,
                plan.folder.publish,
            )
        self._saved = time.monotonic()


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """Return the seed of PyTorch's stream for one step."""
    state = np.random.SeedSequence((DROPOUT, seed, epoch, batch)).generate_state(1, np.uint64)
    return int(state[0])
