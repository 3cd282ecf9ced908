"""The training loop of every system.

Source: section 3.2 of the paper: SGD with cosine annealing and warm restarts, batches of 256, at
most 150 epochs, the model with the best validation loss retained.

Nothing random is carried from step to step: the order of an epoch and the augmentation of a batch
are keyed by (seed, epoch, batch), and PyTorch's own stream (dropout) is seeded anew for each step.
A run that was stopped therefore goes on from its last checkpoint, in the middle of an epoch too,
and ends with the numbers of one that was not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard.writer import SummaryWriter

from avsc.manifests.errors import AvscError
from avsc.train.config import Settings
from avsc.train.data.augment import Augment
from avsc.train.data.batches import Batch, batches_per_epoch, training_batches
from avsc.train.data.pairs import Samples
from avsc.train.data.source import Source
from avsc.train.fit.checkpoint import fill, load, save
from avsc.train.fit.run_folder import trained, write_metrics
from avsc.train.fit.schedule import learning_rate
from avsc.train.fit.signals import Stop
from avsc.train.model.network import Network
from avsc.train.score.metrics import scores
from avsc.train.score.predict import embed_pictures, predict
from avsc.train.score.protocol import segments

STEP_SEEDS = 1_000_003  # a prime, so that the seeds of two runs' steps do not run in parallel


@dataclass
class Progress:
    """How far a run is; with the weights and the optimiser, all that a checkpoint keeps.

    Attributes:
        epoch: epochs done.
        batch: batches done of the epoch under way.
        loss: sum of the losses of those batches.
        correct: samples that those batches got right, in training mode.
        history: one row an epoch.
        best: lowest validation log-loss so far.
        best_epoch: the epoch that had it, counted from 1; 0 before there is one.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    correct: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = math.inf
    best_epoch: int = 0


class Training:
    """A run in progress.

    Args:
        run: its folder.
        settings: of the run.
        network: with its first weights, on the CPU.
        source: what the samples refer to.
        training: samples to train on.
        validation: samples to validate on; none for ``--validation none``.
        classes: scene labels.
        device: where to compute.
        say: called with a line for the user.
    """

    def __init__(
        self,
        run: Path,
        settings: Settings,
        network: Network,
        source: Source,
        training: Samples,
        validation: Samples,
        classes: tuple[str, ...],
        device: torch.device,
        say: Callable[[str], None],
    ) -> None:
        self.run, self.settings, self.source, self.device = run, settings, source, device
        self.training, self.validation, self.classes = training, validation, classes
        self.say = say
        self.network = network.to(device)
        self.modules = trained(network)
        self.batches = batches_per_epoch(training, settings.batch_size)
        self.augment = Augment.named(settings.augment)
        self.optimiser = torch.optim.SGD(
            network.trainable_parameters(),
            lr=settings.lr_max,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.progress = Progress()
        self._embeddings: Tensor | None = None
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Go on from last.pt."""
        path = self.run / "last.pt"
        content = load(path)
        fill(self.modules, content["network"], path)
        self.optimiser.load_state_dict(content["optimiser"])
        self.progress = Progress(**content["progress"])
        self.say(f"Going on after epoch {self.progress.epoch}, batch {self.progress.batch}.")

    def fit(self, stop: Stop) -> bool:
        """Train to the end; False when a stop was asked for and the state is saved."""
        while not self._finished():
            if not self._epoch(stop):
                self._save()
                self.say(f"Stopped at epoch {self.progress.epoch}; run the command again to go on.")
                return False
        return True

    def _finished(self) -> bool:
        patience, done = self.settings.patience, self.progress.epoch
        if done >= self.settings.epochs:
            return True
        return bool(patience and done - self.progress.best_epoch >= patience and done)

    def _epoch(self, stop: Stop) -> bool:
        begin = time.monotonic()
        visual = self.network.visual
        batches = training_batches(
            self.source,
            self.training,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            epoch=self.progress.epoch,
            start_batch=self.progress.batch,
            geometry=None if visual is None else visual.image_input,
            augment=self.augment,
            workers=self.settings.workers,
            device=self.device,
        )
        self.network.train()
        for batch in batches:
            self._step(batch)
            if stop.asked is not None:
                return False
            if time.monotonic() - self._saved > 60 * self.settings.save_minutes:
                self._save()
        self._close_epoch(time.monotonic() - begin)
        return stop.asked is None

    def _step(self, batch: Batch) -> None:
        """Update the weights by one batch."""
        at = self.progress
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        step = at.epoch * self.batches + at.batch
        torch.manual_seed(self.settings.seed * STEP_SEEDS + step)
        logits = self.network(batch.acoustic, batch.pictures)
        loss = nn.functional.cross_entropy(logits, batch.scene)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        at.batch += 1
        value = loss.item()
        if not math.isfinite(value):
            raise AvscError(
                f"{self.run}: the loss of epoch {at.epoch + 1}, batch {at.batch} is {value}. Lower "
                "--lr-max; the last checkpoint is kept."
            )
        at.loss += value
        at.correct += int((logits.argmax(1) == batch.scene).sum())

    def _rate(self) -> float:
        s, at = self.settings, self.progress
        now = at.epoch + at.batch / self.batches
        return learning_rate(now, s.lr_max, s.lr_min, s.restart_epochs, s.restart_factor)

    def _close_epoch(self, seconds: float) -> None:
        """Validate, note the epoch, and save."""
        at = self.progress
        row = {
            "epoch": at.epoch + 1,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "loss": at.loss / self.batches,
            "accuracy": at.correct / (self.batches * self.settings.batch_size),
        }
        log_loss = row["loss"]
        if len(self.validation):
            found = scores(
                segments(self._predict(), self.validation, self._protocol()), self.classes
            )
            log_loss = found.log_loss
            row |= {"validation_log_loss": log_loss, "validation_accuracy": found.accuracy}
        row["seconds"] = seconds
        at.history.append(row)
        at.epoch, at.batch, at.loss, at.correct = at.epoch + 1, 0, 0.0, 0
        if log_loss < at.best or not len(self.validation):
            at.best, at.best_epoch = log_loss, at.epoch
            save(self.run / "best.pt", self._state())
        self._save()
        write_metrics(self.run, at.history)
        self._log(row)
        self.say(_line(row, self.settings.epochs))

    def _protocol(self) -> Any:
        return self.settings.protocol

    def _predict(self) -> Any:
        """Return the validation samples' probabilities; pictures are embedded in the first call."""
        size, workers = self.settings.batch_size, self.settings.workers
        if self.validation.picture is not None and self._embeddings is None:
            self._embeddings = embed_pictures(
                self.network,
                self.source,
                np.unique(self.validation.picture),
                batch_size=size,
                workers=workers,
                device=self.device,
            )
        return predict(
            self.network,
            self.source,
            self.validation,
            batch_size=size,
            workers=workers,
            device=self.device,
            embeddings=self._embeddings,
        )

    def _state(self) -> dict[str, Any]:
        return {"network": self.modules.state_dict(), "epoch": self.progress.epoch}

    def _save(self) -> None:
        state = self._state()
        state["optimiser"] = self.optimiser.state_dict()
        state["progress"] = dict(self.progress.__dict__)
        save(self.run / "last.pt", state)
        self._saved = time.monotonic()

    def _log(self, row: dict[str, float]) -> None:
        """Add an epoch to the TensorBoard log; what a killed run logged after it is dropped."""
        folder = str(self.run / "tensorboard")
        with SummaryWriter(folder, purge_step=int(row["epoch"])) as writer:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(row["epoch"]))


def _line(row: dict[str, float], epochs: int) -> str:
    text = f"epoch {row['epoch']:.0f}/{epochs}  loss {row['loss']:.4f}"
    if "validation_log_loss" in row:
        text += f"  validation log-loss {row['validation_log_loss']:.4f}"
        text += f"  accuracy {100 * row['validation_accuracy']:.2f} %"
    return f"{text}  {row['seconds']:.1f} s"
