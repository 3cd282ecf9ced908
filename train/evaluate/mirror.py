"""Flip at test time: the means of the probabilities of images and of their mirror images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from avsc.manifests.errors import SettingError
from avsc.train.evaluate.predict import ClipPredictions
from avsc.train.fit.trained_run import Trained
from avsc.train.model.network import Network


def check_sees(trained: Trained) -> None:
    """Raise a `SettingError` if a run does not read images."""
    if trained.network.image_input is None:
        raise SettingError(
            f"--flip: the run in {trained.folder.path} reads no images, or stored embeddings of "
            "them, of which there are no mirror images. Omit it."
        )


@contextmanager
def mirrored(network: Network) -> Iterator[None]:
    """Show a network the mirror image of every image while the body runs."""
    network.mirrors = True
    try:
        yield
    finally:
        network.mirrors = False


def predict_flipped(network: Network, predict: Callable[[], ClipPredictions]) -> ClipPredictions:
    """Return what a network predicts, each probability the mean of two.

    Args:
        network: that sees images.
        predict: returns what it predicts; called twice.
    """
    plain = predict()
    with mirrored(network):
        other = predict()
    segments = {
        protocol: replace(
            own, probability=(own.probability + other.segments[protocol].probability) / 2
        )
        for protocol, own in plain.segments.items()
    }
    return replace(plain, segments=segments)
