"""A small store with all that the systems need, and runs on it, made through the trainer itself."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from stores import small_store

from avsc.features.store.reader import Store
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.signals import StopRequest
from avsc.train.settings.scenes import Settings
from avsc.train.systems import VERBS

SMALL = {
    "backbone": "test_efficientnet.r160_in1k",
    "visual_weights": "random",
    "image_size": 32,
    "batch_size": 32,
    "epochs": 2,
    "device": "cpu",
    "workers": 0,
}
VECTORS = {"lr_max": 1e-2, "augment": "none", "validation": "none", "batch_size": 16}
NEEDS = {
    "pipeline": ("acoustic_run",),
    "ablation-3": ("acoustic_run",),
    "baseline-audio": ("acoustic_embeddings",),
    "baseline-video": ("visual_embeddings",),
    "baseline": ("acoustic_run", "visual_run"),
}


class StopAfter(StopRequest):
    """Asks to stop from the n-th time on that it is looked at."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def __bool__(self):
        self.looks -= 1
        return self.looks < 0


def make_home(folder: Path) -> Path:
    """Make a store, files of vectors, and the runs that others take encoders from."""
    store = Store.open(small_store(folder / "store", products=("scalogram", "images")))
    for name, step in (("acoustic", 0.2), ("visual", 0.5)):
        write_vectors(folder / f"{name}.h5", store, step)
    for system in ("audio", "baseline-audio", "baseline-video"):
        make(folder, folder / system, system, epochs=1).fit()
    return folder


def make_world(folder: Path) -> Path:
    """Make a small store, and files of vectors that tell the scene by sound and by sight."""
    store = Store.open(small_store(folder / "store", products=("scalogram", "images")))
    for seed, (name, step) in enumerate({"acoustic": 0.2, "visual": 0.5}.items()):
        write_vectors(folder / f"{name}.h5", store, step, seed)
    return folder


def on_vectors(world, out, **changes):
    """Make a pipeline on vectors of both modalities ready."""
    files = {
        "acoustic_run": None,
        "acoustic_embeddings": world / "acoustic.h5",
        "visual_embeddings": world / "visual.h5",
    }
    return make(world, out, "pipeline", **{**files, **VECTORS, **changes})


def bits(value):
    """Return a checkpoint with its tensors as bytes, for exact comparison."""
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    return {name: bits(each) for name, each in value.items()} if isinstance(value, dict) else value


def write_vectors(path, store, step, seed=0, without=()):
    """Write vectors of six values that tell the scene; one value never varies."""
    clips = [clip.id for row, clip in enumerate(store.clips) if row not in without]
    draw = np.random.default_rng(seed)
    times = np.arange(0, 3, step)
    clip = np.repeat(clips, len(times))
    vector = draw.normal(size=(len(clip), 6)).astype(np.float32)
    vector[:, 4] = 3
    for row, name in enumerate(clip):
        vector[row, int(name[5])] += 3  # scene0-..., scene1-..., scene2-...
    with h5py.File(path, "w") as file:
        file["clip"], file["vector"] = clip.astype("S"), vector
        file["time"] = np.tile(times, len(clips))


def make(home, out, system, stop=None, **changes):
    """Make a run of a system ready, with what it needs out of `home`."""
    prefix = "baseline-" if system == "baseline" else ""
    known = {
        "acoustic_run": home / f"{prefix}audio",
        "visual_run": home / f"{prefix}video",
        "acoustic_embeddings": home / "acoustic.h5",
        "visual_embeddings": home / "visual.h5",
    }
    needed = {name: known[name] for name in NEEDS.get(system, ())}
    settings = Settings(**{"store": home / "store", **SMALL, **needed, **changes})
    with Console() as console:
        session = Session.open(settings, console, stop)
        return prepare(VERBS[system], settings, RunFolder(out), True, session)


def fit_for(trainer, looks):
    """Train until the trainer has looked so many times whether to stop."""
    trainer.session = replace(trainer.session, stop=StopAfter(looks))
    return trainer.fit()


def clips_of(store, fold):
    """Return the rows of a fold's clips."""
    return {row for row, clip in enumerate(store.clips) if clip.fold == fold}
