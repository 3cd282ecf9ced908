"""Calibration error by hand and on calibrated draws; the temperature against a known one."""

import numpy as np
import pytest

from avsc.train.evaluate.calibration import calibration, fit_temperature, tempered
from avsc.train.metrics import scores
from avsc.train.protocol import Segments


def make(probability, scene):
    place = np.arange(len(scene))
    return Segments(np.asarray(probability, np.float64), place, place, np.asarray(scene, np.int64))


def draw(seed, count, temperature):
    """Scenes drawn from probabilities that are then made too sure (or too unsure)."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(4, 0.4), count)
    scene = (true.cumsum(1) < rng.random((count, 1))).sum(1)
    return tempered(make(true, scene), 1 / temperature)


def test_by_hand():
    probability = [[0.55, 0.45], [0.58, 0.42], [0.2, 0.8], [1, 0], [1, 0]]
    found = calibration(make(probability, [0, 1, 1, 0, 1]))
    # Bins of 1/15: (8/15, 9/15] holds two, half of them right; 0.8 is the end of (11/15, 12/15].
    assert found.segments.tolist() == [0] * 8 + [2, 0, 0, 1, 0, 0, 2]
    assert found.accuracy[8] == 0.5 and found.accuracy[14] == 0.5
    assert found.error == pytest.approx((2 * 0.065 + 0.2 + 2 * 0.5) / 5, rel=1e-12)
    assert np.isnan(found.confidence[0]) and np.isnan(found.accuracy[0])


def test_calibrated_predictions_have_no_error_and_sure_ones_have():
    assert calibration(draw(0, 200_000, 1)).error < 0.005
    sure = draw(0, 200_000, 2)
    assert calibration(sure).error > 0.05
    assert calibration(tempered(sure, 2)).error < 0.005


@pytest.mark.parametrize("temperature", [0.5, 1, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    segments = draw(1, 40_000, temperature)
    found = fit_temperature(segments, "abcd")
    assert found == pytest.approx(temperature, rel=0.03)
    losses = [scores(tempered(segments, t), "abcd").log_loss for t in (found, 0.9 * found,
                                                                        1.1 * found)]  # fmt: skip
    assert losses[0] == min(losses)


def test_a_temperature_changes_no_decision_and_survives_zeros():
    segments = make([[1, 0, 0], [0.2, 0.5, 0.3]], [0, 2])
    warm = tempered(segments, 3)
    np.testing.assert_allclose(warm.probability.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(warm.probability.argmax(1), [0, 1])
    np.testing.assert_allclose(tempered(segments, 1).probability, segments.probability, atol=1e-14)
