"""Settings of systems that hold when a modality is missing; all are off in the paper's systems."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from avsc.train.settings.declared import CheckedSettings, Presets, setting

PRESETS = Presets(
    "preset",
    {
        "none": {
            "modality_dropout": 0.0,
            "unimodal_heads": 0.0,
            "validation_missing": 0.0,
            "weight_average": 0.0,
            "weight_decay": 0.0,
        },
        "robust": {
            "modality_dropout": 0.5,
            "unimodal_heads": 1.0,
            "validation_missing": 1.0,
            "weight_average": 0.0,
            "weight_decay": 0.0,
        },
        "robust-small": {
            "modality_dropout": 0.3,
            "unimodal_heads": 0.3,
            "validation_missing": 1.0,
            "weight_average": 0.99,
            "weight_decay": 0.01,
        },
    },
)
"""None is the paper's; the others have the values that won on validation (docs/decisions/0021 and,
for small training sets, 0032)."""


@dataclass(frozen=True, kw_only=True)
class RobustSettings(CheckedSettings):
    """A part of `avsc.train.settings.scenes.Settings`; its docstring explains the metadata."""

    presets: ClassVar[Presets] = PRESETS

    preset: Literal["none", "robust", "robust-small"] = setting(
        "none",
        "Values of several options, where they are not given; robust for systems that hold when a "
        "modality is missing, robust-small for the same where training clips are so few that a "
        f"classifier memorises them: {PRESETS}.",
        absent="none",
        free=True,
    )
    modality_dropout: float = setting(
        None,
        "Probability that a training sample loses its audio or its image, in whose place the "
        "system learns a vector, so that it can be used without either; 0 is the paper's setting.  "
        "[default: by --preset, 0, 0.5 or 0.3]",
        belongs_to="dropped",
        absent=0.0,
        least=0,
        most=1,
    )
    modality_dropout_epochs: int = setting(
        10,
        "Epochs in which --modality-dropout rises from 0.",
        belongs_to="dropped",
        least=0,
    )
    validation_missing: float = setting(
        None,
        "Weight of validation without audio, and of that without images, beside that on complete "
        "clips, where the best epoch is selected by their mean; 0: by complete clips alone.  "
        "[default: by --preset, 0 or 1]",
        belongs_to="dropped",
        absent=0.0,
        least=0,
    )
    unimodal_heads: float = setting(
        None,
        "Weight of the losses of two more classifiers, of audio and of images alone, that are "
        "trained beside that of both; 0 is the paper's setting, without them.  [default: by "
        "--preset, 0, 1 or 0.3]",
        belongs_to="fused",
        absent=0.0,
        least=0,
    )
    teacher: Path | None = setting(
        None,
        "Run whose probabilities for the complete view teach samples that lack a modality, by "
        "--modality-dropout or because the system does not take it.",
        free=True,
    )
    teacher_temperature: float = setting(
        2.0,
        "Temperature of the probabilities of --teacher, and of those that they teach.",
        belongs_to="taught",
        above=0,
    )
    teacher_weight: float = setting(
        0.5,
        "Weight of --teacher in the loss of the samples that it teaches; the labels have the rest.",
        belongs_to="taught",
        above=0,
        most=1,
    )
