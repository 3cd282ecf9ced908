"""The training loop of every system.

Source: section 3.2 of the paper: SGD with cosine annealing and warm restarts, batches of 256, at
most 150 epochs, the model with the best validation loss retained.

Nothing random is carried from step to step: the order of an epoch and the augmentation of a batch
are keyed by (seed, epoch, batch), and PyTorch's own stream, which dropout draws from, is seeded
anew for each step. A run that was stopped therefore goes on from its last checkpoint, in the middle
of an epoch too, and on a CPU ends with the very numbers of a run that was not.

The sum of an epoch's losses stays on the device and is looked at only when it is shown or saved, so
that a step does not wait for the GPU. A loss that is not finite stays so in the sum.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from avsc.manifests.errors import AvscError
from avsc.train.config import Settings
from avsc.train.data.augment import Augment
from avsc.train.data.batches import Batch, training_batches
from avsc.train.data.pairs import Samples
from avsc.train.data.source import Source
from avsc.train.fit.checkpoint import Progress, load_last, save_best, save_last
from avsc.train.fit.console import Console
from avsc.train.fit.curves import Curves
from avsc.train.fit.history import Row, best_row, write_metrics
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.schedule import WarmRestarts
from avsc.train.fit.signals import StopRequest
from avsc.train.model.network import Network
from avsc.train.score.metrics import Scores, scores
from avsc.train.score.predict import embed_pictures, predict
from avsc.train.score.protocol import segments

DROPOUT = 3  # what a generator is for: the first word of its key, as in train/data/batches


@dataclass(frozen=True)
class Run:
    """What a run is made of.

    Attributes:
        folder: where it is kept.
        digest: of its record; checkpoints carry it.
        settings: of the run.
        source: what the samples refer to.
        training: samples to train on.
        validation: samples to choose the best epoch by; none with ``--validation none``.
        classes: scene labels in the order of their class indices.
        device: where to compute.
        workers: threads that prepare pictures.
        augment: of the training pictures.
        batches: in an epoch.
    """

    folder: RunFolder
    digest: str
    settings: Settings
    source: Source
    training: Samples
    validation: Samples
    classes: tuple[str, ...]
    device: torch.device
    workers: int
    augment: Augment
    batches: int


class Training:
    """A run at work.

    Args:
        run: what it is made of.
        network: with its first weights and its normalisation.
        console: what it says its progress to.

    Attributes:
        progress: how far it has come.
    """

    def __init__(self, run: Run, network: Network, console: Console) -> None:
        settings = run.settings
        self.run, self.console = run, console
        self.network = network.to(run.device)
        self.optimiser = torch.optim.SGD(
            network.trainable_parameters(),
            lr=settings.lr_max,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.schedule = WarmRestarts(
            settings.lr_max, settings.lr_min, settings.lr_period, settings.lr_factor
        )
        self.progress = Progress()
        self._loss = torch.zeros((), dtype=torch.float64, device=run.device)
        self._embeddings: Tensor | None = None
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Take up the state of last.pt.

        Raises:
            AvscError: the file is damaged, or belongs to another run.
        """
        run = self.run
        self.progress = load_last(run.folder.last, run.digest, self.network, self.optimiser)
        self._loss.fill_(self.progress.loss)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` of them without a better validation."""
        done, settings = self.progress.epoch, self.run.settings
        best = best_row(self.progress.history)
        impatient = best is not None and 0 < settings.patience <= done - best.epoch
        return done >= settings.epochs or impatient

    def fit(self, stop: StopRequest) -> bool:
        """Train to the end, or until `stop`; return whether the end was reached.

        Raises:
            AvscError: the loss is no longer finite, a picture is damaged, or the disk is full.
        """
        history, folder = self.progress.history, self.run.folder
        devices = [self.run.device] if self.run.device.type == "cuda" else []
        with torch.random.fork_rng(devices), Curves(folder.tensorboard, history) as curves:
            write_metrics(folder.metrics, history)
            while not self.finished:
                begun = time.monotonic()
                if not self._train(stop):
                    self._save()
                    return False
                row = self._close_epoch()
                curves.add(row)
                self.console.say(f"{row.summary()} ({time.monotonic() - begun:.1f} s)")
        return True

    def _train(self, stop: StopRequest) -> bool:
        """Do what is left of the epoch's batches; return False when `stop` came before the end."""
        run, at = self.run, self.progress
        visual = self.network.visual
        batches = training_batches(
            run.source,
            run.training,
            batch_size=run.settings.batch_size,
            seed=run.settings.seed,
            epoch=at.epoch,
            start_batch=at.batch,
            geometry=None if visual is None else visual.image_input,
            augment=run.augment,
            workers=run.workers,
            device=run.device,
        )
        self.network.train()
        for batch in () if stop else batches:
            self._step(batch)
            if stop:
                break
            if time.monotonic() - self._saved >= 60 * run.settings.save_minutes:
                self._save()
            if self.console.due():
                text = f"epoch {at.epoch + 1}, loss {self._mean_loss():.4f}"
                self.console.show(text, at.batch, self.run.batches)
        return not stop

    def _step(self, batch: Batch) -> None:
        """Update the weights by one batch."""
        at, seed = self.progress, self.run.settings.seed
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(at.epoch + at.batch / self.run.batches)
        torch.manual_seed(step_seed(seed, at.epoch, at.batch))
        loss = nn.functional.cross_entropy(
            self.network(batch.acoustic, batch.pictures), batch.scene
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._loss += loss.detach()
        at.batch += 1

    def _mean_loss(self) -> float:
        """Return the mean loss of the epoch so far; this waits for the device."""
        at = self.progress
        at.loss = self._loss.item()
        if not math.isfinite(at.loss):
            raise AvscError(
                f"{self.run.folder.path}: the loss is no longer finite in epoch {at.epoch + 1} "
                f"(found by batch {at.batch}). Begin anew with a lower --lr-max and --no-resume."
            )
        return at.loss / max(1, at.batch)

    def _close_epoch(self) -> Row:
        """Validate, note the epoch and save it."""
        at, run = self.progress, self.run
        training_loss = self._mean_loss()
        found = self._validate() if len(run.validation) else None
        row = Row(
            epoch=at.epoch + 1,
            learning_rate=self.schedule.rate(at.epoch + 1 - 1 / self.run.batches),
            training_loss=training_loss,
            validation_log_loss=None if found is None else found.log_loss,
            validation_accuracy=None if found is None else found.accuracy,
        )
        at.history.append(row)
        at.epoch, at.batch, at.loss = at.epoch + 1, 0, 0.0
        self._loss.zero_()
        if best_row(at.history) is row:
            save_best(run.folder.best, run.digest, self.network, at.epoch)
        self._save()
        write_metrics(run.folder.metrics, at.history)
        return row

    def _validate(self) -> Scores:
        """Return the official metric of the validation samples."""
        run = self.run
        how = {"batch_size": run.settings.batch_size, "workers": run.workers}
        embeddings = self._embeddings
        if embeddings is None and run.validation.picture is not None:
            pictures = np.unique(run.validation.picture)
            embeddings = embed_pictures(
                self.network, run.source, pictures, **how, device=run.device
            )
            if self.network.frozen_visual:
                self._embeddings = embeddings
        probability = predict(
            self.network, run.source, run.validation, **how, device=run.device,
            embeddings=embeddings,
        )  # fmt: skip
        if not np.isfinite(probability).all():
            raise AvscError(
                f"{run.folder.path}: predictions are no longer finite after epoch "
                f"{self.progress.epoch + 1}. Begin anew with a lower --lr-max and --no-resume."
            )
        return scores(segments(probability, run.validation, run.settings.protocol), run.classes)

    def _save(self) -> None:
        """Write last.pt."""
        run = self.run
        self._mean_loss()
        save_last(run.folder.last, run.digest, self.network, self.optimiser, self.progress)
        self._saved = time.monotonic()


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """Return the seed of PyTorch's stream for one step."""
    state = np.random.SeedSequence((DROPOUT, seed, epoch, batch)).generate_state(1, np.uint64)
    return int(state[0])
