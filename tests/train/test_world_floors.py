"""What benchmarks/world_floors.py says of perfect systems."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avsc.preprocess.synth.design import SceneDesign, independent
from avsc.preprocess.synth.designs import FAINT_CUE, WORLD
from avsc.preprocess.synth.sights import SIGHTS
from avsc.preprocess.synth.sounds import SOUNDS
from avsc.train.protocol import Segments

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def floors(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("world_floors")


def test_the_optimum_is_surer_without_what_contradicts(floors: Any) -> None:
    """Air is park in 9 of 10; with a street, which contradicts it, either scene in one of two."""
    design = SceneDesign(
        "contradicting",
        {
            "park": independent({"air": 0.9, "engine": 0.1}, {"green": 0.9, "street": 0.1}),
            "street": independent({"air": 0.1, "engine": 0.9}, {"green": 0.1, "street": 0.9}),
        },
        "sound and sight may contradict each other",
        SOUNDS,
        SIGHTS,
    )
    for pattern in ("no-audio", "no-image"):
        assert floors.risen(design, pattern) == pytest.approx((0.18, 0))


@pytest.mark.parametrize("design", [WORLD, FAINT_CUE], ids=["world", "faint-cue"])
def test_no_optimum_of_ours_is(floors: Any, design: SceneDesign) -> None:
    for pattern in ("no-audio", "no-image"):
        assert floors.risen(design, pattern)[0] == 0


def test_sound_and_sight_agree_on_the_pair_of_scenes(floors: Any) -> None:
    """Nineteen of twenty sounds and seven of ten hues are the pair's own; others contradict."""
    p, agree = FAINT_CUE.joint().sum(axis=0), floors.agreeing(FAINT_CUE)
    assert p[agree].sum() == pytest.approx(0.95 * 0.7 + 0.05 * 0.3 / 4)


def test_the_optimum_scores_as_computed_on_a_draw(floors: Any) -> None:
    drawn = floors.optimal_segments(FAINT_CUE, 36, 10, seed=0)
    wanted = dict(
        zip(("complete", "no-audio", "no-image"), ("both", "sight", "sound"), strict=True)
    )
    for pattern, segments in drawn.items():
        loss = -np.log(segments.probability[np.arange(1500), segments.scene]).mean()
        assert loss == pytest.approx(FAINT_CUE.best_possible()[wanted[pattern]].log_loss, abs=0.08)


def test_the_error_of_true_probabilities_is_that_of_the_sample(floors: Any) -> None:
    """One bin: the mean distance of a binomial fraction from 0.55 is 0.8 standard deviations."""
    count = 400
    p = np.tile([0.55, 0.45], (count, 1))
    clip = np.arange(count)
    mean, most = floors.if_calibrated(Segments(p, clip, None, np.zeros(count, np.int64)), 2000)
    deviation = np.sqrt(0.55 * 0.45 / count)
    assert mean == pytest.approx(np.sqrt(2 / np.pi) * deviation, rel=0.05)
    assert most == pytest.approx(1.96 * deviation, rel=0.08)
