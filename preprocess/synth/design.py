"""Generative models of scenes: what is drawn, and the best possible scores.

Each second of a clip has one hidden acoustic symbol and one hidden visual symbol (its `Kinds`),
drawn from p(symbols | scene). A second keeps the symbols of the one before with the probability
`hold`; otherwise both are drawn again, independently of all before. Every acoustic frame and every
image carries the symbol of its second whole; all else about them is drawn independently of the
scene (see `render`). What can be learned is therefore p(scene | symbols), and the best possible
scores from sound, from sight and from both follow by Bayes' rule, with scenes equally likely, as in
the official metric. `optimum` says what they become when a modality is missing, late or another's.

What the symbols are like is in `sounds` and `sights`; the designs in use are in `designs`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avsc.manifests.clips import Clip
from avsc.preprocess.synth.sights import SightKind
from avsc.preprocess.synth.sounds import SoundKind

SYMBOLS, LATER = 100, 102
"""Key the generators of symbols, of the first second and of later ones; 101 is that of labelled
images, and those of media have smaller numbers."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kinds:
    """What a second sounds and looks like: names in a design's `sounds` and `sights`."""

    sound: str
    sight: str

    def __str__(self) -> str:
        return f"{self.sound} {self.sight}"


class Score(NamedTuple):
    """Accuracy, and log-loss in nats: means over scenes, as the official metric's."""

    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class SceneDesign:
    """A generative model of scenes.

    Attributes:
        scenes: p(symbols | scene) by scene, each of sum 1.
        about: what it is, in a line.
        sounds: the acoustic symbols.
        sights: the visual symbols.
        hold: probability that a second keeps the symbols of the one before.
        looks_stay: whether all images of a location share a look, instead of those of a shot.
        locations: of a scene, at most.
        test_share: of the locations.
    """

    name: str
    scenes: Mapping[str, Mapping[Kinds, float]]
    about: str
    sounds: Mapping[str, SoundKind]
    sights: Mapping[str, SightKind]
    hold: float = 1.0
    looks_stay: bool = False
    locations: int = 40
    test_share: float = 0.3

    def joint(self) -> Floats:
        """Return p(scene, sound, sight) of one second, [scenes, sounds, sights]."""
        p = self._empty()
        for scene, draws in enumerate(self.scenes.values()):
            for kinds, probability in draws.items():
                p[scene, *self._place(kinds)] = probability / len(p)
        return p

    def best_possible(self) -> dict[str, Score]:
        """Return the best expected score from the sound, the sight and both."""
        return score(self.joint(), self.joint())

    def oracle(self, drawn: Iterable[tuple[str, Sequence[Kinds]]]) -> dict[str, Score]:
        """Return the score of p(scene | symbols) itself on clips that were drawn.

        It differs from `best_possible` by the chance of the draw alone.

        Args:
            drawn: scene and symbols of each clip; at least one clip of each scene.
        """
        counts = self._empty()
        order = list(self.scenes)
        for scene, symbols in drawn:
            for kinds in symbols:
                counts[order.index(scene), *self._place(kinds)] += 1 / len(symbols)
        each = counts.sum(axis=(1, 2), keepdims=True)
        return score(self.joint(), counts / each / len(counts))

    def _empty(self) -> Floats:
        return np.zeros((len(self.scenes), len(self.sounds), len(self.sights)))

    def _place(self, kinds: Kinds) -> tuple[int, int]:
        return list(self.sounds).index(kinds.sound), list(self.sights).index(kinds.sight)


def score(p: Floats, drawn: Floats) -> dict[str, Score]:
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
        name: score_of(p.sum(axis=unseen), drawn.sum(axis=unseen)) for name, unseen in views.items()
    }


def score_of(p: Floats, drawn: Floats) -> Score:
    """Return the score for p(scene, symbol); the first of equally likely scenes is guessed.

    The log-loss is infinite where something is drawn that p excludes.
    """
    p, drawn = p.reshape(len(p), -1), drawn.reshape(len(p), -1)
    posterior = p / np.where(p.any(axis=0), p.sum(axis=0), 1)
    with np.errstate(divide="ignore"):
        logarithm = np.log(posterior, out=np.zeros_like(p), where=drawn > 0)
    right = np.take_along_axis(drawn, posterior.argmax(axis=0)[None], axis=0)
    return Score(float(right.sum()), float(abs((drawn * logarithm).sum())))


def draw_symbols(
    design: SceneDesign, clips: Sequence[Clip], seed: int, seconds: int = 1
) -> list[tuple[Kinds, ...]]:
    """Return the symbols of each second of each clip.

    Those of the first second are drawn by systematic sampling. The n clips of a scene in a fold are
    drawn together: n points 1/n apart, from a random start, fall on the unit interval, where each
    pair of symbols has a stretch as long as its probability; they are dealt out in random order.
    Each clip has each pair with the stated probability, and n clips have it n p times, give or take
    less than one, so that a score on few clips stays near its expectation.
    """
    drawn: dict[str, tuple[Kinds, ...]] = {}
    for order, (scene, p) in enumerate(design.scenes.items()):
        for part, fold in enumerate(("train", "test")):
            some = [clip.id for clip in clips if (clip.scene, clip.fold) == (scene, fold)]
            first = _draw(p, len(some), np.random.default_rng([seed, SYMBOLS, order, part]))
            later = np.random.default_rng([seed, LATER, order, part])
            for clip, kinds in zip(some, first, strict=True):
                drawn[clip] = tuple(_follow(design, p, kinds, seconds, later))
    return [drawn[clip.id] for clip in clips]


def _follow(
    design: SceneDesign,
    p: Mapping[Kinds, float],
    kinds: Kinds,
    seconds: int,
    generator: np.random.Generator,
) -> Iterator[Kinds]:
    """Yield the symbols of a clip, of which `kinds` are the first."""
    every, ends = list(p), np.cumsum(list(p.values()))[:-1]
    yield kinds
    for _ in range(seconds - 1):
        if generator.uniform() >= design.hold:
            kinds = every[int(np.searchsorted(ends, generator.uniform(), side="right"))]
        yield kinds


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
