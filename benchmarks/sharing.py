"""What an epoch of joint training costs by --frames-per-image, on the CPU.

A small store is made for the purpose; the image model has the paper's size and random weights. An
epoch is trained as `avsc-fit joint` trains it, without validation, by one thread. Figures are the
processor's time; a warming epoch of the last kind comes first.

    python benchmarks/sharing.py [--clips 10] [--batch-size 256] [--backbone effnetv2-s]
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from made import make_store
from turns import table

from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.fit.trainer import Trainer
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS

CHOICES = ("1", "2", "3", "all")


def epoch(trainer: Trainer) -> tuple[int, int, float]:
    """Train an epoch; return samples, images prepared, and seconds."""
    trainer.network.train()
    trainer.progress.batch = 0
    begin, samples, images = time.process_time(), 0, 0
    for batch in trainer._batches():
        assert batch.images is not None
        samples += len(batch.scene)
        images += len(batch.images)
        trainer._step(batch)
    return samples, images, time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="effnetv2-s")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--clips", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Console(silent=True) as console:
        store = make_store(Path(folder) / "store", options.clips)

        def ready(choice: str) -> Trainer:
            settings = Settings(
                store=store,
                backbone=options.backbone,
                visual_weights="random",
                image_size=options.image_size,
                batch_size=options.batch_size,
                frames_per_image=choice,
                validation="none",
                device="cpu",
                workers=0,
            )
            run = RunFolder(Path(folder) / choice)
            session = Session.open(settings, console)
            return prepare(SYSTEMS["joint"], settings, run, True, session)

        epoch(ready(CHOICES[-1]))
        found = {choice: epoch(ready(choice)) for choice in CHOICES}
    lines = []
    for choice, (samples, images, seconds) in found.items():
        share = seconds / found["1"][2]
        lines.append(f"{choice} | {samples} | {images} | {seconds:.1f} | {share:.2f}")
    table("frames per image | pairs | images prepared | s per epoch | of the paper's", *lines)


if __name__ == "__main__":
    main()
