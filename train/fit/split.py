"""The split of a run: which clips it is trained on, validated on and, with folds, tested on.

Made here (`make_split`), written as split.csv (`encode_split`) and read again (`part_clips`,
`fold_rows`). Only clips of the training fold, or of no fold in a set without folds, are split; the
test fold is never looked at. `held_out` says by which methods. With ``--folds`` a group of
locations is taken from them first, for test.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.held_out import location_groups, validation_rows
from avsc.train.fit.trained_run import RecordedRun, Trained
from avsc.train.settings.scenes import Settings

PARTS = {"train": "training", "validation": "validation", "test": "test"}
"""What split.csv calls the parts of the training fold, by what ``--fold`` calls them."""


@dataclass(frozen=True)
class Split:
    """Which clips are trained on and which validated on, as rows of the clip table, ascending.

    Attributes:
        fold: the training fold, without the test clips of a run with folds.
        training: those of it that are trained on.
        validation: those that are validated on.
        test: those that are tested on, of a run with folds; else empty.
        csv: split.csv.
    """

    fold: list[int]
    training: list[int]
    validation: list[int]
    test: list[int]
    csv: bytes


def make_split(store: Store, settings: Settings) -> Split:
    """Split the training fold as the settings say.

    Raises:
        AvscError: there are no such clips, or they cannot be split so.
    """
    fold = [row for row, clip in enumerate(store.clips) if clip.fold in ("train", None)]
    if not fold:
        raise AvscError(
            f"{store.path}: found {len(store.clips)} clips, none in the training fold. Wanted "
            "clips with fold 'train', or with no fold."
        )
    test: list[int] = []
    if settings.folds:
        if not settings.fold_number:
            raise SettingError("--fold-number is 0; a run is one of the --folds, counted from 1.")
        groups = location_groups(store.clips, fold, settings.folds, settings.seed)
        test = groups[settings.fold_number - 1]
        fold = sorted(set(fold) - set(test))
    parts = (
        *validation_rows(
            store.clips,
            fold,
            settings.validation,
            settings.validation_fraction,
            settings.seed,
            settings.validation_file,
        ),
        test,
    )
    return Split(fold, *parts, encode_split(*([store.clips[row].id for row in p] for p in parts)))


def split_samples(
    store: Store, sources: tuple[Source, Source], split: Split, settings: Settings
) -> tuple[Samples, Samples]:
    """Return the samples to train on and to validate on.

    Args:
        store: the store of the recordings.
        sources: what is read of the training fold to train on, and to validate on.

    Raises:
        AvscError: a class has none.
    """
    parts = (split.training, split.validation)
    training, validation = (
        source.samples(rows) for source, rows in zip(sources, parts, strict=True)
    )
    _check_classes(store, training, "training")
    if split.validation:
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


def encode_split(
    training: Sequence[str], validation: Sequence[str], test: Sequence[str] = ()
) -> bytes:
    """Return the bytes of split.csv: ``clip,part``, ordered by clip."""
    named = zip((training, validation, test), PARTS.values(), strict=True)
    parts = {clip: part for clips, part in named for clip in clips}
    rows = (f"{clip},{part}\n" for clip, part in sorted(parts.items()))
    return "".join(["clip,part\n", *rows]).encode()


def part_clips(trained: RecordedRun, part: str) -> list[str]:
    """Return the clips of a part of a run's split.csv: ``training``, ``validation``, ``test``.

    Raises:
        AvscError: there are none, or the file is not the run's.
    """
    path = trained.folder.split
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != trained.record.split:
        raise AvscError(
            f"{path}: its content is not the split that settings.json names. "
            "Put the file back, or evaluate --fold test."
        )
    # An id is written as it is, without the quotes of CSV, and may hold commas; a part has none.
    rows = (line.rpartition(",") for line in content.decode().split("\n"))
    names = [clip for clip, _, mine in rows if mine == part]
    if not names:
        raise AvscError(
            f"{path}: the run kept no clips for {part} (--validation none). Evaluate another fold."
        )
    return names


def fold_rows(store: Store, trained: Trained, fold: str) -> list[int]:
    """Return the rows of a fold's clips in the store's clip table.

    Raises:
        AvscError: it has none, the store lacks one of them, or split.csv is not the run's.
    """
    if fold == "test" and not trained.record.settings.folds:
        rows = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
        if not rows:
            raise AvscError(
                f"{store.path}: none of its {len(store.clips)} clips is in the test fold. Give "
                "the manifest a column fold, or evaluate on other clips by --fold."
            )
        return rows
    names = part_clips(trained, PARTS[fold])
    row_of = {clip.id: row for row, clip in enumerate(store.clips)}
    lost = [name for name in names if name not in row_of]
    if lost:
        raise AvscError(
            f"{store.path}: it lacks {len(lost)} of the {len(names)} clips of the run's {fold} "
            f"part, {lost[0]!r} first. Name the store that the run was trained on by --store."
        )
    return [row_of[name] for name in names]


def named_among(store: Store, rows: Sequence[int], names: Collection[str]) -> list[str]:
    """Return the ids of those clips in some rows of a store that have one of the names."""
    return [name for row in rows if (name := store.clips[row].id) in names]


def check_unseen(run: RecordedRun, named: str, store: Store, split: Split) -> None:
    """Raise an `AvscError` if a run has seen clips that another one is tested on.

    Args:
        run: from which the other one takes something.
        named: what the error calls it.
        store: of the other one.
        split: of the other one.
    """
    test = [row for row, clip in enumerate(store.clips) if clip.fold == "test"]
    parts = {
        f"clips of {store.path}'s test fold": (test, "run on this store"),
        "clips that this fold is tested on": (
            split.test,
            "cross-validation with the same --folds and --seed",
        ),
    }
    seen = set(part_clips(run, "training"))
    if run.record.settings.validation != "none":
        seen.update(part_clips(run, "validation"))
    for part, (rows, another) in parts.items():
        if known := named_among(store, rows, seen):
            raise AvscError(
                f"{named}: trained or validated on {len(known)} of the {len(rows)} "
                f"{part}, {known[0]!r} first, so that no result there would be valid. Name a "
                f"{another}."
            )
