"""Training an image model on labelled pictures: its batches, its loss, its validation.

The network is that of `avsc.train.model.network` without sound, its visual encoder trained and one
linear layer for a classifier, so that checkpoints, embedding and prediction are those of every
other run. How epochs are run, saved and taken up again is in `avsc.train.fit.trainer`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avsc.train.data.augment import Augment
from avsc.train.data.batches import Batch, training_batches
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import Processes
from avsc.train.fit.history import Row
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.schedule import WarmCosine
from avsc.train.fit.trainer import Epochs, Plan
from avsc.train.model.inference import predict
from avsc.train.model.network import Network
from avsc.train.settings import PlacesSettings


@dataclass(frozen=True)
class PlacesRow(Row):
    """One epoch; validation accuracy is top-1.

    Attributes:
        validation_top5: share of pictures whose class is among the five most probable, 0 to 1.
    """

    validation_top5: float | None = None

    def summary(self) -> str:
        """Say the epoch in words."""
        assert self.validation_top5 is not None
        return f"{super().summary()} (top-5 {100 * self.validation_top5:.2f} %)"


@dataclass(frozen=True)
class PlacesRun:
    """What a run is made of.

    Attributes:
        folder: where it is kept.
        digest: of its record; checkpoints carry it.
        settings: of the run.
        source: the pictures.
        training: samples to train on.
        validation: samples to choose the best epoch by.
        device: where to compute.
        workers: threads that prepare pictures.
        batches: in an epoch.
        trained_on: name of the pictures; best.pt carries it.
        processes: those that train together.
    """

    folder: RunFolder
    digest: str
    settings: PlacesSettings
    source: Source
    training: Samples
    validation: Samples
    device: torch.device
    workers: int
    batches: int
    trained_on: str
    processes: Processes


class PlacesTraining(Epochs):
    """A run at work.

    Args:
        run: what it is made of.
        network: with its first weights.
        console: what it says its progress to.
    """

    def __init__(self, run: PlacesRun, network: Network, console: Console) -> None:
        settings = run.settings
        network = network.to(run.device)
        plan = Plan(
            folder=run.folder,
            digest=run.digest,
            seed=settings.seed,
            epochs=settings.epochs,
            batches=run.batches,
            patience=settings.patience,
            save_minutes=settings.save_minutes,
            device=run.device,
            rate=WarmCosine(
                settings.lr_max, settings.lr_min, settings.epochs, settings.warmup
            ).rate,
            row=PlacesRow,
            trained_on=run.trained_on,
            processes=run.processes,
        )
        optimiser = torch.optim.SGD(
            decayed(network, settings.weight_decay), lr=settings.lr_max, momentum=settings.momentum
        )
        super().__init__(plan, network, optimiser, console)
        self.run = run

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
            augment=Augment.named(run.settings.augment),
            workers=run.workers,
            device=run.device,
            shard=run.processes.shard,
        )

    def _loss_of(self, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(
            self.model(None, batch.images),
            batch.scene,
            label_smoothing=self.run.settings.label_smoothing,
        )

    def _validate(self) -> dict[str, float]:
        run, total = self.run, len(self.run.validation)
        part = predict(
            self.network,
            run.source,
            run.validation.take(run.processes.share(total)),
            batch_size=run.settings.batch_size,
            workers=run.workers,
            device=run.device,
        )
        probability = run.processes.gather(part, total)
        self._refuse_infinite(probability)
        return figures(probability, run.validation.scene)


def figures(probability: NDArray[np.float64], label: NDArray[np.int64]) -> dict[str, float]:
    """Return mean log-loss (nats), top-1 and top-5 of predictions, over pictures.

    Args:
        probability: of each class [pictures, classes].
        label: class index of each picture [pictures].
    """
    of_label = probability[np.arange(len(label)), label]
    above = (probability > of_label[:, None]).sum(1)
    ties = (probability == of_label[:, None]).sum(1) - 1
    rank = above + ties  # a tie counts against the label: equal probabilities tell nothing
    return {
        "validation_log_loss": float(-np.log(np.maximum(of_label, 1e-15)).mean()),
        "validation_accuracy": float((rank < 1).mean()),
        "validation_top5": float((rank < 5).mean()),
    }


def decayed(network: Network, decay: float) -> list[dict[str, object]]:
    """Part what is trained into weights, which decay, and biases and normalisation, which do not.

    Source: He et al., "Bag of tricks for image classification", CVPR 2019, section 3.1.
    """
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in network.trainable_parameters():
        parts[parameter.ndim > 1].append(parameter)
    return [
        {"params": parts[True], "weight_decay": decay},
        {"params": parts[False], "weight_decay": 0.0},
    ]
