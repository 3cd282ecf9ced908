"""What an epoch of joint training costs by --frames-per-image, on the CPU.

A small store is made for the purpose; the image model has the paper's size and random weights. An
epoch is trained as `avsc-fit joint` trains it, without validation, by one thread. Figures are the
processor's time; a warming epoch of the last kind comes first.

    python benchmarks/sharing.py [--clips 10] [--batch-size 256] [--backbone effnetv2-s]
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from joint_training import joint_trainer, make_settings, training_parser
from turns import table

from avsc.train.fit.trainer import Trainer

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
    options = training_parser(__doc__, clips=10).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = make_settings(options, folder, device="cpu", workers=0)

        def ready(choice: str) -> Trainer:
            return joint_trainer(replace(settings, frames_per_image=choice), folder / choice)

        epoch(ready(CHOICES[-1]))
        found = {choice: epoch(ready(choice)) for choice in CHOICES}
    lines = []
    for choice, (samples, images, seconds) in found.items():
        share = seconds / found["1"][2]
        lines.append(f"{choice} | {samples} | {images} | {seconds:.1f} | {share:.2f}")
    table("frames per image | pairs | images prepared | s per epoch | of the paper's", *lines)


if __name__ == "__main__":
    main()
