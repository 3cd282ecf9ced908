"""The settings of a run on labelled images (``avsc-fit places``), declared once."""

from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

from avsc.manifests.errors import SettingError
from avsc.train.settings.computing import ComputingSettings
from avsc.train.settings.declared import Presets, setting

FEW = 10_240
"""Training images below which weights that were learned are adapted: 40 batches of 256."""
RECIPES = Presets(
    "recipe",
    {
        "pretrain": {
            "batch_size": 256,
            "lr_max": 1e-2,
            "augment": "crop,flip",
            "head_images": 0,
            "batch_norm": "batch",
            "visual_stages": 0,
        },
        "adapt": {
            "batch_size": 32,
            "lr_max": 3e-4,
            "augment": "crop:0.5,flip",
            "head_images": FEW,
            "batch_norm": "kept",
            "visual_stages": 3,
        },
    },
)
"""The reasons are in docs/places.md."""


@dataclass(frozen=True, kw_only=True)
class PlacesSettings(ComputingSettings):
    """The settings of a run on labelled images; checked when made.

    The paper says no more than that its visual encoders were pre-trained on Places365. The recipe
    is ours; docs/places.md gives its reasons. In short: all of the backbone is fine-tuned from
    ImageNet by SGD (the paper's optimiser), over ten epochs with a short warm-up and one cosine
    decay of the learning rate, on random crops and mirrored images, with hard labels. To few
    images a model is adapted more cautiously.
    """

    presets: ClassVar[Presets] = RECIPES

    data: Path = setting(
        MISSING,
        "Folder of images: train/CLASS/*.jpg and val/CLASS/*.jpg, or Places365 as "
        "torchvision unpacks it.",
        free=True,
    )
    data_name: str | None = setting(
        None,
        "Name of the data set.  [default: Places365 in torchvision's layout, else the folder's]",
    )
    size: Literal["small", "large"] = setting(
        "small", "Which images of Places365: 256 x 256, or in their original size.", free=True
    )
    backbone: str = setting(
        "effnetv2-s", "Image model: effnetv2-s, resnet50, or any model of timm."
    )
    visual_weights: str = setting(
        "pretrained",
        "Initial weights of the image model: pretrained (on ImageNet), random, a file, "
        "or the folder of a run of places.",
    )
    image_size: int | None = setting(
        None, "Input height and width of the image model, pixels.  [default: its own]", least=1
    )
    view: Literal["crop", "squash"] = setting(
        "crop", "How validation images are resized: short side and centre crop, or squashed."
    )
    augment: str = setting(
        "auto",
        "Augmentation of training images: any of crop, crop:0.5 (at least half of the area), flip, "
        "jitter; or none; auto: by recipe, crop,flip or crop:0.5,flip.",
    )
    recipe: Literal["auto", "pretrain", "adapt"] = setting(
        "auto",
        "Values of several options, where they are not given: pretrain, for training on very many "
        "images; adapt, which changes a model little; auto: adapt where there are fewer than "
        f"{FEW:,} training images and --visual-weights are not random, else pretrain. {RECIPES}.",
        free=True,
        absent="pretrain",
    )
    head_images: int | None = setting(
        None,
        "Training images that the classification layer is fitted to, the model as it is, before "
        f"training; 0: none.  [default: by recipe, 0 or {FEW:,}]",
        least=0,
        absent=0,
    )
    batch_norm: Literal["auto", "batch", "kept"] = setting(
        "auto",
        "Statistics that the image model's batch normalisation uses in training: each batch's, or "
        "those that it starts with; auto: by recipe, the one or the other.",
        absent="batch",
    )
    visual_stages: int | None = setting(
        None,
        "Last stages of the image model that are trained; 0: all.  [default: by recipe, 0 or 3]",
        least=0,
        absent=0,
    )
    batch_size: int = setting(0, "Images per batch; 0: by recipe, 256 or 32.", least=0)
    epochs: int = setting(10, "Epochs to train.", least=1)
    lr_max: float = setting(0.0, "Highest learning rate; 0: by recipe, 0.01 or 0.0003.", least=0)
    visual_lr_factor: float = setting(
        1.0,
        "Learning rate of the image model relative to that of the classification layer.",
        above=0,
        absent=1.0,
    )
    lr_min: float = setting(1e-5, "Learning rate at the start and the end.", least=0)
    warmup: float = setting(0.25, "Warm-up epochs, in which the learning rate rises.", least=0)
    momentum: float = setting(0.9, "Momentum of SGD.", least=0, most=1)
    weight_decay: float = setting(
        1e-4, "Weight decay of the weights of linear layers and convolutions.", least=0
    )
    label_smoothing: float = setting(
        0.0, "Share of a label that is spread over all classes.", least=0, most=0.9
    )
    patience: int = setting(
        0,
        "Stop after this many epochs without improvement in validation; 0: never.",
        least=0,
        free=True,
    )
    seed: int = setting(0, "Random seed.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size == 1:
            raise SettingError("--batch-size is 1; wanted 2 or more, or 0 for the default.")
        if self.lr_min > self.lr_max > 0:
            raise SettingError(f"--lr-min is {self.lr_min:g}, above --lr-max, {self.lr_max:g}.")
        if self.warmup >= self.epochs:
            raise SettingError(
                f"--warmup is {self.warmup:g} epochs and --epochs is {self.epochs}: no epoch is "
                "left for the fall. Lower the one or raise the other."
            )

    def resolved(self, images: int, previous: Self | None) -> Self:
        """Return settings with a recipe, if they name none: that of so many training images.

        Args:
            previous: settings of the run that is resumed, which keeps its own.
        """
        if self.recipe != "auto":
            return self
        if previous is not None:
            kept = {name: getattr(previous, name) for name in RECIPES.unset(self)}
            return replace(self, recipe=previous.recipe, **kept)
        learned = self.visual_weights != "random"
        return replace(self, recipe="adapt" if learned and images < FEW else "pretrain")
