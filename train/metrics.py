"""The official metric of DCASE 2021 task 1B: class-wise log-loss and accuracy, unweighted means.

For each class: accuracy is the diagonal of the confusion matrix divided by the class's segments;
log-loss is the mean of -ln p(true class) over the class's segments. Reported is the unweighted mean
over classes. All in float64.

Probabilities are clipped to [1e-15, 1 - 1e-15], as scikit-learn's ``log_loss`` did at the time of
the challenge, and not normalised again afterwards, as it did: that would change no log-loss by more
than the number of classes times 1e-15. Of equal probabilities the class with the lowest index is
predicted.

Besides the official figures there are means over all segments, and over those of each city: a city
has one location of most scenes, or none, so that a per-city mean over scenes would rest on one
location each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.protocol import Segments

CLIP = 1e-15
NOWHERE = {"city": "(no city)", "location": "(no location)"}


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


@dataclass(frozen=True)
class Groups:
    """Segments grouped by scene, city or location.

    Attributes:
        of: number of each segment's group, int64 [segments].
    """

    names: tuple[str, ...]
    of: NDArray[np.int64]

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of values [segments, ...] over each group, [groups, ...]."""
        total = np.zeros((len(self.names), *values.shape[1:]))
        np.add.at(total, self.of, values)
        count = np.bincount(self.of, minlength=len(self.names))
        return total / count.reshape(-1, *(1 for _ in values.shape[1:]))


def by_scene(segments: Segments, classes: Sequence[str]) -> Groups:
    """Group segments by their true scene."""
    return Groups(tuple(classes), segments.scene)


def by_city(segments: Segments, clips: Sequence[Clip]) -> Groups | None:
    """Group segments by the city of their clip; None when no clip has one."""
    return _by_place([clips[row].city for row in segments.clip], NOWHERE["city"])


def by_location(segments: Segments, clips: Sequence[Clip]) -> Groups | None:
    """Group segments by the location of their clip; None when no clip has one."""
    return _by_place([clips[row].location for row in segments.clip], NOWHERE["location"])


def _by_place(places: Sequence[str | None], nowhere: str) -> Groups | None:
    if not any(places):
        return None
    names, of = np.unique([place or nowhere for place in places], return_inverse=True)
    return Groups(tuple(names.tolist()), of.reshape(-1).astype(np.int64))


def outcomes(segments: Segments) -> NDArray[np.float64]:
    """Return each segment's log-loss (nats) and whether it is right (0 or 1), [segments, 2].

    Raises:
        AvscError: a probability is not a finite number.
    """
    if not np.isfinite(segments.probability).all():
        raise AvscError(
            "the network's predictions are not finite: training diverged. Train again with a lower "
            "--lr-max."
        )
    true = segments.probability[np.arange(len(segments)), segments.scene]
    right = segments.probability.argmax(1) == segments.scene
    return np.stack([-np.log(np.clip(true, CLIP, 1 - CLIP)), right], axis=1)


def scores(segments: Segments, classes: Sequence[str]) -> Scores:
    """Return the scores of segments.

    Raises:
        AvscError: a class has no segments, or a probability is not a finite number.
    """
    check_classes(segments.scene, classes)
    loss, accuracy = by_scene(segments, classes).means(outcomes(segments)).T
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (segments.scene, segments.probability.argmax(1)), 1)
    return Scores(float(loss.mean()), float(accuracy.mean()), loss, accuracy, confusion)


def check_classes(scene: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise an `AvscError` that names a class that no segment (or sample) belongs to."""
    for name, number in zip(classes, np.bincount(scene, minlength=len(classes)), strict=True):
        if number == 0:
            raise AvscError(
                f"class {name!r} has no segments here, so the mean over classes does not exist. "
                "Evaluate clips of every class, or train on a set without that class."
            )
