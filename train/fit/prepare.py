"""Before the first step: the split, the network, the run's folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.manifests.splits import Method, validation_rows
from avsc.train.config import Settings
from avsc.train.data.source import Source
from avsc.train.fit.build import build_network
from avsc.train.fit.checkpoint import fill, load, save
from avsc.train.fit.loop import Training
from avsc.train.fit.normalise import moments
from avsc.train.fit.run_folder import (
    RunRecord,
    check_same,
    device_of,
    read_record,
    versions,
    write_record,
)
from avsc.train.systems import SYSTEMS


def prepare(
    settings: Settings, store: Store, run: Path, resume: bool, say: Callable[[str], None]
) -> Training:
    """Return a run that is ready to train: new, or as its last checkpoint left it.

    Raises:
        AvscError: the settings, the store, the folder or the weights cannot be used.
    """
    device = device_of(settings.device)
    say(f"Device: {device}" + (" (no CUDA device found)" if _fell_to_cpu(settings, device) else ""))
    _show_missing(settings, store, say)
    rows, held = split(settings, store)
    system = SYSTEMS[settings.system]
    source = Source.open(store, settings.feature if system.sound else None, system.pictures)
    training, validation = source.samples(rows), source.samples(held)
    goes_on = resume and (run / "settings.json").exists()
    network = build_network(settings, store, "random" if goes_on else None)
    visual = network.visual
    record = RunRecord(
        settings=settings.all(),
        store=str(store.path),
        fingerprint=store.fingerprint,
        classes=list(store.classes),
        validation=[store.clips[row].id for row in held],
        visual={} if visual is None else {"origin": visual.origin, "digest": visual.digest},
        versions=versions(),
    )
    if goes_on:
        check_same(run, read_record(run), record)
        if visual is not None:
            fill(visual, load(run / "visual.pt")["visual"], run / "visual.pt")
    else:
        _make_room(run, say)
        if visual is not None:
            save(run / "visual.pt", {"visual": visual.state_dict()})
        write_record(run, record)
    if network.acoustic is not None:
        assert source.acoustic is not None and training.frame is not None
        found = moments(source.acoustic, np.unique(training.frame))
        network.acoustic.set_normalisation(
            torch.from_numpy(found.mean).float(), torch.from_numpy(found.deviation).float()
        )
    say(
        f"{store.name}: {len(rows)} training clips ({len(training)} samples), "
        f"{len(held)} validation clips ({len(validation)} samples) -> {run}"
    )
    ready = Training(
        run, settings, network, source, training, validation, store.classes, device, say
    )
    if (run / "last.pt").exists():
        ready.resume()
    return ready


def split(settings: Settings, store: Store) -> tuple[list[int], list[int]]:
    """Return the rows to train on and to validate on; a set without folds is training only.

    Raises:
        SettingError: there are no training clips, or the split cannot be used.
    """
    rows = [row for row, clip in enumerate(store.clips) if clip.fold in ("train", None)]
    if not rows:
        raise SettingError(f"{store.path}: no clip is in the training fold.")
    method: Method = next(m for m in get_args(Method) if m == settings.validation)
    file = Path(settings.validation_file) if settings.validation_file else None
    return validation_rows(
        store.clips, rows, method, settings.validation_fraction, settings.seed, file
    )


def _fell_to_cpu(settings: Settings, device: torch.device) -> bool:
    return settings.device == "auto" and device.type == "cpu"


def _show_missing(settings: Settings, store: Store, say: Callable[[str], None]) -> None:
    system = SYSTEMS[settings.system]
    used = {settings.feature} if system.sound else set()
    used |= {"images"} if system.pictures else set()
    lost = {f.clip for f in store.failures if f.product in used}
    if lost:
        say(f"{len(lost)} clips of {len(store.clips)} lack something; see avsc-prep info.")


def _make_room(run: Path, say: Callable[[str], None]) -> None:
    """Put what a folder holds aside, so that nothing is lost by starting anew."""
    if run.exists() and any(run.iterdir()):
        aside = run.with_name(f"{run.name}.before-{time.strftime('%Y%m%dT%H%M%S')}")
        run.rename(aside)
        say(f"{run}: what was there is now {aside}.")
    run.mkdir(parents=True, exist_ok=True)
