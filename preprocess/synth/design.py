"""Which scene has which sound and which sight, and how well that can be told.

Each scene is one kind of sound with one kind of sight. The ten scenes form a ring in which
neighbours share by turns a sight and a sound, so that neither modality tells more than half of
what there is to tell:

    scene              sound   sight             scene              sound   sight
    airport            air     hall              park               air     green
    shopping_mall      voices  hall              public_square      steps   green
    street_pedestrian  voices  street            metro_station      steps   tunnel
    street_traffic     engine  street            metro              rails   tunnel
    bus                engine  carriage          tram               rails   carriage

With perfect recognition of the kinds and as many clips of each scene (`best_possible`):

    from          accuracy   log-loss (natural logarithm)
    sound alone   0.5        ln 2 = 0.693
    sight alone   0.5        ln 2 = 0.693
    both          1          0

What the kinds are like is in `sounds` and `sights`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avsc.preprocess.synth.sights import SIGHTS
from avsc.preprocess.synth.sounds import SOUNDS


@dataclass(frozen=True)
class Kinds:
    """What a scene sounds and looks like: names in `SOUNDS` and `SIGHTS`."""

    sound: str
    sight: str


DESIGN = {
    "airport": Kinds("air", "hall"),
    "bus": Kinds("engine", "carriage"),
    "metro": Kinds("rails", "tunnel"),
    "metro_station": Kinds("steps", "tunnel"),
    "park": Kinds("air", "green"),
    "public_square": Kinds("steps", "green"),
    "shopping_mall": Kinds("voices", "hall"),
    "street_pedestrian": Kinds("voices", "street"),
    "street_traffic": Kinds("engine", "street"),
    "tram": Kinds("rails", "carriage"),
}


class Best(NamedTuple):
    """The best accuracy, and the best expected log-loss in nats, that anyone can reach."""

    accuracy: float
    log_loss: float


def joint(design: Mapping[str, Kinds]) -> NDArray[np.float64]:
    """Return p(scene, sound, sight), [scenes, sounds, sights], of equally frequent scenes."""
    sounds, sights = list(SOUNDS), list(SIGHTS)
    p = np.zeros((len(design), len(sounds), len(sights)))
    for scene, kinds in enumerate(design.values()):
        p[scene, sounds.index(kinds.sound), sights.index(kinds.sight)] = 1 / len(design)
    return p


def best_possible(p: NDArray[np.float64]) -> dict[str, Best]:
    """Return the best that the sound, the sight and both can tell of the scene.

    Args:
        p: p(scene, sound, sight), [scenes, sounds, sights].

    >>> best_possible(np.array([[[0.5]], [[0.5]]]))["both"]
    Best(accuracy=0.5, log_loss=0.6931471805599453)
    """
    observed = {"sound": p.sum(axis=2), "sight": p.sum(axis=1), "both": p.reshape(len(p), -1)}
    return {name: _best(table) for name, table in observed.items()}


def _best(p: NDArray[np.float64]) -> Best:
    """Return the best for p(scene, symbol): the likeliest scene, and the entropy left."""
    seen = p[:, p.sum(axis=0) > 0]
    posterior = seen / seen.sum(axis=0)
    logarithm = np.log(posterior, out=np.zeros_like(posterior), where=posterior > 0)
    return Best(float(seen.max(axis=0).sum()), float(abs((seen * logarithm).sum())))
