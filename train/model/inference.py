"""Probabilities of every sample, each picture embedded once.

Pictures are seen in their evaluation view, so all the acoustic frames of one second share one
embedding; a frozen visual encoder gives the same one in every epoch.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from avsc.train.data.batches import picture_batches
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


def embed_pictures(
    network: Network,
    source: Source,
    which: NDArray[np.int64],
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> torch.Tensor:
    """Return the embeddings of pictures, float32 [pictures, features], on the CPU.

    Args:
        network: with a visual encoder, on `device`.
        source: what the pictures are read from.
        which: their record numbers.
        batch_size: pictures at a time.
        workers: threads that prepare pictures.
        device: where to compute.
    """
    batches = picture_batches(
        source,
        which,
        batch_size=batch_size,
        geometry=network.image_input,
        workers=workers,
        device=device,
    )
    with evaluating(network):
        return torch.cat([network.embed_pictures(batch).cpu() for batch in batches])


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
        samples: what to classify.
        batch_size: samples (and pictures) at a time.
        workers: threads that prepare pictures.
        device: where to compute.
        embeddings: of the samples' pictures, in ascending order of their record numbers, from
            `embed_pictures`; made here when None.
    """
    row = np.zeros(0, np.int64)
    if samples.picture is not None:
        pictures, row = np.unique(samples.picture, return_inverse=True)
        if embeddings is None:
            embeddings = embed_pictures(
                network, source, pictures, batch_size=batch_size, workers=workers, device=device
            )
    parts = []
    with evaluating(network):
        for start in range(0, len(samples), batch_size):
            part = slice(start, start + batch_size)
            sound = None
            if samples.frame is not None:
                assert source.acoustic is not None
                sound = torch.from_numpy(source.acoustic[samples.frame[part]]).to(device)
            sight = None if embeddings is None else embeddings[row[part]].to(device)
            logits = network.classify(sound, sight).double()
            parts.append(torch.softmax(logits, 1).cpu().numpy())
    return np.concatenate(parts)
