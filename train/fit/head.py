"""The head before the body: a linear classifier fitted to the embeddings of an untrained body.

From a classifier drawn at random, the first gradients of fine-tuning spoil what the image model
learned elsewhere; from one that fits its embeddings, they improve it. Source: Kumar et al.,
"Fine-tuning can distort pretrained features and underperform out-of-distribution", ICLR 2022.

Each image is embedded once, in its evaluation view. The fit is convex, so that it has no learning
rate: cross-entropy with a penalty, minimised by L-BFGS from zero.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avsc.train.data.batches import Preparation, image_batches
from avsc.train.fit.checkpoint import save_best, save_last
from avsc.train.fit.compute import Session
from avsc.train.fit.tasks import ImagesRow, Run, top_scores
from avsc.train.fit.trainer import Trainer
from avsc.train.model.inference import evaluating
from avsc.train.model.network import Network

HEAD = 9  # what a generator is for, as in train/data/batches
PENALTY = 1e-2
"""Half of it times the squared weights is added to the mean cross-entropy, where the embeddings are
scaled to a mean variance of 1. Chosen by cross-validation: see docs/places.md."""
ITERATIONS = 100


def start_with_head(trainer: Trainer, most: int) -> None:
    """Fit the classifier before the first epoch, and save that as epoch 0.

    It is kept as the best epoch unless training improves on it.

    Args:
        trainer: of a run on labelled images that has no checkpoint yet.
        most: as in `fit_head`, with the errors.
    """
    run, network, at = trainer.run, trainer.network, trainer.progress
    at.history.append(fit_head(run, network, trainer.session, most))
    save_last(run.folder, run.digest, network, trainer.optimiser, at)
    save_best(run.folder, run.digest, network, 0, run.trained_on)


def fit_head(run: Run, network: Network, session: Session, most: int) -> ImagesRow:
    """Fit the classifier of a network to labelled images, and say how good that alone is.

    Args:
        run: whose training images are fitted to.
        network: with an image model and a linear classifier, on the session's device.
        session: what computes; a request to stop ends it.
        most: images to fit to; if there are more, some are drawn.

    Returns:
        The scores, as those of an epoch 0.

    Raises:
        StoppedError: a signal asked to stop.
        AvscError: an image is damaged.
    """
    generator = np.random.default_rng((HEAD, run.settings.seed))
    rows = np.sort(generator.permutation(len(run.training))[:most])
    chosen = run.training.take(rows)
    assert chosen.image is not None and run.validation.image is not None
    linear = network.classifier
    assert isinstance(linear, nn.Linear)
    embedding = _embed(run, network, session, chosen.image).to(session.device)
    label = torch.from_numpy(chosen.scene).to(session.device)
    weight, bias = fit_linear(embedding, label, len(run.classes))
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
        loss = nn.functional.cross_entropy(linear(embedding), label).item()
        logits = linear(_embed(run, network, session, run.validation.image).to(session.device))
    probability = torch.softmax(logits.double(), 1).cpu().numpy()
    row = ImagesRow(0, 0.0, loss, **top_scores(probability, run.validation.scene))
    session.console.say(
        f"head: fitted to {len(rows)} images, all other layers as they were: {row.summary()}"
    )
    return row


def _embed(run: Run, network: Network, session: Session, which: NDArray[np.int64]) -> Tensor:
    """Return the embeddings of images, float32 [images, features], on the CPU."""
    size = session.slice_size
    preparation = Preparation(network.image_input, session.workers, session.device)
    parts: list[Tensor] = []
    with evaluating(network):
        for batch in image_batches(run.source, which, size, preparation):
            parts.append(network.embed_images(batch).cpu())
            session.stop.check(f"while the head of {run.folder.path} was fitted")
            if session.console.due():
                session.console.show("head", len(parts), -(-len(which) // size))
    return torch.cat(parts)


def fit_linear(embedding: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Fit a linear classifier with softmax.

    Args:
        embedding: float32 [n, features].
        label: class index of each, int64 [n].
        classes: number of classes.

    Returns:
        Weight [classes, features] and bias [classes].
    """
    mean = embedding.mean(0)
    centred = embedding - mean
    scale = centred.square().mean().sqrt().clamp_min(1e-12)
    x = centred / scale
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(nn.functional.linear(x, weight, bias), label)
        value = value + PENALTY / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = weight.detach() / scale
    return found, bias.detach() - found @ mean
