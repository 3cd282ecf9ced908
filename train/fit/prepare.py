"""Before the first step: store, split, encoders, samples, network, and the run's folder.

Whatever can be wrong is found before the folder is touched. The test fold is never read here: of
the store's clips only those of the training fold, or of no fold in a set without folds, are used.
(Embeddings that are missing are made of every clip, from which nothing is learned; of them, too,
only those of the training fold are read.)
"""

import hashlib
from dataclasses import replace

from avsc.features.store.reader import Store
from avsc.manifests.table import name_warnings
from avsc.train.data.augment import Augment
from avsc.train.data.batches import batches_per_epoch
from avsc.train.fit.build_network import build_network, kept_visual, other_file
from avsc.train.fit.checkpoint import save_visual
from avsc.train.fit.console import Console
from avsc.train.fit.device import Computing, choose_device, cores
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.donors import check_suits, take_named
from avsc.train.fit.encoder_set import Given, begin, find_given, shapes
from avsc.train.fit.inputs import mark_of, open_inputs, products
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import (
    Record,
    check_same,
    read_record,
    versions,
)
from avsc.train.fit.scene_task import Run, Training
from avsc.train.fit.signals import StopRequest
from avsc.train.fit.split import Parts, divide, samples
from avsc.train.fit.store_ref import mark_store
from avsc.train.model.visual import VisualEncoder
from avsc.train.settings import Settings
from avsc.train.systems import System


def prepare(
    system: System,
    settings: Settings,
    folder: RunFolder,
    resume: bool,
    console: Console,
    stop: StopRequest | None = None,
    processes: Processes = ALONE,
) -> Training:
    """Return a run that is ready to train: new, or as its last checkpoint left it.

    Args:
        system: what to train.
        settings: of the run.
        folder: where the run is kept.
        resume: go on with the run that the folder holds; otherwise set it aside.
        console: told what was chosen and found.
        stop: looked at while embeddings are made.
        processes: those that train together; process 0 first, for it writes what the others read.

    Raises:
        AvscError: the settings, the store, the folder, a run or the weights cannot be used.
    """
    device, text = choose_device(settings.device, processes)
    console.say(text)
    processes.check(settings.batch_size)
    settings, taken = take_named(settings.chosen(system), settings)
    chosen = settings.chosen(system)
    augment = Augment.named(settings.augment)
    store = Store.open(settings.store, products(chosen, settings.feature))
    parts = divide(store, settings)
    for modality, each in taken.items():
        product = settings.feature if modality == "audio" else "images"
        check_suits(each, product, store, parts.validation, console)

    former = None
    if folder.begun and (resume or not processes.main):
        former = read_record(folder.settings)
    given = find_given(chosen, settings, store, taken, former)
    if former is not None and other_file(settings, former.settings):
        # Its weights were compared by their digest, or are about to be.
        settings = replace(settings, visual_weights=former.settings.visual_weights)
    record = _record(system, settings, store, parts, given, former, folder)
    if former is not None:
        check_same(former, record, folder.path)
        record = replace(record, visual=former.visual, embeddings=former.embeddings)
    workers = cores(processes) if settings.workers is None else settings.workers
    computing = Computing(device, settings.batch_size, workers)
    inputs = open_inputs(record, store, given, computing, console, stop)
    record = replace(record, embeddings=inputs.marks)
    if former is not None:
        check_same(former, record, folder.path)

    source = inputs.source(parts.fold)
    training, validation = samples(store, source, parts, settings)
    batches = batches_per_epoch(training, settings.batch_size)
    _say_what(record, store, parts, console)
    _say_given(record, store, parts, given, console)
    visual = _settle(record, former, folder, given, parts, console)
    if processes.main:
        folder.publish(folder.settings, record.encode())
    console.log_to(folder.log)
    network = build_network(record, visual)
    if not folder.saved:
        begin(network, given, source, training)
    run = Run(
        folder=folder,
        digest=record.digest,
        settings=settings,
        source=source,
        training=training,
        validation=validation,
        classes=store.classes,
        device=device,
        workers=workers,
        augment=augment,
        batches=batches,
        processes=processes,
    )
    ready = Training(run, network, console)
    ready.resume()
    return ready


def _say_what(record: Record, store: Store, parts: Parts, console: Console) -> None:
    console.say(
        f"store: {store.path} ({store.name}, fingerprint {store.fingerprint[:12]}): "
        f"{len(parts.training)} training clips, {len(parts.validation)} validation clips"
    )
    if record.store.parts is None:
        console.say(
            "store: its ids and records are those that the run recorded, which did not record "
            "scenes, folds, cities and locations; they are taken to be those of then"
        )
    for warning in name_warnings(store.clips):
        console.say(f"note: {warning}")
    products, names = list(record.store.specs), {store.clips[row].id for row in parts.fold}
    lost = [each for each in store.failures if each.product in products and each.clip in names]
    if lost:
        console.say(
            f"store: {len({each.clip for each in lost})} of these {len(parts.fold)} clips lack "
            f"some or all of {' and '.join(products)}; what they have is used (see failures.csv)"
        )
    if not parts.validation:
        console.say("validation: none; the last epoch is kept as the best")


def _say_given(record: Record, store: Store, parts: Parts, given: Given, console: Console) -> None:
    if record.acoustic is not None:
        console.say(f"acoustic encoder: {record.acoustic.origin}")
    if record.visual is not None:
        model = f"{record.settings.backbone}, " if "images" in record.store.specs else ""
        console.say(f"visual encoder: {model}{record.visual.origin}")
    for product, found in record.embeddings.items():
        console.say(f"{product}: {found.path}")
    names = {store.clips[row].id for row in parts.fold}
    for vectors in given.vectors.values():
        without = [name for name in vectors.missing if name in names]
        if without:
            console.say(
                f"{vectors.path}: {len(without)} of these {len(parts.fold)} clips have no vectors, "
                f"{without[0]} first; they are left out"
            )


def _record(
    system: System,
    settings: Settings,
    store: Store,
    parts: Parts,
    given: Given,
    former: Record | None,
    folder: RunFolder,
) -> Record:
    chosen = settings.chosen(system)
    used = products(chosen, settings.feature)
    frame, vector = shapes(chosen, settings, store, given, former)
    return Record(
        system=system,
        settings=settings,
        store=mark_store(
            store, used, chosen.visual is not None, former.store if former else None, folder.path
        ),
        split=hashlib.sha256(parts.names).hexdigest(),
        frame=frame,
        vector=vector,
        acoustic=given.acoustic_mark,
        visual=given.visual_mark,
        embeddings={product: mark_of(found) for product, found in given.vectors.items()},
        versions=versions(),
    )


def _settle(
    record: Record,
    former: Record | None,
    folder: RunFolder,
    given: Given,
    parts: Parts,
    console: Console,
) -> VisualEncoder | None:
    """Go on with the run in the folder, or begin one there; return the image model."""
    visual = given.visual if record.has_image_model else None
    if former is not None:
        if record.has_image_model:
            assert record.visual is not None
            visual = kept_visual(record.settings, folder, record.visual.digest)
        for name, version in record.versions.items():
            if former.versions.get(name) != version:
                console.say(f"versions: {name} is {version}, was {former.versions.get(name)}")
    else:
        aside = folder.set_aside()
        if aside is not None:
            console.say(f"{folder.path}: the run that was here is now {aside}")
        folder.publish(folder.split, parts.names)
        if visual is not None:
            save_visual(folder.visual, visual, folder.publish)
    return visual
