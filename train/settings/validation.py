"""Settings of what a run is validated and tested on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avsc.manifests.errors import SettingError
from avsc.train.settings.declared import CheckedSettings, setting

Validation = Literal["location", "random", "file", "none"]
"""How validation clips are chosen; see `avsc.train.fit.held_out`."""


@dataclass(frozen=True, kw_only=True)
class ValidationSettings(CheckedSettings):
    """What is held out of training to select the best epoch, and, with folds, to test it."""

    validation: Validation = setting(
        "location",
        "What is held out of the training fold to select the best epoch: whole locations, random "
        "clips, the clips listed in a file, or none.",
    )
    validation_fraction: float = setting(
        0.1, "Fraction of the training clips held out (location, random).", above=0, most=0.9
    )
    validation_file: Path | None = setting(
        None, "List of the clips held out (with --validation file).", free=True
    )
    protocol: Literal["strict", "centred"] = setting(
        "strict",
        "Acoustic frames that count for a second of validation: those whose window lies inside it, "
        "or those whose centre does.",
    )
    patience: int = setting(
        0,
        "Stop after this many epochs without improvement in validation; 0: never.",
        least=0,
        free=True,
    )
    folds: int = setting(
        0,
        "Cross-validate: train so many runs, each tested on another group of locations, which it "
        "does not see.  [default: one run, tested on the test fold]",
        absent=0,
        least=0,
    )
    fold_number: int = setting(
        0,
        "Train this one of the --folds, counted from 1.  [default: all, one after another]",
        absent=0,
        least=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.validation == "file") != (self.validation_file is not None):
            raise SettingError(
                f"--validation is {self.validation} and --validation-file is "
                f"{self.validation_file}; a file goes with --validation file, and only with it."
            )
        if self.validation == "none" and self.patience:
            raise SettingError(
                f"--patience is {self.patience}, but --validation none leaves nothing to judge "
                "epochs by; use only one of them."
            )
        if self.folds == 1:
            raise SettingError("--folds is 1; wanted 2 or more, or 0 for one run.")
        if self.fold_number > self.folds:
            raise SettingError(
                f"--fold-number is {self.fold_number}, and --folds is {self.folds}; it is one of "
                "them, counted from 1."
            )
