"""The official metric of DCASE 2021 task 1B: class-wise log-loss and accuracy, unweighted means.

For each class: accuracy is the diagonal of the confusion matrix divided by the class's segments;
log-loss is the mean of -ln p(true class) over the class's segments. Reported is the unweighted mean
over classes. All in float64.

Probabilities are clipped to [1e-15, 1 - 1e-15], as scikit-learn's ``log_loss`` did at the time of
the challenge, and not normalised again afterwards, as it did: that would change no log-loss by more
than the number of classes times 1e-15. Of equal probabilities the class with the lowest index is
predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.errors import AvscError
from avsc.train.score.protocol import Segments

CLIP = 1e-15


@dataclass(frozen=True)
class Scores:
    """What the official task reports.

    Attributes:
        log_loss: unweighted mean of the classes' log-losses, nats.
        accuracy: unweighted mean of the classes' accuracies, 0 to 1.
        class_log_loss: by class.
        class_accuracy: by class.
        confusion: int64 [true class, predicted class], segments.
    """

    log_loss: float
    accuracy: float
    class_log_loss: NDArray[np.float64]
    class_accuracy: NDArray[np.float64]
    confusion: NDArray[np.int64]


def scores(segments: Segments, classes: Sequence[str]) -> Scores:
    """Return the scores of segments.

    Raises:
        AvscError: a class has no segments, or a probability is not a finite number.
    """
    check_classes(segments.scene, classes)
    if not np.isfinite(segments.probability).all():
        raise AvscError(
            "the network predicts what are not finite numbers: its training went astray. Train "
            "again with a lower --lr-max."
        )
    count = np.bincount(segments.scene, minlength=len(classes))
    true = segments.probability[np.arange(len(segments)), segments.scene]
    loss = np.bincount(segments.scene, -np.log(np.clip(true, CLIP, 1 - CLIP)), len(classes)) / count
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (segments.scene, segments.probability.argmax(1)), 1)
    accuracy = np.diagonal(confusion) / count
    return Scores(float(loss.mean()), float(accuracy.mean()), loss, accuracy, confusion)


def check_classes(scene: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise an `AvscError` that names a class that no segment (or sample) belongs to."""
    for name, number in zip(classes, np.bincount(scene, minlength=len(classes)), strict=True):
        if number == 0:
            raise AvscError(
                f"class {name!r} has no segments here, so the mean over classes does not exist. "
                "Evaluate clips of every class, or train on a set without that class."
            )
