"""Before the first step: store, split, encoders, samples, network, and the run's folder.

Whatever can be wrong is found before the folder is touched. The test fold is never read here: of
the store's clips only those of the training fold, or of no fold in a set without folds, are used.
(Embeddings that are missing are made of every clip, from which nothing is learned; of them, too,
only those of the training fold are read.)
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.publish import publish
from avsc.manifests.splits import validation_rows
from avsc.train.config import Settings
from avsc.train.data.augment import Augment
from avsc.train.data.batches import batches_per_epoch
from avsc.train.data.pairs import Samples
from avsc.train.data.source import Source
from avsc.train.fit.build import build_network, kept_visual
from avsc.train.fit.checkpoint import save_visual
from avsc.train.fit.console import Console
from avsc.train.fit.device import Computing, choose_device, cores
from avsc.train.fit.encoders import check_suits, take_named
from avsc.train.fit.inputs import Given, find_given, mark_of, open_inputs, products, shapes
from avsc.train.fit.loop import Run, Training
from avsc.train.fit.normalise import moments
from avsc.train.fit.record import (
    Record,
    StoreMark,
    check_same,
    encode_split,
    read_record,
    versions,
    write_record,
)
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.model.acoustic import AcousticEncoder
from avsc.train.model.dense import DenseEncoder
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder
from avsc.train.systems import System


def prepare(
    system: System,
    settings: Settings,
    folder: RunFolder,
    resume: bool,
    console: Console,
    stop: StopRequest | None = None,
) -> Training:
    """Return a run that is ready to train: new, or as its last checkpoint left it.

    Args:
        system: what to train.
        settings: of the run.
        folder: where the run is kept.
        resume: go on with the run that the folder holds; otherwise set it aside.
        console: told what was chosen and found.
        stop: looked at while embeddings are made.

    Raises:
        AvscError: the settings, the store, the folder, a run or the weights cannot be used.
    """
    device, text = choose_device(settings.device)
    console.say(text)
    settings, taken = take_named(settings.chosen(system), settings)
    chosen = settings.chosen(system)
    augment = Augment.named(settings.augment)
    store = Store.open(settings.store, products(chosen, settings.feature))
    fold = training_fold(store)
    held = _divide(store, fold, settings)
    split = encode_split(*([store.clips[row].id for row in rows] for rows in held))
    for sense, each in taken.items():
        product = settings.feature if sense == "acoustic" else "images"
        check_suits(each, product, store, held[1], console)

    former = read_record(folder.settings) if resume and folder.begun else None
    given = find_given(chosen, settings, store, taken, former)
    record = _record(system, settings, store, split, given, former)
    if former is not None:
        check_same(former, record, folder.path)
        record = replace(record, visual=former.visual, embeddings=former.embeddings)
    workers = cores() if settings.workers is None else settings.workers
    computing = Computing(device, settings.batch_size, workers)
    inputs = open_inputs(record, store, given, computing, console, stop)
    marks = {product: mark_of(found) for product, found in inputs.stored.items()}
    record = replace(record, embeddings=marks)
    if former is not None:
        check_same(former, record, folder.path)

    source = inputs.source(fold)
    training, validation = source.samples(held[0]), source.samples(held[1])
    batches = batches_per_epoch(training, settings.batch_size)
    _check_classes(store, training, "training")
    if held[1]:
        strict = settings.protocol == "strict"
        counted = validation.take(validation.strict) if strict else validation
        _check_classes(store, counted, f"validation ({settings.validation}, {settings.protocol})")
    _say_what(record, store, fold, held, console)
    _say_given(record, store, fold, given, console)
    visual = _settle(record, former, folder, given, split, console)
    console.log_to(folder.log)
    network = build_network(record, visual)
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
    )
    if not folder.last.exists():
        _begin(network, given, source, training)
    ready = Training(run, network, console)
    if folder.last.exists():
        ready.resume()
        at = ready.progress
        console.say(f"going on after {at.epoch} epochs and {at.batch} of {batches} batches")
    return ready


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


def _divide(store: Store, fold: Sequence[int], settings: Settings) -> tuple[list[int], list[int]]:
    return validation_rows(
        store.clips,
        fold,
        settings.validation,
        settings.validation_fraction,
        settings.seed,
        settings.validation_file,
    )


def _check_classes(store: Store, samples: Samples, part: str) -> None:
    count = np.bincount(samples.scene, minlength=len(store.classes))
    for name, number in zip(store.classes, count, strict=True):
        if number == 0:
            raise AvscError(
                f"{store.path}: class {name!r} has no {part} samples. Add clips of it, take it "
                "from the set, or choose another --validation (none trains without)."
            )


def _say_what(
    record: Record,
    store: Store,
    fold: Sequence[int],
    held: tuple[list[int], list[int]],
    console: Console,
) -> None:
    console.say(
        f"store: {store.path} ({store.name}, fingerprint {store.fingerprint[:12]}): "
        f"{len(held[0])} training clips, {len(held[1])} validation clips"
    )
    products, names = list(record.store.specs), {store.clips[row].id for row in fold}
    lost = [each for each in store.failures if each.product in products and each.clip in names]
    if lost:
        console.say(
            f"store: {len({each.clip for each in lost})} of these {len(fold)} clips lack some or "
            f"all of {' and '.join(products)}; what they have is used (see failures.csv)"
        )
    if not held[1]:
        console.say("validation: none; the last epoch is kept as the best")


def _say_given(
    record: Record, store: Store, fold: Sequence[int], given: Given, console: Console
) -> None:
    if record.acoustic is not None:
        console.say(f"acoustic encoder: {record.acoustic.origin}")
    if record.visual is not None:
        model = f"{record.settings.backbone}, " if "images" in record.store.specs else ""
        console.say(f"visual encoder: {model}{record.visual.origin}")
    for product, found in record.embeddings.items():
        console.say(f"{product}: {found.path}")
    names = {store.clips[row].id for row in fold}
    for vectors in given.vectors.values():
        without = [name for name in vectors.missing if name in names]
        if without:
            console.say(
                f"{vectors.path}: {len(without)} of these {len(fold)} clips have no vectors, "
                f"{without[0]} first; they are left out"
            )


def _record(
    system: System,
    settings: Settings,
    store: Store,
    split: bytes,
    given: Given,
    former: Record | None,
) -> Record:
    chosen = settings.chosen(system)
    frame, vector = shapes(chosen, settings, store, given, former)
    return Record(
        system=system,
        settings=settings,
        store=StoreMark(
            path=str(store.path),
            dataset=store.name,
            fingerprint=store.fingerprint,
            classes=store.classes,
            specs={name: store.spec(name).digest for name in products(chosen, settings.feature)},
        ),
        split=hashlib.sha256(split).hexdigest(),
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
    split: bytes,
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
        publish(folder.split, split)
        if visual is not None:
            save_visual(folder.visual, visual)
    write_record(folder.settings, record)
    return visual


def _begin(network: Network, given: Given, source: Source, training: Samples) -> None:
    """Give a new network the weights that were taken, and what is fresh its normalisation."""
    for sense, encoder, data, rows in (
        ("acoustic", network.acoustic, source.acoustic, training.frame),
        ("visual", network.visual, source.visual, training.picture),
    ):
        if not isinstance(encoder, AcousticEncoder | DenseEncoder):
            continue
        taken = {str(name): each for name, each in given.taken.items()}.get(sense)
        if taken is not None:
            _load(encoder, taken.encoder, taken.run.folder)
            continue
        assert data is not None and rows is not None
        found = moments(data, np.unique(rows))
        encoder.set_normalisation(
            torch.from_numpy(found.mean).float(), torch.from_numpy(found.deviation).float()
        )


def _load(encoder: nn.Module, taken: nn.Module, run: RunFolder) -> None:
    """Load an encoder's weights into another of the same shapes."""
    found, wanted = taken.state_dict(), encoder.state_dict()
    for name, value in wanted.items():
        if name not in found or found[name].shape != value.shape:
            there = tuple(found[name].shape) if name in found else "nothing"
            raise SettingError(
                f"{run.path}: its encoder's {name} has shape {there}, wanted "
                f"{tuple(value.shape)}: it was trained on vectors or frames of another size. Name "
                "a run that was trained on the like."
            )
    encoder.load_state_dict(found)
