"""The batches of one epoch, from all that they depend on by name."""

import torch

from avsc.train.data.batches import Preparation, TrainingBatches

CPU = torch.device("cpu")


def training_batches(
    source, samples, *, image_input, epoch=0, start_batch=0, augment=None, workers=0, device=CPU,
    **settings,
):  # fmt: skip
    """Return an epoch of `TrainingBatches`; without `augment`, of evaluation views."""
    settings |= {} if augment is None else {"augment": augment}
    preparation = Preparation(image_input, workers, device)
    batches = TrainingBatches(source=source, samples=samples, preparation=preparation, **settings)
    return batches.epoch(epoch, start_batch)
