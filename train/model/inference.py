"""Probabilities of every sample, each image embedded once.

Images are shown in their evaluation view, so that all acoustic frames of one second share one
embedding; a frozen visual encoder gives the same one in every epoch.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from avsc.train.data.batches import Preparation, image_batches
from avsc.train.data.samples import Samples
from avsc.train.data.source import Source
from avsc.train.model.network import Network


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Put a network into evaluation mode without gradients, and back afterwards."""
    before = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(before)


@contextmanager
def last_layer_inputs(network: Network) -> Iterator[list[torch.Tensor]]:
    """Collect the inputs of the classifier's last layer, float32 [B, features] of each batch."""
    collected: list[torch.Tensor] = []
    *_, last = (layer for layer in network.classifier.modules() if isinstance(layer, nn.Linear))
    hook = last.register_forward_pre_hook(
        lambda _, inputs: collected.append(inputs[0].detach().float().cpu())
    )
    try:
        yield collected
    finally:
        hook.remove()


def embed_images(
    network: Network,
    source: Source,
    which: NDArray[np.int64],
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> torch.Tensor:
    """Return the embeddings of images, float32 [images, features], on the CPU.

    Args:
        network: with a visual encoder, on `device`.
        source: what the images are read from.
        which: their record numbers.
        batch_size: images at a time.
        workers: threads that prepare images.
        device: where to compute.
    """
    preparation = Preparation(network.image_input, workers, device)
    batches = image_batches(source, which, batch_size, preparation)
    with evaluating(network):
        return torch.cat([network.embed_images(batch).cpu() for batch in batches])


def predict(
    network: Network,
    source: Source,
    samples: Samples,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    embeddings: torch.Tensor | None = None,
) -> NDArray[np.float64]:
    """Return the probabilities of each sample, float64 [samples, classes].

    Args:
        network: on `device`; left in the mode it was in.
        source: what the samples refer to.
        batch_size: samples (and images) at a time.
        workers: threads that prepare images.
        device: where to compute.
        embeddings: of the samples' images, in ascending order of their record numbers, from
            `embed_images`; made here when None.
    """
    row = np.zeros(0, np.int64)
    if samples.image is not None:
        images, row = np.unique(samples.image, return_inverse=True)
        if embeddings is None:
            embeddings = embed_images(
                network, source, images, batch_size=batch_size, workers=workers, device=device
            )
    parts = []
    with evaluating(network):
        for start in range(0, len(samples), batch_size):
            part = slice(start, start + batch_size)
            acoustic = None
            if samples.frame is not None:
                assert source.acoustic is not None
                acoustic = torch.from_numpy(source.acoustic[samples.frame[part]]).to(device)
            visual = None if embeddings is None else embeddings[row[part]].to(device)
            logits = network.classify(acoustic, visual).double()
            parts.append(torch.softmax(logits, 1).cpu().numpy())
    return np.concatenate(parts)
