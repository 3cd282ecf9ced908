"""Joint training on a made store: options, settings and trainer of the benchmarks of training.

The image model has random weights.
"""

import argparse
from pathlib import Path
from typing import Any

from made import make_store

from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.trainer import Trainer
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS


def training_parser(description: str, clips: int) -> argparse.ArgumentParser:
    """Return a parser of what is trained; `clips` are in the store by default."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--backbone", default="effnetv2-s")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--clips", type=int, default=clips, help="in the store that is made")
    return parser


def make_settings(options: argparse.Namespace, folder: Path, **more: Any) -> Settings:
    """Make a store in a folder; return the settings of a run on it."""
    return Settings(
        store=make_store(folder / "store", options.clips),
        backbone=options.backbone,
        visual_weights="random",
        image_size=options.image_size,
        batch_size=options.batch_size,
        validation="none",
        **more,
    )


def joint_trainer(settings: Settings, folder: Path) -> Trainer:
    """Return the trainer of the run in a folder, new or resumed, which says nothing."""
    with Console(silent=True) as console:
        session = Session.open(settings, console)
        return prepare(SYSTEMS["joint"], settings, RunFolder(folder), True, session)
