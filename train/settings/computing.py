"""Settings of a run that say in which precision and in which pieces it computes."""

from dataclasses import dataclass
from typing import Literal

from avsc.train.settings.declared import CheckedSettings, setting


@dataclass(frozen=True, kw_only=True)
class ComputingSettings(CheckedSettings):
    """For GPUs that are fast in 16 bits or short of memory; checked when made."""

    accumulate: int = setting(
        1,
        "Slices in which a batch is computed, one after the other, to save memory.",
        absent=1,
        least=1,
    )
    checkpoint_activations: Literal["no", "yes"] = setting(
        "no",
        "Keep only what enters each block of an image model that is trained, and compute the rest "
        "again in the backward pass: a third more time, a fraction of the memory.",
        belongs_to="views",
        free=True,
    )
    precision: Literal["auto", "float32"] = setting(
        "auto",
        "What the image model computes in on a GPU: auto, the 16-bit type that its matrix units "
        "multiply; or float32, as on a CPU.",
        belongs_to="views",
        absent="auto",
    )
