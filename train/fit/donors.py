"""Encoders that a run is given by another run, and whether they suit it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from torch import nn

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.fit.console import Console
from avsc.train.fit.folds import part_clips
from avsc.train.fit.run_record import EncoderMark
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.model import acoustic, baseline
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import digest
from avsc.train.settings import Settings
from avsc.train.systems import ENCODER, Branch, Modality, System, trained_alone


@dataclass(frozen=True)
class Taken:
    """An encoder out of a run, with the weights of its best epoch.

    Attributes:
        run: the run.
        encoder: on the CPU, in evaluation mode.
        mark: for the records of who takes it.
    """

    run: Trained
    encoder: nn.Module
    mark: EncoderMark


def taken_from(run: Trained, modality: Modality) -> Taken:
    """Take an encoder out of a run.

    Raises:
        SettingError: the run has none of its own.
    """
    path, record = run.folder.path, run.record
    encoder = getattr(run.network, ENCODER[modality])
    origin = f"run {path} ({record.system.name}, epoch {run.epoch}, digest {record.digest[:12]})"
    if isinstance(encoder, VisualEncoder):
        encoder = VisualEncoder(encoder.model, encoder.image_input, origin)
        return Taken(run, encoder, EncoderMark(origin, encoder.digest, encoder.features))
    if isinstance(encoder, acoustic.AcousticEncoder):
        return Taken(run, encoder, EncoderMark(origin, digest(encoder), acoustic.EMBEDDING))
    if isinstance(encoder, baseline.DenseEncoder):
        return Taken(run, encoder, EncoderMark(origin, digest(encoder), baseline.EMBEDDING))
    raise SettingError(
        f"{path}: a run of {record.system.name}, which has no {ENCODER[modality]} encoder of its "
        f"own. Name a run that has, such as one of "
        f"avsc-fit {trained_alone(modality, vectors=False)}."
    )


def take_named(system: System, settings: Settings) -> tuple[Settings, dict[Modality, Taken]]:
    """Take the encoders of the runs that settings name, for the inputs that a system has.

    Returns:
        The settings, in which what belongs to such an encoder (the feature it hears, the pictures
        it sees) is its run's, and the encoders.
    """
    taken: dict[Modality, Taken] = {}
    for modality, branch in system.branches.items():
        path: Path | None = getattr(settings, f"{ENCODER[modality]}_run")
        if path is None:
            continue
        taken[modality] = taken_from(restore(path), modality)
        _check_kind(taken[modality], branch, modality)
        theirs = taken[modality].run.record.settings
        names = [e.name for e in fields(Settings) if e.metadata.get("belongs_to") == modality]
        file = f"{ENCODER[modality]}_embeddings"
        kept = {file} if getattr(settings, file) is not None else set()
        changed = {name: getattr(theirs, name) for name in names if name not in kept}
        settings = replace(settings, **changed)
    return settings, taken


def _check_kind(taken: Taken, branch: Branch, modality: Modality) -> None:
    """Raise a `SettingError` unless an encoder takes what a branch reads."""
    wanted = branch.reads == "vectors"
    if isinstance(taken.encoder, baseline.DenseEncoder) != wanted:
        found = "frames or images" if wanted else "vectors from elsewhere"
        raise SettingError(
            f"{taken.run.folder.path}: a run of {taken.run.record.system.name}, whose "
            f"{ENCODER[modality]} encoder is for {found}. Name a run of "
            f"`avsc-fit {trained_alone(modality, vectors=wanted)}`."
        )


def check_suits(
    taken: Taken, product: str, store: Store, validation: Sequence[int], console: Console
) -> None:
    """Check that an encoder was trained on what the store has, and not on its test fold.

    Clips that it was trained on and that are now for validation are told.

    Args:
        taken: the encoder.
        product: what it encodes of the store.
        store: the store of the new run.
        validation: rows of the new run's validation clips.
        console: told.

    Raises:
        SettingError: it was trained on the product by other parameters.
        AvscError: it was trained on clips of the test fold.
    """
    path, specs = taken.run.folder.path, taken.run.record.store.specs
    if product in specs and store.spec(product).digest != specs[product]:
        raise SettingError(
            f"{path}: trained on {product} {specs[product][:12]}, and {store.path} has "
            f"{store.spec(product).digest[:12]}: they were made by other parameters. Name a run "
            "on this store."
        )
    trained = set(part_clips(taken.run, "training"))
    tested = sorted(c.id for c in store.clips if c.fold == "test" and c.id in trained)
    if tested:
        raise AvscError(
            f"{path}: trained on {len(tested)} clips of {store.path}'s test fold, {tested[0]!r} "
            "first, so that nothing measured there would hold. Name a run on this store."
        )
    shared = sum(store.clips[row].id in trained for row in validation)
    if shared:
        console.say(
            f"{path}: was trained on {shared} of these {len(validation)} validation clips, so that "
            "validation will look too good; give both runs the same --seed and --validation"
        )
