"""A generative model of scenes, and how well scenes can be told under it.

Each clip of a scene has one hidden acoustic symbol and one hidden visual symbol (its `Kinds`),
drawn once for the whole clip from p(symbols | scene). Every acoustic frame and every picture
carries its symbol whole; all else about them is drawn anew every second and says nothing of the
scene (see `render`). What is there to be learned is therefore p(scene | symbols), and the best that
anyone can do from sound, from sight and from both follows by Bayes' rule, with scenes equally
likely, as the official metric counts them.

What the symbols are like is in `sounds` and `sights`; the designs in use are in `worlds`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avsc.preprocess.synth.sights import SIGHTS
from avsc.preprocess.synth.sounds import SOUNDS


@dataclass(frozen=True)
class Kinds:
    """What a clip sounds and looks like: names in `SOUNDS` and `SIGHTS`."""

    sound: str
    sight: str


class Score(NamedTuple):
    """Accuracy, and log-loss in nats: means over scenes, as the official metric's."""

    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Design:
    """A generative model of scenes.

    Attributes:
        name: of the model.
        scenes: p(symbols | scene) by scene, each of sum 1.
    """

    name: str
    scenes: Mapping[str, Mapping[Kinds, float]]

    def joint(self) -> NDArray[np.float64]:
        """Return p(scene, sound, sight), [scenes, sounds, sights], of equally likely scenes."""
        p = self._empty()
        for scene, draws in enumerate(self.scenes.values()):
            for kinds, probability in draws.items():
                p[scene, *_place(kinds)] = probability / len(p)
        return p

    def best_possible(self) -> dict[str, Score]:
        """Return the best expected score from the sound, the sight and both."""
        return score(self.joint(), self.joint())

    def oracle(self, drawn: Iterable[tuple[str, Kinds]]) -> dict[str, Score]:
        """Return the score of p(scene | symbols) itself on clips that were drawn.

        It differs from `best_possible` by the chance of the draw alone.

        Args:
            drawn: scene and symbols of each clip; at least one clip of each scene.
        """
        counts = self._empty()
        order = list(self.scenes)
        for scene, kinds in drawn:
            counts[order.index(scene), *_place(kinds)] += 1
        each = counts.sum(axis=(1, 2), keepdims=True)
        return score(self.joint(), counts / each / len(counts))

    def _empty(self) -> NDArray[np.float64]:
        return np.zeros((len(self.scenes), len(SOUNDS), len(SIGHTS)))


def score(p: NDArray[np.float64], drawn: NDArray[np.float64]) -> dict[str, Score]:
    """Return how who knows p scores from the sound, the sight and both.

    Args:
        p: p(scene, sound, sight), [scenes, sounds, sights].
        drawn: what is scored, as frequencies of the same shape; p itself for the expectation.

    >>> p = np.array([[[0.5]], [[0.5]]])
    >>> score(p, p)["both"]
    Score(accuracy=0.5, log_loss=0.6931471805599453)
    """
    views = {"sound": (2,), "sight": (1,), "both": ()}
    return {
        name: _score(p.sum(axis=unseen), drawn.sum(axis=unseen)) for name, unseen in views.items()
    }


def _score(p: NDArray[np.float64], drawn: NDArray[np.float64]) -> Score:
    """Return the score for p(scene, symbol); the first of equally likely scenes is guessed."""
    p, drawn = p.reshape(len(p), -1), drawn.reshape(len(p), -1)
    posterior = p / np.where(p.any(axis=0), p.sum(axis=0), 1)
    logarithm = np.log(posterior, out=np.zeros_like(p), where=drawn > 0)
    right = np.take_along_axis(drawn, posterior.argmax(axis=0)[None], axis=0)
    return Score(float(right.sum()), float(abs((drawn * logarithm).sum())))


def _place(kinds: Kinds) -> tuple[int, int]:
    return list(SOUNDS).index(kinds.sound), list(SIGHTS).index(kinds.sight)
