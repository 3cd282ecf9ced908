"""Which symbols each clip of a data set has: drawn from p(symbols | scene), evenly spread.

The n clips of a scene in a fold are drawn together (systematic sampling): n points 1/n apart, from
a random start, fall on the unit interval, where each of the scene's pairs of symbols has a stretch
as long as it is likely; they are dealt out in random order. Each clip has each pair with the stated
probability, and n clips have it n p times, give or take less than one, so that a score on few clips
stays near its expectation.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from avsc.manifests.clips import Clip
from avsc.preprocess.synth.design import Design, Kinds

SYMBOLS = 100
"""Keys the generators of symbols; those of media have smaller numbers."""


def draw_symbols(design: Design, clips: Sequence[Clip], seed: int) -> list[Kinds]:
    """Return the symbols of each clip."""
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
