"""Settings of systems that hold when a modality is missing; all are off in the paper's systems."""

from dataclasses import dataclass

from avsc.train.checked_settings import CheckedSettings, setting


@dataclass(frozen=True, kw_only=True)
class RobustSettings(CheckedSettings):
    """A part of `avsc.train.settings.Settings`, whose docstring says what the metadata mean."""

    modality_dropout: float = setting(
        0.0,
        "Probability that a training sample loses its audio or its image, in whose place the "
        "system learns a vector, so that it can be used without either; 0 is the paper's setting.",
        belongs_to="dropped",
        least=0,
        most=1,
    )
    modality_dropout_epochs: int = setting(
        10,
        "Epochs in which --modality-dropout rises from 0.",
        belongs_to="dropped",
        least=0,
    )
    unimodal_heads: float = setting(
        0.0,
        "Weight of the losses of two more classifiers, of audio and of images alone, that are "
        "trained beside that of both; 0 is the paper's setting, without them.",
        belongs_to="fused",
        absent=0.0,
        least=0,
    )
