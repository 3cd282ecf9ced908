"""Generative models of scenes, the best possible scores under them, and the two in use.

Each clip of a scene has one hidden acoustic symbol and one hidden visual symbol (its `Kinds`),
drawn once for the whole clip from p(symbols | scene). Every acoustic frame and every image
carries its symbol whole; all else about them is drawn again every second and is independent of the
scene (see `render`). What can be learned is therefore p(scene | symbols), and the best possible
scores from sound, from sight and from both follow by Bayes' rule, with scenes equally likely, as in
the official metric.

What the symbols are like is in `sounds` and `sights`.

`RING`: each scene is one sound with one sight; neighbours share by turns a sight and a sound, so
that neither modality tells more than half of what there is to tell:

    scene              sound   sight             scene              sound   sight
    airport            air     hall              park               air     green
    shopping_mall      voices  hall              public_square      steps   green
    street_pedestrian  voices  street            metro_station      steps   tunnel
    street_traffic     engine  street            metro              rails   tunnel
    bus                engine  carriage          tram               rails   carriage

`WORLD`: scenes draw their symbols. Some share acoustic symbols (bus and street_traffic the engine),
some visual ones (park and public_square the green); metro and tram share both with the same
frequencies and differ only in which goes with which, so that neither sound nor sight alone tells
them apart at all; and some overlap remains (steps in the street may be three scenes).

The best possible (`SceneDesign.best_possible`; natural logarithm):

    from          RING: accuracy, log-loss    WORLD: accuracy, log-loss
    sound alone         0.5       0.693               0.410     1.176
    sight alone         0.5       0.693               0.490     0.981
    both                1         0                   0.908     0.216
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.preprocess.synth.sights import SIGHTS
from avsc.preprocess.synth.sounds import SOUNDS

SYMBOLS = 100
"""Keys the generators of symbols; those of media have smaller numbers."""


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
class SceneDesign:
    """A generative model of scenes.

    Attributes:
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


def draw_symbols(design: SceneDesign, clips: Sequence[Clip], seed: int) -> list[Kinds]:
    """Return the symbols of each clip, drawn from p(symbols | scene) by systematic sampling.

    The n clips of a scene in a fold are drawn together: n points 1/n apart, from a random start,
    fall on the unit interval, where each pair of symbols has a stretch as long as its probability;
    they are dealt out in random order. Each clip has each pair with the stated probability, and n
    clips have it n p times, give or take less than one, so that a score on few clips stays near its
    expectation.
    """
    drawn: dict[str, Kinds] = {}
    for order, (scene, p) in enumerate(design.scenes.items()):
        for part, fold in enumerate(("train", "test")):
            some = [clip.id for clip in clips if (clip.scene, clip.fold) == (scene, fold)]
            generator = np.random.default_rng([seed, SYMBOLS, order, part])
            drawn.update(zip(some, _draw(p, len(some), generator), strict=True))
    return [drawn[clip.id] for clip in clips]


def _draw(p: Mapping[Kinds, float], count: int, generator: np.random.Generator) -> list[Kinds]:
    kinds = list(p)
    points = generator.permutation(np.arange(count) + generator.uniform()) / max(count, 1)
    ends = np.cumsum(list(p.values()))[:-1]  # the last stretch ends where rounding puts it
    return [kinds[which] for which in np.searchsorted(ends, points, side="right")]


def always(sound: str, sight: str) -> dict[Kinds, float]:
    """Return p(symbols | scene) of a scene that always sounds and looks alike."""
    return {Kinds(sound, sight): 1.0}


def independent(sounds: Mapping[str, float], sights: Mapping[str, float]) -> dict[Kinds, float]:
    """Return p(symbols | scene) of a scene whose sound and sight are drawn independently."""
    return {
        Kinds(sound, sight): p * q for sound, p in sounds.items() for sight, q in sights.items()
    }


def pairs(*kinds: Kinds) -> dict[Kinds, float]:
    """Return p(symbols | scene) of a scene that draws one of some pairs, all equally likely."""
    return dict.fromkeys(kinds, 1 / len(kinds))


RING = SceneDesign(
    "miniature",
    {
        "airport": always("air", "hall"),
        "bus": always("engine", "carriage"),
        "metro": always("rails", "tunnel"),
        "metro_station": always("steps", "tunnel"),
        "park": always("air", "green"),
        "public_square": always("steps", "green"),
        "shopping_mall": always("voices", "hall"),
        "street_pedestrian": always("voices", "street"),
        "street_traffic": always("engine", "street"),
        "tram": always("rails", "carriage"),
    },
)

WORLD = SceneDesign(
    "world",
    {
        "airport": independent({"air": 0.8, "voices": 0.2}, {"hall": 1}),
        "bus": independent({"engine": 0.9, "voices": 0.1}, {"carriage": 1}),
        "metro": pairs(Kinds("rails", "tunnel"), Kinds("air", "carriage")),
        "metro_station": independent({"steps": 0.9, "voices": 0.1}, {"tunnel": 0.9, "hall": 0.1}),
        "park": independent({"air": 0.8, "steps": 0.2}, {"green": 1}),
        "public_square": independent({"steps": 0.8, "air": 0.2}, {"green": 0.8, "street": 0.2}),
        "shopping_mall": independent({"voices": 0.9, "steps": 0.1}, {"hall": 0.9, "street": 0.1}),
        "street_pedestrian": independent({"voices": 0.8, "steps": 0.2}, {"street": 1}),
        "street_traffic": independent({"engine": 1}, {"street": 0.9, "green": 0.1}),
        "tram": pairs(Kinds("rails", "carriage"), Kinds("air", "tunnel")),
    },
)
