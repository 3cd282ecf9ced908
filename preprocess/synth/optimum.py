"""The best possible score under each condition of `avsc-fit robustness`, by Bayes' rule.

A condition changes what a segment hears and sees: p(scene, sound, sight) becomes another one. Who
is *told* of the condition knows that one; who is *untold* goes on with the p of complete
recordings.

*Missing*: what is left of p; in a share of the segments, that share of it. It is seen, so that
there is no untold.

*Shifted* by s seconds: symbols d seconds apart are the same draw with the probability hold^d and
independent otherwise. Shifts are cyclic: in a clip of n seconds, n - s segments have an image s
seconds away and s segments one n - s seconds away, and no segment can be seen to be the one or the
other.

*Of another clip*: an image of a clip of the same scene is drawn independently of the sound; one of
another scene has a probability that depends on what the scene is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avsc.preprocess.synth.design import Floats, SceneDesign, Score, score_of

SHARES = (10, 30, 50)
SHIFTS = (1, 2, 5)


@dataclass(frozen=True)
class Optimum:
    """The best expected score under a condition.

    Attributes:
        told: of who knows the condition.
        untold: of who takes the recordings for complete; None where the condition is seen, or
            where something is met that complete recordings exclude.
    """

    told: Score
    untold: Score | None = None


def optima(design: SceneDesign, seconds: int) -> dict[str, Optimum]:
    """Return the optimum under each condition, by the name that `avsc-fit robustness` has for it.

    Args:
        design: of the data set.
        seconds: of each clip; a shift by a multiple of it changes nothing and is omitted.
    """
    p = design.joint()
    complete = score_of(p, p)
    found = {"complete": Optimum(complete)}
    for name, unseen in (("no-audio", 1), ("no-image", 2)):
        left = score_of(p.sum(axis=unseen), p.sum(axis=unseen))
        found[name] = Optimum(left)
        for percent in SHARES:
            found[f"{name}-{percent}"] = Optimum(_mixture(complete, left, percent / 100))
    for shift in SHIFTS:
        if shift % seconds:
            late = _optimum(p, shifted(design, shift, seconds))
            found |= {f"audio-late-{shift}s": late, f"audio-early-{shift}s": late}
    found["image-same-scene"] = _optimum(p, _unrelated(p, p.sum(axis=1)))
    found["image-other-scene"] = _optimum(p, _unrelated(p, _of_others(p.sum(axis=1))))
    return found


def shifted(design: SceneDesign, shift: int, seconds: int) -> Floats:
    """Return p(scene, sound, sight) of a sound and the image a cyclic shift away."""
    p, near = design.joint(), shift % seconds
    far = seconds - near
    same = (far * design.hold**near + near * design.hold**far) / seconds
    return same * p + (1 - same) * _unrelated(p, p.sum(axis=1))


def _unrelated(p: Floats, sight: Floats) -> Floats:
    """Return p of a sound and a sight that are independent in each scene.

    Args:
        p: of complete recordings, [scenes, sounds, sights].
        sight: p(scene, sight), [scenes, sights].
    """
    return np.asarray(p.sum(axis=2)[:, :, None] * sight[:, None, :] * len(p))


def _of_others(sight: Floats) -> Floats:
    """Return p(scene, sight of any of the other scenes)."""
    return np.asarray((sight.sum(axis=0) - sight) / (len(sight) - 1))


def _mixture(complete: Score, left: Score, share: float) -> Score:
    return Score(*((1 - share) * np.array(complete) + share * np.array(left)).tolist())


def _optimum(complete: Floats, met: Floats) -> Optimum:
    untold = score_of(complete, met)
    return Optimum(score_of(met, met), untold if np.isfinite(untold.log_loss) else None)


def rounded(score: Score) -> dict[str, float]:
    """Return a score as files have it, to three digits."""
    return {key: round(value, 3) for key, value in score._asdict().items()}


def encodable(found: Mapping[str, Optimum]) -> dict[str, dict[str, object]]:
    """Return optima as ``world.json`` has them."""
    return {
        name: rounded(each.told) | ({} if each.untold is None else {"untold": rounded(each.untold)})
        for name, each in found.items()
    }
