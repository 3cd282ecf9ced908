"""What is trained: scenes from a store (section 3.2 of the paper), or classes of labelled images.

A `Run` says on what, a `Task` how: its network, optimiser, loss and scores. How epochs are trained,
saved and resumed is the same for all (`trainer`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError
from avsc.train.data.augment import ImageInput
from avsc.train.data.batches import batches_per_epoch
from avsc.train.data.mixup import Mixup
from avsc.train.data.modality_dropout import ModalityDropout
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.data.time_shift import TimeShift
from avsc.train.fit.compute import Session
from avsc.train.fit.history import Row
from avsc.train.fit.losses import Distillation, LabelLoss, Loss, SceneLoss
from avsc.train.fit.parameter_groups import Group, parameter_groups
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import ImagesRecord, RunRecord, SceneRecord
from avsc.train.fit.schedule import WarmCosine, WarmRestarts
from avsc.train.fit.weight_average import WeightAverage
from avsc.train.metrics import scores
from avsc.train.model.frozen import Backend, Compilation
from avsc.train.model.network import Network
from avsc.train.protocol import segments
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings, Validated

BACKEND: Backend = "inductor"
"""What compiles a frozen image model."""


@dataclass(frozen=True)
class Run:
    """What a run is made of.

    Attributes:
        folder: where it is kept.
        record: what it was made from, as its settings.json says.
        source: what the samples refer to.
        training: samples to train on.
        validation: samples to choose the best epoch by; none with ``--validation none``.
        distillation: from its teacher; None where there is none.
    """

    folder: RunFolder
    record: RunRecord
    source: Source
    training: Samples
    validation: Samples
    distillation: Distillation | None = None

    @property
    def settings(self) -> Settings | PlacesSettings:
        """The settings of the run."""
        return self.record.settings

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return self.record.classes

    @cached_property
    def digest(self) -> str:
        """Digest of the record's identity; checkpoints carry it."""
        return self.record.digest

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return batches_per_epoch(self.training, self.settings.batch_size)

    @property
    def trained_on(self) -> str | None:
        """Name of the labelled images, if the run is on such; best.pt carries it."""
        return self.record.pictures.name if isinstance(self.record, ImagesRecord) else None


@dataclass(frozen=True)
class Task:
    """How a network is trained.

    Attributes:
        network: with its initial weights, on the device that computes.
        optimiser: of the weights that are trained.
        rate: learning rate at a time, counted in epochs.
        loss: what a step minimises.
        scores: the validation columns of `row`, from the probabilities of the run's validation
            samples [samples, classes].
        row: what is recorded of an epoch.
        image_input: the images of training batches; None where there are none, or vectors instead.
        together: samples of one image that share a view of it.
        modality_dropout: how samples lose a modality; None where they do not.
        time_shift: how far audio and image are apart in training; None where they are not.
        mixup: how samples are mixed; None where they are not.
        average: of the network's weights, which is evaluated; None where they are themselves.
        validated: as `Settings.validated` has it.
    """

    network: Network
    optimiser: torch.optim.Optimizer
    rate: Callable[[float], float]
    loss: Loss
    scores: Callable[[NDArray[np.float64]], dict[str, float]]
    row: type[Row] = Row
    image_input: ImageInput | None = None
    together: int = 1
    modality_dropout: ModalityDropout | None = None
    time_shift: TimeShift | None = None
    mixup: Mixup | None = None
    average: WeightAverage | None = None
    validated: Validated = ((None, 1.0),)

    @property
    def evaluated(self) -> Network:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average.network


def make_task(run: Run, network: Network, session: Session) -> Task:
    """Return the task of a run.

    Args:
        run: what it is made of.
        network: with its initial weights and normalisation.
        session: what computes.

    Raises:
        AvscError: with ``--compile yes``, the image model cannot be compiled.
    """
    network = network.to(session.device)
    if run.settings.checkpoint_activations == "yes":
        network.recompute_visual()
    if isinstance(run.record, ImagesRecord):
        return _images_task(run.record.settings, run, network)
    assert isinstance(run.record, SceneRecord)
    settings = run.record.settings
    if settings.compile == "yes" or (settings.compile == "auto" and session.device.type == "cuda"):
        varying = settings.together > 1 and run.training.frame is not None
        batch = None if varying else session.slice_size
        compile_visual(network, session, batch, required=settings.compile == "yes")
    return _scene_task(run.record, run, network)


def compile_visual(
    network: Network, session: Session, batch: int | None, *, required: bool
) -> None:
    """Compile a frozen image model and try it on one batch, so that a run fails now or never.

    Args:
        network: on the session's device; left as it was where PyTorch cannot compile.
        session: what computes; its console is told why not.
        batch: images that the model sees at a time; None where their number varies.
        required: raise an error then.

    Raises:
        AvscError: it cannot be compiled, and is `required` to be.
    """
    image_input = network.image_input
    if image_input is None or not network.frozen_visual:
        return
    shape = (session.slice_size, 3, image_input.size, image_input.size)
    network.compile_visual(Compilation(BACKEND, batch))
    try:
        network.embed_images(torch.zeros(shape, device=session.device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a missing or broken compiler leads to
        network.compile_visual(None)
        cause: BaseException = error
        while (further := cause.__cause__ or cause.__context__) is not None:
            cause = further
        why = f"{type(cause).__name__}: {next(iter(str(cause).splitlines()), '')}"
        text = f"PyTorch cannot compile the image model here ({why})"
        if required:
            raise AvscError(f"{text}. Install gcc, or omit --compile yes.") from error
        session.console.say(f"compile: {text}; it computes uncompiled, slower. Install gcc.")


def _scene_task(record: SceneRecord, run: Run, network: Network) -> Task:
    """Cross-entropy, by SGD with cosine annealing and warm restarts; scored as the challenge."""
    settings = record.settings
    schedule = WarmRestarts(
        settings.lr_max, settings.lr_min, settings.lr_period, settings.lr_factor
    )

    image_input = network.image_input
    if run.distillation is not None:
        teacher = run.distillation.teacher.to(next(network.parameters()).device)
        image_input = image_input or teacher.image_input

    def validation_scores(probability: NDArray[np.float64]) -> dict[str, float]:
        total = scores(segments(probability, run.validation, settings.protocol), run.classes)
        return {"validation_log_loss": total.log_loss, "validation_accuracy": total.accuracy}

    decay = settings.weight_average
    return Task(
        network,
        _optimiser(settings, parameter_groups(network, settings.visual_lr_factor)),
        schedule.rate,
        SceneLoss(settings.unimodal_heads, run.distillation),
        validation_scores,
        image_input=image_input,
        together=settings.together,
        modality_dropout=settings.dropout_of_modalities(record.system),
        time_shift=settings.time_shift(record.system),
        mixup=settings.mixing(record.system, len(record.classes)),
        average=WeightAverage(network, decay) if decay else None,
        validated=settings.validated(record.system),
    )


def _optimiser(settings: Settings, groups: list[Group]) -> torch.optim.Optimizer:
    rate, decay = settings.lr_max, settings.weight_decay
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, lr=rate, weight_decay=decay)
    return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, weight_decay=decay)


@dataclass(frozen=True)
class ImagesRow(Row):
    """One epoch on labelled images; validation accuracy is top-1.

    Attributes:
        validation_top5: share of images whose class is among the five most probable, 0 to 1.
    """

    validation_top5: float | None = None

    def summary(self) -> str:
        """Say the epoch in words."""
        assert self.validation_top5 is not None
        return f"{super().summary()} (top-5 {100 * self.validation_top5:.2f} %)"


def _images_task(settings: PlacesSettings, run: Run, network: Network) -> Task:
    """Cross-entropy with label smoothing, by SGD with a warm-up and one cosine decay."""
    return Task(
        network,
        torch.optim.SGD(
            parameter_groups(network, settings.visual_lr_factor, settings.weight_decay),
            lr=settings.lr_max,
            momentum=settings.momentum,
        ),
        WarmCosine(settings.lr_max, settings.lr_min, settings.epochs, settings.warmup).rate,
        LabelLoss(settings.label_smoothing),
        lambda probability: top_scores(probability, run.validation.scene),
        ImagesRow,
        network.image_input,
    )


def top_scores(probability: NDArray[np.float64], label: NDArray[np.int64]) -> dict[str, float]:
    """Return mean log-loss (nats), top-1 and top-5 accuracy over images.

    Args:
        probability: of each class [images, classes].
        label: class index of each image [images].
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
