"""Every setting of a training run, declared once.

Defaults are the paper's (section 3.2 and Table 1); what the paper leaves open is chosen here and
stated in docs/choices.md. Besides help and limits, a field's metadata says:

    belongs_to   audio, visual (an encoder and its input: taken over from the run that the encoder
                 comes from), views (augmented images), pairs (these with audio), fused (audio and
                 visual input), dropped (either of them, lost in training), mixed (both, by
                 mixup) or tuned (an image model that is trained); a system without that part does
                 not depend on the setting
    absent       value that older runs, recorded before this setting existed, are taken to have
    free         a resumed run may change it: it affects no result, only where and how far the run
                 is computed and how often it is saved
"""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from avsc.features.specs import ACOUSTIC
from avsc.manifests.errors import SettingError
from avsc.train.settings.declared import option, setting
from avsc.train.settings.robust import RobustSettings
from avsc.train.settings.tuning import TuningSettings
from avsc.train.settings.validation import ValidationSettings
from avsc.train.systems import Modality, System

if TYPE_CHECKING:
    from avsc.train.data.mixup import Mixup
    from avsc.train.data.modality_dropout import ModalityDropout
    from avsc.train.data.time_shift import TimeShift


Validated = tuple[tuple[Modality | None, float], ...]
"""What is missing of validation samples, each time with its weight in the mean that is recorded."""


@dataclass(frozen=True, kw_only=True)
class Settings(TuningSettings, RobustSettings, ValidationSettings):
    """The settings of a run; checked when made."""

    store: Path = setting(Path("stores/TAU2021"), "Store made by avsc-prep extract.", free=True)
    feature: str = setting("scalogram", "Acoustic feature.", belongs_to="audio", choices=ACOUSTIC)
    concat: Literal["input", "all"] = setting(
        "input",
        "What the acoustic encoder concatenates with the output of its last block: its input, or "
        "its input and the outputs of all other blocks.",
        belongs_to="audio",
    )
    backbone: str = setting(
        "effnetv2-s",
        "Image model: effnetv2-s, resnet50, or any model of timm.",
        belongs_to="visual",
    )
    visual_weights: str = setting(
        "pretrained",
        "Initial weights of the image model: pretrained, random, or a file.",
        belongs_to="visual",
    )
    image_size: int | None = setting(
        None,
        "Input height and width of the image model, pixels.  [default: its own]",
        least=1,
        belongs_to="visual",
    )
    view: Literal["crop", "squash"] = setting(
        "crop",
        "How images that are not augmented are resized: short side and centre crop, or squashed.",
        belongs_to="visual",
    )
    augment: str = setting(
        "crop,flip,jitter",
        "Augmentation of training images: any of crop, flip, jitter; or none.",
        belongs_to="views",
    )
    acoustic_run: Path | None = setting(
        None,
        "Run to take a frozen acoustic encoder from, e.g. one of avsc-fit audio.",
        free=True,
    )
    visual_run: Path | None = setting(
        None, "Run to take the visual encoder from, instead of --visual-weights.", free=True
    )
    acoustic_embeddings: Path | None = setting(
        None,
        "HDF5 file of vectors from elsewhere, instead of an acoustic encoder's embeddings.",
        free=True,
        belongs_to="audio",
    )
    visual_embeddings: Path | None = setting(
        None,
        "HDF5 file of vectors from elsewhere, instead of a visual encoder's embeddings.",
        free=True,
        belongs_to="visual",
    )
    embeddings: Path | None = setting(
        None, "Folder of stored embeddings.  [default: STORE-embeddings]", free=True
    )
    batch_size: int = setting(256, "Samples per batch.", least=2)
    frames_per_image: str = setting(
        "1",
        "Acoustic frames of one image that share an augmented view of it within a batch: a number, "
        "or all; 1 is the paper's setting, and the slowest.",
        belongs_to="pairs",
        absent="1",
    )
    epochs: int = setting(150, "Epochs to train.", least=1, free=True)
    optimiser: Literal["sgd", "adam"] = setting("sgd", "Optimiser; --momentum applies to SGD only.")
    lr_max: float = setting(1e-2, "Learning rate after each warm restart.", above=0)
    lr_min: float = setting(1e-5, "Learning rate at the end of each cycle.", least=0)
    lr_period: int = setting(10, "Epochs in the first cycle of the learning rate.", least=1)
    lr_factor: int = setting(2, "Length of each cycle relative to the previous one.", least=1)
    momentum: float = setting(0.9, "Momentum of SGD.", least=0, most=1)
    weight_decay: float = setting(
        None, "Weight decay; 0 is the paper's setting.  [default: by --preset, 0 or 0.01]", least=0
    )
    dropout: float = setting(0.5, "Dropout probability of hidden units.", least=0, most=1)
    fusion_norm: Literal["none", "layer", "batch"] = setting(
        "none",
        "Normalise the embeddings of audio and image before they are joined: each over its "
        "features (layer), or each feature over the batch (batch); none is the paper's setting.",
        belongs_to="fused",
        absent="none",
    )
    shift: int = setting(
        0,
        "Seconds by which audio and image of a training sample are apart at most, within its clip; "
        "0 is the paper's setting.",
        belongs_to="fused",
        absent=0,
        least=0,
    )
    seed: int = setting(0, "Random seed.", least=0)
    compile: Literal["auto", "yes", "no"] = setting(
        "auto",
        "Compile the frozen image model with PyTorch, about a minute at the start; auto: on CUDA.",
        free=True,
        belongs_to="views",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr_min > self.lr_max:
            raise SettingError(
                f"--lr-min is {self.lr_min:g}, above --lr-max, which is {self.lr_max:g}; the "
                "learning rate falls from the one to the other."
            )
        _ = self.together
        if self.mixup and self.frames_per_image != "1":
            raise SettingError(
                f"--mixup is {self.mixup:g} and --frames-per-image is {self.frames_per_image}: "
                "each sample's image is mixed with another, so that none can share a view. Use "
                "only one of them."
            )
        if self.mixup and self.mixup_lambda == "separate" and self.unimodal_heads:
            raise SettingError(
                f"--mixup-lambda is separate and --unimodal-heads is {self.unimodal_heads:g}: a "
                "sample's label is the mean of those of its audio and its image, which is that of "
                "neither head. Use --mixup-lambda shared, or only one of them."
            )

    @property
    def together(self) -> int:
        """How many samples of an image share a view; for all, more than there can be."""
        text = self.frames_per_image
        if text == "all":
            return sys.maxsize
        if not text.isdecimal() or text.startswith("0"):
            raise SettingError(f"--frames-per-image is {text!r}; a number, 1 or more, or all.")
        return min(int(text), sys.maxsize)

    def chosen(self, system: System) -> System:
        """Return a system with its branches as these settings have them.

        Raises:
            SettingError: the system needs a run or a file that is not named, or takes none.
        """
        return system.chosen(
            {"audio": self.acoustic_run, "visual": self.visual_run},
            {"audio": self.acoustic_embeddings, "visual": self.visual_embeddings},
        )

    def dropout_of_modalities(self, system: System) -> "ModalityDropout | None":
        """Return how a system loses modalities in training; None where it does not."""
        if not self.modality_dropout or len(system.branches) < 2:
            return None
        from avsc.train.data.modality_dropout import ModalityDropout  # numpy is slow to import

        return ModalityDropout(self.modality_dropout, self.modality_dropout_epochs)

    def validated(self, system: System) -> Validated:
        """Return what validation samples lack, nothing first, each with its weight in the mean."""
        complete: tuple[Modality | None, float] = (None, 1.0)
        weight = self.validation_missing
        if not weight or self.dropout_of_modalities(system) is None:
            return (complete,)
        return (complete, ("audio", weight), ("visual", weight))

    def time_shift(self, system: System) -> "TimeShift | None":
        """Return how far audio and image are apart in training; None where they are not."""
        if not self.shift or len(system.branches) < 2:
            return None
        from avsc.train.data.time_shift import TimeShift

        return TimeShift(self.shift)

    def mixing(self, system: System, classes: int) -> "Mixup | None":
        """Return how samples of so many classes are mixed; None where they are not."""
        if not self.mixup:
            return None
        from avsc.train.data.mixup import Mixup  # torch is slow to import

        shared = self.mixup_lambda == "shared" or len(system.branches) < 2
        return Mixup(self.mixup, shared, classes)

    def identity(self, system: System) -> dict[str, Any]:
        """Return the settings that affect the results of a run of `system`, in JSON's types."""
        branches = self.chosen(system).branches
        encoded = {name for name, branch in branches.items() if branch.reads != "vectors"}
        taught = self.teacher is not None  # on audio and images, whatever the system itself reads
        views = branches["visual"].reads == "raw" if "visual" in branches else taught
        has = {
            "audio": "audio" in encoded,
            "visual": "visual" in encoded,
            "views": views,
            "pairs": views and ("audio" in branches or taught),
            "fused": len(branches) > 1,
            "tuned": "visual" in branches and views and branches["visual"].trained,
            "mixed": len(branches) > 1 and self.mixup > 0,
            "taught": taught,
            "dropped": self.dropout_of_modalities(system) is not None,
        }
        values = {**self.record(), "augment": ",".join(sorted(_names(self.augment)))}
        return {
            each.name: values[each.name]
            for each in fields(self)
            if not each.metadata.get("free")
            and has.get(each.metadata.get("belongs_to", ""), True)
            and values[each.name] != each.metadata.get("absent", values)
        }

    def without_effect(self, system: System) -> list[str]:
        """Return the options that change no result of a run of `system`, though they were to."""
        used = self.identity(system)
        return [
            option(each.name)
            for each in fields(self)
            if not each.metadata.get("free")
            and each.name not in used
            and getattr(self, each.name) not in (each.default, each.metadata.get("absent"))
        ]


def _names(listed: str) -> set[str]:
    """Return the names in a list, whose order means nothing."""
    return {name.strip() for name in listed.split(",")}
