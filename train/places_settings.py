"""The settings of a training run on labelled pictures.

The paper says that its visual encoders were pre-trained on Places365 and no more. The recipe here
is ours; docs/places.md gives its reasons. In short: all of the backbone is fine-tuned from ImageNet
by SGD (the paper's optimiser), as many pictures a batch as everywhere, over ten epochs with a short
rise and one cosine fall of the learning rate, on random crops and mirrored pictures, with hard
labels.
"""

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Literal

from avsc.manifests.errors import SettingError
from avsc.train.declared import Declared, setting


@dataclass(frozen=True, kw_only=True)
class PlacesSettings(Declared):
    """The settings of a run; checked when made."""

    data: Path = setting(  # noqa: RUF009 (it calls dataclasses.field)
        MISSING, "Folder of the pictures: train/CLASS/*.jpg and val/CLASS/*.jpg, or Places365 as "
        "torchvision unpacks it.", free=True,
    )  # fmt: skip
    data_name: str | None = setting(
        None, "Name of the pictures.  [default: Places365 in torchvision's layout, else the "
        "folder's]",
    )  # fmt: skip
    size: Literal["small", "large"] = setting(
        "small", "Which pictures of Places365: 256 x 256, or as they were found.", free=True
    )
    backbone: str = setting("effnetv2-s", "Image model: effnetv2-s, resnet50, or a name of timm's.")
    visual_weights: str = setting(
        "pretrained", "First weights of the image model: pretrained (on ImageNet), random, a file, "
        "or the folder of a run of places.",
    )  # fmt: skip
    image_size: int | None = setting(
        None, "Height and width that the image model sees, pixels.  [default: its own]", least=1
    )
    view: Literal["crop", "squash"] = setting(
        "crop", "How validation pictures are brought to that size."
    )
    augment: str = setting(
        "crop,flip", "Augmentation of training pictures: any of crop, flip, jitter; or none."
    )
    batch_size: int = setting(256, "Pictures in a batch.", least=2)
    epochs: int = setting(10, "Epochs to train.", least=1)
    lr_max: float = setting(1e-2, "Highest learning rate.", above=0)
    lr_min: float = setting(1e-5, "Learning rate at the beginning and the end.", least=0)
    warmup: float = setting(0.25, "Epochs in which the learning rate rises.", least=0)
    momentum: float = setting(0.9, "Momentum of SGD.", least=0, most=1)
    weight_decay: float = setting(
        1e-4, "Weight decay of the weights of linear layers and convolutions.", least=0
    )
    label_smoothing: float = setting(
        0.0, "Share of a label that is spread over all classes.", least=0, most=0.9
    )
    patience: int = setting(
        0, "Stop after so many epochs without a better validation; 0: never.", least=0, free=True
    )
    seed: int = setting(0, "Seed of all that is random.", least=0)
    device: str = setting("auto", "auto, cpu, cuda, or cuda:N.", free=True)
    workers: int | None = setting(
        None, "Threads that prepare pictures; changes no result.  [default: one a core]", least=0,
        free=True,
    )  # fmt: skip
    save_minutes: float = setting(
        10.0, "Minutes between saves within an epoch; every epoch's end is saved.", above=0,
        free=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr_min > self.lr_max:
            raise SettingError(f"--lr-min is {self.lr_min:g}, above --lr-max, {self.lr_max:g}.")
        if self.warmup >= self.epochs:
            raise SettingError(
                f"--warmup is {self.warmup:g} epochs and --epochs is {self.epochs}: no epoch is "
                "left for the fall. Lower the one or raise the other."
            )
