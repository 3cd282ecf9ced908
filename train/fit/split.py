"""Which clips a run is trained on and which validated on.

The test fold is in neither part: only clips of the training fold, or of no fold in a set without
folds, are divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.split_methods import validation_rows
from avsc.train.settings import Settings


@dataclass(frozen=True)
class Parts:
    """Which clips are trained on and which validated on.

    Attributes:
        fold: rows of the training fold.
        training: those of them that are trained on.
        validation: those that are validated on.
        names: split.csv.
    """

    fold: list[int]
    training: list[int]
    validation: list[int]
    names: bytes


def training_fold(store: Store) -> list[int]:
    """Return the rows of the training fold; every row of a set without folds.

    Raises:
        AvscError: there are none.
    """
    rows = [row for row, clip in enumerate(store.clips) if clip.fold in ("train", None)]
    if not rows:
        raise AvscError(
            f"{store.path}: found {len(store.clips)} clips, none in the training fold. Wanted "
            "clips with fold 'train', or with no fold."
        )
    return rows


def divide(store: Store, settings: Settings) -> Parts:
    """Divide the training fold as the settings say.

    Raises:
        AvscError: there are no such clips, or they cannot be divided so.
    """
    fold = training_fold(store)
    held = validation_rows(
        store.clips,
        fold,
        settings.validation,
        settings.validation_fraction,
        settings.seed,
        settings.validation_file,
    )
    return Parts(fold, *held, encode_split(*([store.clips[row].id for row in h] for h in held)))


def samples(
    store: Store, source: Source, parts: Parts, settings: Settings
) -> tuple[Samples, Samples]:
    """Return the samples to train on and to validate on.

    Args:
        store: the store of the recordings.
        source: what the run reads of the training fold.
        parts: which clips are for what.
        settings: of the run.

    Raises:
        AvscError: a class has none.
    """
    training, validation = source.samples(parts.training), source.samples(parts.validation)
    _check_classes(store, training, "training")
    if parts.validation:
        strict = settings.protocol == "strict"
        counted = validation.take(validation.strict) if strict else validation
        _check_classes(store, counted, f"validation ({settings.validation}, {settings.protocol})")
    return training, validation


def _check_classes(store: Store, samples: Samples, part: str) -> None:
    count = np.bincount(samples.scene, minlength=len(store.classes))
    for name, number in zip(store.classes, count, strict=True):
        if number == 0:
            raise AvscError(
                f"{store.path}: class {name!r} has no {part} samples. Add clips of it, take it "
                "from the set, or choose another --validation (none trains without)."
            )


def encode_split(training: Sequence[str], validation: Sequence[str]) -> bytes:
    """Return the bytes of split.csv: ``clip,part``, ordered by clip."""
    parts = {**dict.fromkeys(training, "training"), **dict.fromkeys(validation, "validation")}
    rows = (f"{clip},{part}\n" for clip, part in sorted(parts.items()))
    return "".join(["clip,part\n", *rows]).encode()
