"""Before the first step of a run on labelled pictures: pictures, weights, network, folder.

Whatever can be wrong is found before the folder is touched.
"""

from dataclasses import replace
from typing import Any, cast

import numpy as np
from torch import nn

from avsc.train.data.augment import Augment
from avsc.train.data.batches import batches_per_epoch
from avsc.train.data.image_folder import ImageFolder, open_image_folder
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.fit.build_network import first_visual, kept_visual, other_file
from avsc.train.fit.checkpoint import save_visual
from avsc.train.fit.console import Console
from avsc.train.fit.device import choose_device, cores
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.places_record import PicturesMark, PlacesRecord, read_places_record
from avsc.train.fit.places_task import PlacesRun, PlacesTraining
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.run_record import EncoderMark, check_same_numbers, versions
from avsc.train.model.network import Network
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import starting_weights
from avsc.train.settings import PlacesSettings


def prepare_places(
    settings: PlacesSettings,
    folder: RunFolder,
    resume: bool,
    console: Console,
    processes: Processes = ALONE,
) -> PlacesTraining:
    """Return a run that is ready to train: new, or as its last checkpoint left it.

    Args:
        settings: of the run.
        folder: where the run is kept.
        resume: go on with the run that the folder holds; otherwise set it aside.
        console: told what was chosen and found.
        processes: those that train together; process 0 first, for it writes what the others read.

    Raises:
        AvscError: the settings, the pictures, the folder or the weights cannot be used.
    """
    device, text = choose_device(settings.device, processes)
    console.say(text)
    processes.check(settings.batch_size)
    Augment.named(settings.augment)
    pictures = open_image_folder(settings.data, settings.size, settings.data_name)
    source, training, validation = _samples(pictures)
    batches = batches_per_epoch(training, settings.batch_size)
    console.say(
        f"pictures: {pictures.path} ({pictures.name}): {len(training)} for training, "
        f"{len(validation)} for validation, {len(pictures.classes)} classes"
    )
    mark = PicturesMark(
        str(pictures.path),
        pictures.name,
        pictures.digest,
        pictures.classes,
        len(training),
        len(validation),
    )
    record, visual = _settle(
        PlacesRecord(settings, mark, None, versions()), folder, resume, console, processes.main
    )
    console.log_to(folder.log)
    with starting_weights(settings.seed):
        classifier = nn.Linear(visual.features, len(pictures.classes))
    network = Network(None, visual, classifier, frozen_visual=False, low_precision=True)
    run = PlacesRun(
        folder=folder,
        digest=record.digest,
        settings=settings,
        source=source,
        training=training,
        validation=validation,
        device=device,
        workers=cores(processes) if settings.workers is None else settings.workers,
        batches=batches,
        trained_on=pictures.name,
        processes=processes,
    )
    ready = PlacesTraining(run, network, console)
    ready.resume()
    return ready


def _samples(pictures: ImageFolder) -> tuple[Source, Samples, Samples]:
    """Return the source, and what it has for training and for validation."""
    number = np.arange(len(pictures.label))
    nothing = np.zeros(len(number), np.int64)
    every = Samples(None, number, pictures.label, number, nothing, np.ones(len(number), np.bool_))
    training = number < pictures.training
    return Source(None, cast(Any, pictures), every), every.take(training), every.take(~training)


def _settle(
    record: PlacesRecord, folder: RunFolder, resume: bool, console: Console, main: bool
) -> tuple[PlacesRecord, VisualEncoder]:
    """Go on with the run in the folder, or begin one there."""
    if folder.begun and (resume or not main):
        former = read_places_record(folder.settings)
        assert former.visual is not None
        mark = former.visual
        if other_file(record.settings, former.settings):
            mark = _mark(first_visual(record.settings))
            weights = former.settings.visual_weights
            record = replace(record, settings=replace(record.settings, visual_weights=weights))
        record = replace(record, visual=mark)
        before, now = ({"visual encoder": f" ({m.origin})"} for m in (former.visual, mark))
        check_same_numbers(former.numbers(), record.numbers(), folder.path, (before, now))
        record = replace(record, visual=former.visual)
        visual = kept_visual(record.settings, folder, former.visual.digest)
        origin = former.visual.origin
    else:
        visual = first_visual(record.settings)
        origin = visual.origin
        record = replace(record, visual=_mark(visual))
        if (aside := folder.set_aside()) is not None:
            console.say(f"{folder.path}: the run that was here is now {aside}")
        save_visual(folder.visual, visual, folder.publish)
    console.say(f"visual encoder: {record.settings.backbone}, {origin}")
    if main:
        folder.publish(folder.settings, record.encode())
    return record, visual


def _mark(visual: VisualEncoder) -> EncoderMark:
    return EncoderMark(visual.origin, visual.digest, visual.features)
