"""The teacher of a run: an earlier run, whose probabilities for the complete view of a sample teach
the view in which a modality is missing.

What the teacher reads and the run does not (the images of a run on audio alone) is read in training
only, for the teacher; the run is validated and evaluated without.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from avsc.features.store.identity import LACKING
from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.source import Source
from avsc.train.fit.check_donor import check_earlier_runs
from avsc.train.fit.console import Console
from avsc.train.fit.inputs import Inputs, products, trained_inputs
from avsc.train.fit.losses import Distillation
from avsc.train.fit.refs import TeacherRef, other_kind
from avsc.train.fit.run_folder import in_same_fold
from avsc.train.fit.run_record import SceneRecord
from avsc.train.fit.split import Split, check_unseen, named_among, part_clips
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import digest
from avsc.train.settings.scenes import Settings
from avsc.train.systems import System


@dataclass(frozen=True)
class Teacher:
    """A run that teaches another.

    Attributes:
        run: with the weights of its best epoch.
        alone: its system, without the branches that the taught one has, too.
    """

    run: Trained
    alone: System

    @property
    def path(self) -> Path:
        """Folder of its run."""
        return self.run.folder.path

    @property
    def products(self) -> list[str]:
        """Products of the store that it alone reads."""
        return products(self.alone, self.run.record.settings.feature)

    def ref(self, store: Store) -> TeacherRef:
        """Return the reference of the taught run's record to it.

        Args:
            store: the store of the recordings.
        """
        run, record = self.run, self.run.record
        weights = f"{digest(run.network)} {run.network.image_input}"
        used = [*self.products, *([] if self.alone.visual is None else [LACKING])]
        parts = {name: store.identity.parts[name] for name in used}
        stored = trained_inputs(record, store, self.path, self.alone).stored
        return TeacherRef(
            f"run {self.path} ({record.system.name}, epoch {run.epoch}, digest "
            f"{record.digest[:12]})",
            hashlib.sha256(weights.encode()).hexdigest(),
            {**parts, **{product: record.embeddings[product].fingerprint for product in stored}},
        )


def load_teacher(system: System, settings: Settings) -> Teacher | None:
    """Load the run that settings name as the teacher; None if they name none.

    Args:
        system: with its branches as the settings have them.

    Raises:
        AvscError: the run cannot be restored.
        SettingError: it has nothing to teach, or reads in another form what the system reads.
    """
    if settings.teacher is None:
        return None
    run = restore(in_same_fold(settings.teacher, settings.fold_number))
    record, path = run.record, run.folder.path
    theirs = record.settings.chosen(record.system)
    alone = replace(
        theirs,
        audio=None if "audio" in system.branches else theirs.audio,
        visual=None if "visual" in system.branches else theirs.visual,
    )
    if not alone.branches and settings.dropout_of_modalities(system) is None:
        raise SettingError(
            f"--teacher is {path}, which sees nothing that {system.name} would lack, so that it "
            "has nothing to teach. Add --modality-dropout, or omit it."
        )
    for modality, branch in theirs.branches.items():
        own = system.branches.get(modality)
        if own is not None and own.reads != branch.reads:
            raise SettingError(
                f"{path}: a run of {record.system.name}, whose {modality} input is {branch.reads}; "
                f"that of {system.name} is {own.reads}. Teacher and taught system must see the "
                "same view: name a run of the same kind."
            )
    for name in ("feature", "protocol"):
        here, wanted = getattr(record.settings, name), getattr(settings, name)
        if here != wanted and (name != "feature" or "audio" in theirs.branches):
            raise SettingError(
                f"{path}: a run with --{name} {here}; wanted {wanted}. Name a teacher that was "
                f"trained with it, or set --{name} {here}."
            )
    return Teacher(run, alone)


def check_teacher(teacher: Teacher, store: Store, split: Split, console: Console) -> None:
    """Check that a teacher was trained on what the store has, and on no clip that is held out.

    Args:
        store: the store of the taught run.
        split: of that run.
        console: shown what is unusual about the runs that it started from.

    Raises:
        SettingError: it was trained on other classes or features.
        AvscError: it was trained on clips of the validation part, or has seen clips for test; or a
            run that it started from has.
    """
    path, ref = teacher.path, teacher.run.record.store
    if (other := other_kind(store, ref)) is not None:
        name, here, wanted = other
        raise SettingError(
            f"{path}: a teacher of other {name} ({wanted}) than {store.path} has ({here}). Name a "
            "run on this store."
        )
    check_unseen(teacher.run, str(path), store, split)
    if seen := named_among(store, split.validation, set(part_clips(teacher.run, "training"))):
        raise AvscError(
            f"{path}: was trained on {len(seen)} of the {len(split.validation)} validation clips "
            f"of this run, {seen[0]!r} first, and would teach them. Name a teacher that was "
            "trained with the same --seed and --validation."
        )
    check_earlier_runs(teacher.run, store, split, console)


def _check_embeddings(teacher: Teacher, record: SceneRecord) -> None:
    """Raise a `SettingError` unless a teacher reads the stored vectors that the run reads, too."""
    for product, ref in teacher.run.record.embeddings.items():
        own = record.embeddings.get(product)
        if own is not None and own.fingerprint != ref.fingerprint:
            raise SettingError(
                f"{teacher.path}: reads other {product} ({ref.path}) than this run ({own.path}). "
                "Teacher and taught run must see the same."
            )


def distillation(
    teacher: Teacher, record: SceneRecord, image_model: VisualEncoder | None
) -> Distillation:
    """Return the loss by which a teacher teaches a run.

    Args:
        record: of the taught run.
        image_model: that the run starts from; None if it has none, or one that is not loaded.

    Raises:
        SettingError: they read other stored embeddings or vectors, or see images otherwise.
    """
    theirs, network = teacher.run.record, teacher.run.network.requires_grad_(False)
    _check_embeddings(teacher, record)
    inputs = [None if model is None else model.image_input for model in (network, image_model)]
    if None not in inputs and inputs[0] != inputs[1]:
        raise SettingError(
            f"{teacher.path}: a teacher that sees images as {inputs[0]}; wanted {inputs[1]}, as "
            "this run does. Name a teacher with the same image model, --image-size and --view."
        )
    systems = [each.settings.chosen(each.system) for each in (record, theirs)]
    models = [None if each.visual is None else each.visual.digest for each in (record, theirs)]
    same = systems[0].visual is not None and models[0] == models[1]
    if same and all(system.visual_frozen for system in systems):
        network.visual = None  # the student's embeddings are the same
    settings = record.settings
    return Distillation(
        network, tuple(systems[1].branches), settings.teacher_temperature, settings.teacher_weight
    )


def open_sources(inputs: Inputs, teacher: Teacher | None, split: Split) -> tuple[Source, Source]:
    """Open what a run is trained on, with what its teacher alone reads, and what it reads itself.

    Args:
        inputs: of the run.
        teacher: of the run; None if it has none.
        split: of the run; only clips of its training fold are read.

    Raises:
        AvscError: a record is damaged, or a vector cannot be used.
    """
    audio, visual = inputs.audio(split.fold), inputs.visual(split.fold)
    own = Source.of(audio, visual)
    if teacher is None or not teacher.alone.branches:
        return own, own
    theirs = trained_inputs(teacher.run.record, inputs.store, teacher.path, teacher.alone)
    if audio is None:
        return Source.of(theirs.audio(split.fold), visual), own
    return Source.of(audio, theirs.visual(split.fold)), own
