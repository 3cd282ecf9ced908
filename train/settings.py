"""Every setting of a training run, declared once (see `declared`).

Defaults are the paper's (section 3.2 and Table 1); what the paper leaves open is chosen here and
stated in docs/choices.md.

Each field's metadata says, besides its help and limits, which part of a system it belongs to
(``part``: ``sound`` and ``pictures``, the two encoders and what they are shown, which a run whose
encoder was taken from another run has from there; ``views``, training pictures; ``pairs``, these
with sound; a run without that part does not depend on it), the value at which runs are as they were
before there was the setting (``absent``), and whether a run that goes on may change it (``free``):
such a setting does not change a run's numbers, only where they are computed, how often they are
saved, or how far they are taken.
"""

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from avsc.manifests.errors import SettingError
from avsc.train.declared import Declared, setting
from avsc.train.systems import Branch, System


@dataclass(frozen=True, kw_only=True)
class Settings(Declared):
    """The settings of a run; checked when made."""

    store: Path = setting(  # noqa: RUF009 (it calls dataclasses.field)
        Path("stores/TAU2021"), "Store made by avsc-prep extract.", free=True
    )
    feature: Literal["scalogram", "fbank"] = setting("scalogram", "Acoustic feature.", part="sound")
    concat: Literal["input", "all"] = setting(
        "input",
        "What the acoustic encoder's first linear layer sees beside its last block: its input, or "
        "its input and all other blocks.",
        part="sound",
    )
    backbone: str = setting(
        "effnetv2-s", "Image model: effnetv2-s, resnet50, or a name of timm's.", part="pictures"
    )
    visual_weights: str = setting(
        "pretrained",
        "First weights of the image model: pretrained, random, or a file.",
        part="pictures",
    )
    image_size: int | None = setting(
        None,
        "Height and width that the image model sees, pixels.  [default: its own]",
        least=1,
        part="pictures",
    )
    view: Literal["crop", "squash"] = setting(
        "crop", "How pictures that are not augmented are brought to that size.", part="pictures"
    )
    augment: str = setting(
        "crop,flip,jitter",
        "Augmentation of training pictures: any of crop, flip, jitter; or none.",
        part="views",
    )
    acoustic_run: Path | None = setting(  # noqa: RUF009 (as above)
        None, "Run that a frozen acoustic encoder is taken from, as avsc-fit audio made it.",
        free=True,
    )  # fmt: skip
    visual_run: Path | None = setting(  # noqa: RUF009 (as above)
        None, "Run that the visual encoder is taken from, in place of --visual-weights.", free=True
    )
    acoustic_embeddings: Path | None = setting(  # noqa: RUF009 (as above)
        None,
        "HDF5 file of vectors from elsewhere, in place of an acoustic encoder's embeddings.",
        free=True,
        part="sound",
    )
    visual_embeddings: Path | None = setting(  # noqa: RUF009 (as above)
        None,
        "HDF5 file of vectors from elsewhere, in place of a visual encoder's embeddings.",
        free=True,
        part="pictures",
    )
    embeddings: Path | None = setting(  # noqa: RUF009 (as above)
        None, "Folder that stored embeddings are kept in.  [default: STORE-embeddings]", free=True
    )
    batch_size: int = setting(256, "Samples in a batch.", least=2)
    frames_per_image: str = setting(
        "1",
        "Acoustic frames of a picture that share one augmented view of it in a batch: a number, or "
        "all; 1 is the paper's, and slowest.",
        part="pairs",
        absent="1",
    )
    epochs: int = setting(150, "Epochs to train.", least=1, free=True)
    optimiser: Literal["sgd", "adam"] = setting(
        "sgd", "Rule by which weights are updated; momentum is SGD's alone."
    )
    lr_max: float = setting(1e-2, "Learning rate after each restart.", above=0)
    lr_min: float = setting(1e-5, "Learning rate that each cycle ends at.", least=0)
    lr_period: int = setting(10, "Epochs in the first cycle of the learning rate.", least=1)
    lr_factor: int = setting(2, "How many times as long each cycle is as the last.", least=1)
    momentum: float = setting(0.9, "Momentum of SGD.", least=0, most=1)
    weight_decay: float = setting(0.0, "Weight decay.", least=0)
    dropout: float = setting(0.5, "Probability of dropping a hidden unit.", least=0, most=1)
    validation: Literal["location", "random", "file", "none"] = setting(
        "location",
        "What is kept of the training fold to choose the best epoch by: whole locations, random "
        "clips, the clips that a file lists, or none.",
    )
    validation_fraction: float = setting(
        0.1, "Share of the training clips kept (location, random).", above=0, most=0.9
    )
    validation_file: Path | None = setting(  # noqa: RUF009 (as above)
        None, "List of the clips kept (with --validation file).", free=True
    )
    protocol: Literal["strict", "centred"] = setting(
        "strict",
        "Frames that count for a second in validation: windows wholly inside it, or centred in it.",
    )
    patience: int = setting(
        0, "Stop after so many epochs without a better validation; 0: never.", least=0, free=True
    )
    seed: int = setting(0, "Seed of all that is random.", least=0)
    device: str = setting("auto", "auto, cpu, cuda, or cuda:N.", free=True)
    workers: int | None = setting(
        None,
        "Threads that prepare pictures; changes no result.  [default: one a core]",
        least=0,
        free=True,
        part="views",
    )
    compile: Literal["auto", "yes", "no"] = setting(
        "auto",
        "Let PyTorch compile the frozen image model, which takes a minute at first; auto: on CUDA.",
        free=True,
        part="views",
    )
    save_minutes: float = setting(
        10.0, "Minutes between saves within an epoch; every epoch's end is saved.", above=0,
        free=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr_min > self.lr_max:
            raise SettingError(
                f"--lr-min is {self.lr_min:g}, above --lr-max, which is {self.lr_max:g}; the "
                "learning rate falls from the one to the other."
            )
        _ = self.together
        if (self.validation == "file") != (self.validation_file is not None):
            raise SettingError(
                f"--validation is {self.validation} and --validation-file is "
                f"{self.validation_file}; a file goes with --validation file, and with it alone."
            )
        if self.validation == "none" and self.patience:
            raise SettingError(
                f"--patience is {self.patience}, but --validation none leaves nothing to judge "
                "an epoch by; give one of the others."
            )

    @property
    def together(self) -> int:
        """How many samples of a picture share a view; more than there can be for all of them."""
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
        branches = (
            _branch(system, system.sound, "acoustic", self.acoustic_run, self.acoustic_embeddings),
            _branch(system, system.pictures, "visual", self.visual_run, self.visual_embeddings),
        )
        return replace(system, sound=branches[0], pictures=branches[1])

    def numbers(self, system: System) -> dict[str, Any]:
        """Return the settings that the numbers of a run of `system` depend on, in JSON's types."""
        sound, pictures = self.chosen(system).sound, self.chosen(system).pictures
        parts = {
            "sound": sound is not None and sound.reads != "vectors",
            "pictures": pictures is not None and pictures.reads != "vectors",
            "views": pictures is not None and pictures.reads == "raw",
        }
        parts["pairs"] = parts["views"] and sound is not None
        values = {**self.record(), "augment": ",".join(sorted(_parts(self.augment)))}
        return {
            each.name: values[each.name]
            for each in fields(self)
            if not each.metadata.get("free")
            and parts.get(each.metadata.get("part", ""), True)
            and values[each.name] != each.metadata.get("absent", values)
        }


def _parts(names: str) -> set[str]:
    """Return the names in a list, whose order means nothing."""
    return {name.strip() for name in names.split(",")}


def _branch(
    system: System, branch: Branch | None, sense: str, run: Path | None, file: Path | None
) -> Branch | None:
    """Return a branch as the run and the file that are named have it."""
    if branch is None:
        return None
    if file is not None:
        if branch.reads == "raw":
            raise SettingError(
                f"--{sense}-embeddings is {file}, but {system.name} computes its {sense} "
                "embeddings itself. Leave it away, or train a system that reads stored ones "
                "(pipeline, ablation-2, baseline)."
            )
        if branch.reads == "embeddings":
            if run is not None:
                raise SettingError(
                    f"--{sense}-embeddings is {file} and --{sense}-run is {run}: the embeddings "
                    "come from the one or the other; leave one away."
                )
            return Branch(None, "vectors")
    if run is None:
        _check_named(system, branch, sense, file)
        return branch
    if branch.start == "fresh":
        raise SettingError(
            f"--{sense}-run is {run}, but {system.name} trains its {sense} encoder from the "
            f"start. Leave it away, or train a system that takes one (pipeline, ablation-3)."
        )
    return replace(branch, start="run")


def _check_named(system: System, branch: Branch, sense: str, file: Path | None) -> None:
    """Raise a `SettingError` if a branch needs a run or a file and none is named."""
    maker = {"acoustic": "audio", "visual": "video"}[sense]
    if branch.start == "run":
        maker = f"baseline-{maker}" if branch.reads == "vectors" else maker
        raise SettingError(
            f"{system.name} takes its {sense} encoder from a run that was trained before, and "
            f"none is named. Name it by --{sense}-run; `avsc-fit {maker}` makes one."
        )
    if branch.reads == "vectors" and file is None:
        raise SettingError(
            f"{system.name} reads {sense} vectors from elsewhere, and no file is named. Name it by "
            f"--{sense}-embeddings; docs/systems.md says what it holds."
        )
