"""The training of every system: its batches, its loss, its validation.

Source: section 3.2 of the paper: SGD with cosine annealing and warm restarts, batches of 256, at
most 150 epochs, the model with the best validation loss retained. How epochs are run, saved and
taken up again is in `trainer`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from avsc.train.data.augment import Augment
from avsc.train.data.batches import Batch, training_batches
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.schedule import WarmRestarts
from avsc.train.fit.trainer import Epochs, Plan
from avsc.train.metrics import scores
from avsc.train.model.inference import embed_images, predict
from avsc.train.model.network import Network
from avsc.train.protocol import segments
from avsc.train.settings import Settings


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
        processes: those that train together.
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
    processes: Processes = ALONE


class Training(Epochs):
    """A system's run at work.

    Args:
        run: what it is made of.
        network: with its first weights and its normalisation.
        console: what it says its progress to.
    """

    def __init__(self, run: Run, network: Network, console: Console) -> None:
        settings = run.settings
        network = network.to(run.device)
        if settings.compile == "yes" or (settings.compile == "auto" and run.device.type == "cuda"):
            network.compile_visual()
        schedule = WarmRestarts(
            settings.lr_max, settings.lr_min, settings.lr_period, settings.lr_factor
        )
        plan = Plan(
            folder=run.folder,
            digest=run.digest,
            seed=settings.seed,
            epochs=settings.epochs,
            batches=run.batches,
            patience=settings.patience,
            save_minutes=settings.save_minutes,
            device=run.device,
            rate=schedule.rate,
            processes=run.processes,
        )
        super().__init__(
            plan, network, _optimiser(settings, network.trainable_parameters()), console
        )
        self.run = run
        self._validated = run.validation.take(run.processes.share(len(run.validation)))
        self._embeddings: Tensor | None = None

    def _batches(self) -> Iterator[Batch]:
        run = self.run
        return training_batches(
            run.source,
            run.training,
            batch_size=run.settings.batch_size,
            seed=run.settings.seed,
            epoch=self.progress.epoch,
            start_batch=self.progress.batch,
            image_input=self.network.image_input,
            augment=run.augment,
            workers=run.workers,
            device=run.device,
            shard=run.processes.shard,
            together=run.settings.together,
        )

    def _loss_of(self, batch: Batch) -> Tensor:
        logits = self.model(batch.acoustic, batch.images, batch.view)
        return nn.functional.cross_entropy(logits, batch.scene)

    def _validate(self) -> dict[str, float]:
        """Return the official metric of the validation samples."""
        run, own = self.run, self._validated
        if not len(run.validation):
            return {}
        how = {"batch_size": run.settings.batch_size, "workers": run.workers}
        embeddings = self._embeddings
        if embeddings is None and own.image is not None:
            pictures = np.unique(own.image)
            embeddings = embed_images(self.network, run.source, pictures, **how, device=run.device)
            if self.network.frozen_visual:
                self._embeddings = embeddings
        part = predict(
            self.network, run.source, own, **how, device=run.device, embeddings=embeddings
        )
        probability = run.processes.gather(part, len(run.validation))
        self._refuse_infinite(probability)
        found = scores(segments(probability, run.validation, run.settings.protocol), run.classes)
        return {"validation_log_loss": found.log_loss, "validation_accuracy": found.accuracy}


def _optimiser(settings: Settings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the rule that the settings name, over some parameters."""
    rate, decay = settings.lr_max, settings.weight_decay
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
