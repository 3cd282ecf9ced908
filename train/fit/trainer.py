"""The trainer: epochs, steps, validation, saving, stopping and resuming, whatever the task.

Nothing random is carried from step to step: what a batch holds is keyed by (seed, epoch, batch),
and PyTorch's own stream, which dropout draws from, is reseeded for each step. A run that was
stopped therefore resumes from its last checkpoint, also in the middle of an epoch, and on a CPU
ends with exactly the numbers of a run that was not.

The sum of an epoch's losses stays on the device and is looked at only when it is shown or saved, so
that a step does not wait for the GPU. A loss that is not finite stays so in the sum.

Several processes may train together (`distributed`); process 0 alone writes and speaks.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from signal import SIGTERM, Signals

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avsc.manifests.errors import AvscError
from avsc.train.data.augment import Augment
from avsc.train.data.batch import Batch
from avsc.train.data.batches import Preparation, TrainingBatches
from avsc.train.fit.checkpoint import LostError, Progress, save_best, save_last
from avsc.train.fit.compute import Session
from avsc.train.fit.history import Curves, Row, best_row, finished, write_metrics
from avsc.train.fit.losses import Step
from avsc.train.fit.memory import slice_memory
from avsc.train.fit.parameter_groups import FACTOR
from avsc.train.fit.recovery import load_newest, restore_best
from avsc.train.fit.tasks import Run, Task
from avsc.train.fit.timing import EpochTimer
from avsc.train.fit.update import Update
from avsc.train.model.inference import embed_images, predict
from avsc.train.systems import Modality

DROPOUT = 3  # what a generator is for: the first word of its key, as in train/data/batches


class Trainer:
    """Trains a run.

    Args:
        run: what it is made of.
        task: how it is trained.
        session: what computes.

    Attributes:
        network: with its weights.
        update: of the weights by a batch.
        progress: how far it has come.
    """

    def __init__(self, run: Run, task: Task, session: Session) -> None:
        self.run, self.task, self.session = run, task, session
        self.network, self.optimiser = task.network, task.optimiser
        step = Step(task.network, task.loss)
        self.update = Update(step, task.network, task.optimiser, session)
        self.progress = Progress()
        self._validated = run.validation.take(session.processes.share(len(run.validation)))
        self._embeddings: Tensor | None = None  # of the validation images, by a frozen encoder
        self._loss = torch.zeros((), dtype=torch.float64, device=session.device)
        self._saved = time.monotonic()
        self._lost: LostError | None = None  # what is wrong with best.pt

    def resume(self) -> None:
        """Load the newest checkpoint, if there is one.

        Raises:
            AvscError: none can be read, or it belongs to another run.
        """
        run, folder, console = self.run, self.run.folder, self.session.console
        if not folder.saved:
            if folder.best.exists():
                console.say(
                    f"{folder.path}: last.pt and previous.pt are gone; training starts over from "
                    "the first epoch"
                )
            return
        self.progress = at = load_newest(run, self.task, self.session)
        self._loss.fill_(at.loss)
        self.update.state = at.scaler
        if self.session.processes.main:
            self._lost = restore_best(run, at.history, console)
        console.say(f"resuming after {at.epoch} epochs and {at.batch} of {run.batches} batches")

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` of them without a better validation."""
        settings = self.run.settings
        return finished(self.progress.history, settings.epochs, settings.patience)

    def fit(self) -> bool:
        """Train to the end, or until asked to stop; return whether the end was reached.

        Raises:
            AvscError: the loss is no longer finite, an image is damaged, the disk is full, or
                another run has the folder now.
            LostError: at the end, when the weights of the best epoch are lost.
        """
        history, session = self.progress.history, self.session
        devices = [session.device] if session.device.type == "cuda" else []
        with torch.random.fork_rng(devices), ExitStack() as stack:
            step = self.update.step
            self.update.step = session.processes.parallel(self.network.train(), step)
            curves = None
            if session.processes.main:
                self._write_metrics()
                curves = stack.enter_context(Curves(self.run.folder.tensorboard, history))
            timer = EpochTimer(self.run.folder, self.progress.epoch, session)
            while not self.finished:
                timer.start(self.progress.batch)
                if not self._train():
                    self._save()
                    return False
                row = self._close_epoch()
                if curves is not None:
                    curves.add(row)
                session.console.say(f"{row.summary()} ({timer.stop(row.epoch):.1f} s)")
        if self._lost is not None:
            raise self._lost
        return True

    def _train(self) -> bool:
        """Train on the rest of the epoch's batches; return False if asked to stop before."""
        at, console = self.progress, self.session.console
        batches, slices = self._batches(), self.session.computing.accumulate
        self.network.train()
        for batch in () if self._asked() else iter(lambda: tuple(islice(batches, slices)), ()):
            self._step(*batch)
            if time.monotonic() - self._saved >= 60 * self.run.settings.save_minutes:
                self._save()  # before the others are met, who wait for it there
            if self._asked():
                break
            if console.due():
                text = f"epoch {at.epoch + 1}, loss {self._mean_loss():.4f}"
                console.show(text, at.batch, self.run.batches)
        return not self._asked()

    def _asked(self) -> bool:
        """Whether one of the processes was asked to stop; all of them then take it as theirs."""
        stop = self.session.stop
        own = (stop.signal or SIGTERM) if stop else 0
        highest = self.session.processes.highest(own)
        if highest and stop.signal is None:
            stop.signal = Signals(highest)
        return bool(highest)

    def _batches(self) -> Iterator[Batch]:
        """Return the epoch's batches, slice by slice, from the first that is not done."""
        run, session, settings = self.run, self.session, self.run.settings
        batches = TrainingBatches(
            source=run.source,
            samples=run.training,
            batch_size=settings.batch_size,
            seed=settings.seed,
            preparation=Preparation(self.task.image_input, session.workers, session.device),
            augment=Augment.named(settings.augment),
            shard=session.processes.shard,
            accumulate=session.computing.accumulate,
            together=self.task.together,
            modality_dropout=self.task.modality_dropout,
            time_shift=self.task.time_shift,
            mixup=self.task.mixup,
        )
        return batches.epoch(self.progress.epoch, self.progress.batch)

    def _step(self, *slices: Batch) -> None:
        """Update the weights by one batch."""
        at, rate = self.progress, self.task.rate
        for group in self.optimiser.param_groups:
            group["lr"] = rate(at.epoch + at.batch / self.run.batches) * group.get(FACTOR, 1)
        seed = step_seed(self.run.settings.seed, at.epoch, at.batch)
        with slice_memory(slices[0], self.session, self.update.try_out):
            self._loss += self.update(slices, seed)
        if self.task.average is not None:
            self.task.average.update(self.network, at.epoch * self.run.batches + at.batch)
        at.batch += 1

    def _mean_loss(self) -> float:
        """Return the mean loss of the epoch so far; this waits for the device."""
        at = self.progress
        at.loss = self._loss.item()
        if self.session.processes.main and not math.isfinite(at.loss):
            raise AvscError(
                f"{self.run.folder.path}: the loss is no longer finite in epoch {at.epoch + 1} "
                f"(found by batch {at.batch}). Start over with a lower --lr-max and --no-resume."
            )
        return at.loss / max(1, at.batch)

    def _close_epoch(self) -> Row:
        """Validate, record the epoch and save it."""
        at, run, main = self.progress, self.run, self.session.processes.main
        row = self.task.row(
            epoch=at.epoch + 1,
            learning_rate=self.task.rate(at.epoch + 1 - 1 / run.batches),
            training_loss=self._mean_loss(),
            **self._validate(),
        )
        at.history.append(row)
        at.epoch, at.batch, at.loss = at.epoch + 1, 0, 0.0
        self._loss.zero_()
        self._save()  # before best.pt, which can be made again from it
        if main and best_row(at.history) is row:
            save_best(run.folder, run.digest, self.task.evaluated, at.epoch, run.trained_on)
            self._lost = None
        if main:
            self._write_metrics()
        return row

    def _validate(self) -> dict[str, float]:
        """Return the validation columns of the task's row; none without validation."""
        if not len(self.run.validation):
            return {}
        scores = [
            (self.task.scores(self._probabilities(without)), weight)
            for without, weight in self.task.validated
        ]
        total = sum(weight for _, weight in scores)
        return {
            name: sum(weight * columns[name] for columns, weight in scores) / total
            for name in scores[0][0]
        }

    def _probabilities(self, without: Modality | None) -> NDArray[np.float64]:
        """Return the probabilities of all validation samples, with or without a modality."""
        run, session, own = self.run, self.session, self._validated
        network = self.task.evaluated
        own = own if without is None else own.without(without)
        kwargs = {"batch_size": session.slice_size, "workers": session.workers}
        embeddings = None if own.image is None else self._embeddings
        if embeddings is None and own.image is not None:
            images = np.unique(own.image)
            embeddings = embed_images(network, run.source, images, **kwargs, device=session.device)
            if network.frozen_visual:
                self._embeddings = embeddings
        part = predict(
            network, run.source, own, **kwargs, device=session.device, embeddings=embeddings
        )
        probability = session.processes.gather(part, len(run.validation))
        if session.processes.main and not np.isfinite(probability).all():
            raise AvscError(
                f"{run.folder.path}: predictions are no longer finite after epoch "
                f"{self.progress.epoch + 1}. Start over with a lower --lr-max and --no-resume."
            )
        return probability

    def _write_metrics(self) -> None:
        folder = self.run.folder
        write_metrics(folder.metrics, self.progress.history, self.task.row, folder.publish)

    def _save(self) -> None:
        """Write last.pt."""
        run = self.run
        self._mean_loss()
        self.progress.scaler = self.update.state
        if self.session.processes.main:
            averaged = None if self.task.average is None else self.task.average.network
            save_last(run.folder, run.digest, self.network, self.optimiser, self.progress, averaged)
        self._saved = time.monotonic()


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """Return the seed of PyTorch's stream for one step."""
    state = np.random.SeedSequence((DROPOUT, seed, epoch, batch)).generate_state(1, np.uint64)
    return int(state[0])
