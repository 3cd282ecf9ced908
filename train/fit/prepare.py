"""Before the first step: store, split, samples, network, and the run's folder.

Whatever can be wrong is found before the folder is touched. The test fold is never read here: of
the store's clips only those of the training fold, or of no fold in a set without folds, are used.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError
from avsc.manifests.publish import publish
from avsc.manifests.splits import validation_rows
from avsc.train.config import Settings
from avsc.train.data.augment import Augment
from avsc.train.data.batches import batches_per_epoch
from avsc.train.data.pairs import Samples
from avsc.train.data.source import Source
from avsc.train.fit.build import build_network, first_visual, kept_visual
from avsc.train.fit.checkpoint import save_visual
from avsc.train.fit.console import Console
from avsc.train.fit.device import choose_device
from avsc.train.fit.loop import Run, Training
from avsc.train.fit.normalise import moments
from avsc.train.fit.record import (
    Record,
    StoreMark,
    VisualMark,
    check_same,
    encode_split,
    read_record,
    versions,
    write_record,
)
from avsc.train.fit.run_folder import RunFolder
from avsc.train.model.visual import VisualEncoder
from avsc.train.systems import System


def prepare(
    system: System, settings: Settings, folder: RunFolder, resume: bool, console: Console
) -> Training:
    """Return a run that is ready to train: new, or as its last checkpoint left it.

    Args:
        system: what to train.
        settings: of the run.
        folder: where the run is kept.
        resume: go on with the run that the folder holds; otherwise set it aside.
        console: told what was chosen and found.

    Raises:
        AvscError: the settings, the store, the folder or the weights cannot be used.
    """
    device, text = choose_device(settings.device)
    console.say(text)
    feature = settings.feature if system.sound else None
    products = [*([feature] if feature else []), *(["images"] if system.pictures else [])]
    store = Store.open(settings.store, products)
    fold = training_fold(store)
    held = _divide(store, fold, settings)
    augment = Augment.named(settings.augment)
    source = Source.open(store, feature, system.pictures)
    training, validation = source.samples(held[0]), source.samples(held[1])
    batches = batches_per_epoch(training, settings.batch_size)
    _check_classes(store, training, "training")
    if held[1]:
        strict = settings.protocol == "strict"
        counted = validation.take(validation.strict) if strict else validation
        _check_classes(store, counted, f"validation ({settings.validation}, {settings.protocol})")
    _say_what(store, products, fold, held, console)

    split = encode_split(*([store.clips[row].id for row in rows] for rows in held))
    record = Record(
        system=system,
        settings=settings,
        store=StoreMark(
            path=str(store.path),
            dataset=store.name,
            fingerprint=store.fingerprint,
            classes=store.classes,
            specs={product: store.spec(product).digest for product in products},
        ),
        split=hashlib.sha256(split).hexdigest(),
        frame=None if source.acoustic is None else (source.acoustic.shape[1:]),
        visual=None,
        versions=versions(),
    )
    record, visual = _settle(record, folder, resume, split, console)
    console.log_to(folder.log)
    network = build_network(system, settings, record.frame, visual, len(store.classes))
    workers = settings.workers
    run = Run(
        folder=folder,
        digest=record.digest,
        settings=settings,
        source=source,
        training=training,
        validation=validation,
        classes=store.classes,
        device=device,
        workers=len(os.sched_getaffinity(0)) if workers is None else workers,
        augment=augment,
        batches=batches,
    )
    if not folder.last.exists() and network.acoustic is not None:
        assert source.acoustic is not None and training.frame is not None
        found = moments(source.acoustic, np.unique(training.frame))
        network.acoustic.set_normalisation(
            torch.from_numpy(found.mean).float(), torch.from_numpy(found.deviation).float()
        )
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
    store: Store,
    products: Sequence[str],
    fold: Sequence[int],
    held: tuple[list[int], list[int]],
    console: Console,
) -> None:
    console.say(
        f"store: {store.path} ({store.name}, fingerprint {store.fingerprint[:12]}): "
        f"{len(held[0])} training clips, {len(held[1])} validation clips"
    )
    names = {store.clips[row].id for row in fold}
    lost = [each for each in store.failures if each.product in products and each.clip in names]
    if lost:
        console.say(
            f"store: {len({each.clip for each in lost})} of these {len(fold)} clips lack some or "
            f"all of {' and '.join(products)}; what they have is used (see failures.csv)"
        )
    if not held[1]:
        console.say("validation: none; the last epoch is kept as the best")


def _settle(
    record: Record, folder: RunFolder, resume: bool, split: bytes, console: Console
) -> tuple[Record, VisualEncoder | None]:
    """Go on with the run in the folder, or begin one there."""
    goes_on = resume and folder.begun
    visual = None
    if goes_on:
        former = read_record(folder.settings)
        check_same(former, record, folder.path)
        record = replace(record, visual=former.visual)
        if former.visual is not None:
            visual = kept_visual(record.settings, folder, former.visual.digest)
        for name, version in record.versions.items():
            if former.versions.get(name) != version:
                console.say(f"versions: {name} is {version}, was {former.versions.get(name)}")
    elif record.system.pictures:
        visual = first_visual(record.settings)
        mark = VisualMark(visual.origin, visual.digest, visual.features)
        record = replace(record, visual=mark)
    if record.visual is not None:
        console.say(f"visual encoder: {record.settings.backbone}, {record.visual.origin}")
    if not goes_on:
        aside = folder.set_aside()
        if aside is not None:
            console.say(f"{folder.path}: the run that was here is now {aside}")
        publish(folder.split, split)
        if visual is not None:
            save_visual(folder.visual, visual)
    write_record(folder.settings, record)
    return record, visual
