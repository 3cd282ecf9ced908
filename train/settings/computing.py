"""Settings of a run that say where, in which precision and in which pieces it computes."""

from dataclasses import dataclass
from typing import Literal

from avsc.train.settings.declared import CheckedSettings, setting


@dataclass(frozen=True, kw_only=True)
class ComputingSettings(CheckedSettings):
    """Where a run computes, and how it spares time and memory there; checked when made."""

    device: str = setting("auto", "auto, cpu, cuda, or cuda:N.", free=True)
    workers: int | None = setting(
        None,
        "Threads that prepare images; does not affect results.  [default: one per core]",
        least=0,
        free=True,
        belongs_to="views",
    )
    save_minutes: float = setting(
        10.0,
        "Minutes between checkpoints within an epoch; the end of an epoch is always saved.",
        above=0,
        free=True,
    )
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
