"""From settings to a trainer: everything before the first step of a run.

Settings are checked first, encoders resolved and inputs opened; then the run's record is made, and
compared with that of the run in the folder, if that is to be resumed. Whatever can be wrong is
found before the folder is touched. The test fold is never read here: of the store's clips only
those of the training fold, or of no fold in a data set without folds, are used. (Missing embeddings
are made of every clip, from which nothing is learned; of them, too, only the training fold is
read.)
"""

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np

from avsc.features.store.reader import Store
from avsc.manifests.table import name_warnings
from avsc.train.data.augment import Augment
from avsc.train.data.image_folder import ImageFolder, open_image_folder
from avsc.train.data.mixup import check_pairs
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.build_network import build_network
from avsc.train.fit.check_donor import check_donor
from avsc.train.fit.checkpoint import save_visual
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.encoders import (
    DonorEncoder,
    EncoderSet,
    initialise,
    load_donors,
    resolve_encoders,
    resolve_image_model,
    settings_to_record,
)
from avsc.train.fit.head import start_with_head
from avsc.train.fit.inputs import kept_embeddings, new_embeddings, open_inputs, products, shapes
from avsc.train.fit.refs import ImagesRef, store_ref
from avsc.train.fit.resumed_run import check_same
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import (
    ImagesRecord,
    RunRecord,
    SceneRecord,
    read_record,
    versions,
)
from avsc.train.fit.split import Split, make_split, split_samples
from avsc.train.fit.tasks import Run, make_task
from avsc.train.fit.teacher import (
    Teacher,
    check_teacher,
    distillation,
    load_teacher,
    open_sources,
)
from avsc.train.fit.trained_run import kept_visual
from avsc.train.fit.trainer import Trainer
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import Modality, System

R = TypeVar("R", bound=RunRecord)


def prepare(
    system: System, settings: Settings, folder: RunFolder, resume: bool, session: Session
) -> Trainer:
    """Return the trainer of a run on a store: new, or as its last checkpoint left it.

    Args:
        folder: where the run is kept.
        resume: resume the run that the folder holds; otherwise set it aside.

    Raises:
        AvscError: the settings, the store, the folder, a run or the weights cannot be used.
    """
    settings, donors = load_donors(settings.chosen(system), settings)
    chosen = settings.chosen(system)
    Augment.named(settings.augment)
    teacher, used = load_teacher(chosen, settings), products(chosen, settings.feature)
    store, split = _open_store(settings, used, donors, teacher, session.console)
    previous = _previous(folder, resume, session, SceneRecord)
    encoders = resolve_encoders(chosen, settings, store, donors, previous)
    if previous is None:
        embeddings = new_embeddings(chosen, settings, store, encoders, session)
    else:
        embeddings = kept_embeddings(previous, settings, store, encoders)
    frame, vector = shapes(chosen, settings, store, encoders)
    record = SceneRecord(
        system=system,
        settings=settings_to_record(settings, previous),
        store=store_ref(
            store,
            used,
            chosen.visual is not None,
            None if previous is None else previous.store,
            folder.path,
        ),
        split=hashlib.sha256(split.csv).hexdigest(),
        frame=frame,
        vector=vector,
        acoustic=encoders.acoustic,
        visual=encoders.visual,
        embeddings=embeddings,
        versions=versions(),
        teacher=None if teacher is None else teacher.ref(store),
    )
    if previous is not None:
        check_same(previous, record, folder.path)
    sources = open_sources(open_inputs(record, store, encoders, session), teacher, split)
    _check_options(chosen, settings, sources[0], encoders, session)
    samples = split_samples(store, sources, split, settings)
    taught = None if teacher is None else distillation(teacher, record, encoders.image_model)
    run = Run(folder, record, sources[0], *samples, taught)
    _say_store(record, store, split, session.console)
    _say_inputs(record, store, split, encoders, session.console)
    return _start(run, previous, encoders, session, split.csv)


def _open_store(
    settings: Settings,
    used: list[str],
    donors: Mapping[Modality, DonorEncoder],
    teacher: Teacher | None,
    console: Console,
) -> tuple[Store, Split]:
    """Open the store of a run, split its training fold, and check earlier runs against both.

    Args:
        used: products that the run reads.
        donors: runs whose encoders it starts from.
        teacher: run that teaches it.
    """
    store = Store.open(settings.store, [*used, *([] if teacher is None else teacher.products)])
    split = make_split(store, settings)
    for modality, donor in donors.items():
        product = settings.feature if modality == "audio" else "images"
        check_donor(donor, product, store, split, console)
    if teacher is not None:
        check_teacher(teacher, store, split, console)
    return store, split


def _check_options(
    chosen: System, settings: Settings, source: Source, encoders: EncoderSet, session: Session
) -> None:
    """Raise a `SettingError` if an option cannot be applied to what is trained."""
    shift, visual = settings.time_shift(chosen), encoders.image_model
    if shift is not None and source.image_samples is not None:
        shift.check(source.image_samples)
    if settings.mixup:
        check_pairs(settings.batch_size, session.processes.count * settings.accumulate)
    if settings.visual_stages and visual is not None and not chosen.visual_frozen:
        visual.first_stages(settings.visual_stages)


def prepare_images(
    settings: PlacesSettings, folder: RunFolder, resume: bool, session: Session
) -> Trainer:
    """Return the trainer of a run on labelled images; arguments and errors as of `prepare`."""
    images = open_image_folder(settings.data, settings.size, settings.data_name)
    source, training, validation = labelled_samples(images)
    session.console.say(
        f"images: {images.path} ({images.name}): {len(training)} for training, "
        f"{len(validation)} for validation, {len(images.classes)} classes"
    )
    previous = _previous(folder, resume, session, ImagesRecord)
    settings = settings.resolved(len(training), None if previous is None else previous.settings)
    Augment.named(settings.augment)
    session = session.with_batches(settings.batch_size)
    session.console.say(f"recipe: {settings.recipe}")
    encoders = resolve_image_model(settings, previous)
    ref = ImagesRef(
        path=str(images.path),
        name=images.name,
        digest=images.digest,
        classes=images.classes,
        training=len(training),
        validation=len(validation),
    )
    record = ImagesRecord(settings_to_record(settings, previous), ref, encoders.visual, versions())
    if previous is not None:
        check_same(previous, record, folder.path)
    if encoders.visual is not None:
        session.console.say(f"visual encoder: {settings.backbone}, {encoders.visual.origin}")
    run = Run(folder, record, source, training, validation)
    begun = previous is not None and folder.saved
    trainer = _start(run, previous, encoders, session)
    if settings.head_images and not begun:
        start_with_head(trainer, settings.head_images)
    return trainer


def labelled_samples(images: ImageFolder) -> tuple[Source, Samples, Samples]:
    """Return the source of labelled images, the samples to train on and to validate on."""
    number = np.arange(len(images.label))
    nothing = np.zeros(len(number), np.int64)
    every = Samples(None, number, images.label, number, nothing, np.ones(len(number), np.bool_))
    training = number < images.training
    return Source(None, cast(Any, images), every), every.take(training), every.take(~training)


def _previous(folder: RunFolder, resume: bool, session: Session, kind: type[R]) -> R | None:
    """Return the record of the run that is resumed, or that process 0 has just started."""
    if folder.started and (resume or not session.processes.main):
        return read_record(folder.settings, kind)
    return None


def _start(
    run: Run,
    previous: RunRecord | None,
    encoders: EncoderSet,
    session: Session,
    split: bytes | None = None,
) -> Trainer:
    """Resume the run in the folder, or start one there; return its trainer.

    Args:
        split: split.csv of a run on a store.
    """
    record, folder, console = run.record, run.folder, session.console
    _ = run.batches  # raises an error if there is not one
    if previous is not None:
        visual = kept_visual(record, folder)
        for name, version in record.versions.items():
            if previous.versions.get(name) != version:
                console.say(f"versions: {name} is {version}, was {previous.versions.get(name)}")
    else:
        visual = encoders.image_model if record.has_image_model else None
        if (aside := folder.set_aside()) is not None:
            console.say(f"{folder.path}: the run that was here is now {aside}")
        if split is not None:
            folder.publish(folder.split, split)
        if visual is not None:
            save_visual(folder, visual)
    if session.processes.main:
        folder.publish(folder.settings, record.encode())
    console.log_to(folder.log)
    network = build_network(record, visual)
    if not folder.saved:
        initialise(network, encoders, run.source, run.training)
    trainer = Trainer(run, make_task(run, network, session), session)
    trainer.resume()
    return trainer


def _say_store(record: SceneRecord, store: Store, split: Split, console: Console) -> None:
    console.say(
        f"store: {store.path} ({store.name}, fingerprint {store.fingerprint[:12]}): "
        f"{len(split.training)} training clips, {len(split.validation)} validation clips"
    )
    if record.store.parts is None:
        console.say(
            "store: its ids and records are those that the run recorded, which did not record "
            "scenes, folds, cities and locations; they are taken to be unchanged"
        )
    for warning in name_warnings(store.clips):
        console.say(f"note: {warning}")
    used, names = list(record.store.specs), {store.clips[row].id for row in split.fold}
    lost = {each.clip for each in store.failures if each.product in used and each.clip in names}
    if lost:
        console.say(
            f"store: {len(lost)} of these {len(split.fold)} clips lack some or all of "
            f"{' and '.join(used)}; what they have is used (see failures.csv)"
        )
    if not split.validation:
        console.say("validation: none; the last epoch is kept as the best")


def _say_inputs(
    record: SceneRecord, store: Store, split: Split, encoders: EncoderSet, console: Console
) -> None:
    if record.acoustic is not None:
        console.say(f"acoustic encoder: {record.acoustic.origin}")
    if record.visual is not None:
        model = f"{record.settings.backbone}, " if "images" in record.store.specs else ""
        console.say(f"visual encoder: {model}{record.visual.origin}")
    if record.teacher is not None:
        console.say(f"teacher: {record.teacher.origin}")
    if unused := record.settings.without_effect(record.system):
        console.say(f"note: without effect on this run: {', '.join(unused)}")
    for product, ref in record.embeddings.items():
        console.say(f"{product}: {ref.path}")
    names = {store.clips[row].id for row in split.fold}
    for vectors in encoders.vectors.values():
        without = [name for name in vectors.missing if name in names]
        if without:
            console.say(
                f"{vectors.path}: {len(without)} of these {len(split.fold)} clips have no vectors, "
                f"{without[0]} first; they are left out"
            )
