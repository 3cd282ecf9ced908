"""Flipping signs by location: by hand, against all patterns one by one, and its level."""

from itertools import product

import numpy as np
import pytest

from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.sign_flip import EXACT, p_value

HOW = Resampling(2000)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 4], 2 / 8),  # +++ and --- alone reach 7
        ([1, 2, -4], 1.0),  # 1 is the least that three odd and even numbers can sum to
        ([3, 1, -1], 6 / 8),  # 3 and 5 are no less than 3, 1 is
        ([5, 0, 0], 1.0),  # locations that do not differ say nothing
        ([1] * 8, 2 / 2**8),
        ([0.1, 0.2, -0.3], 1.0),  # 5.6e-17 in floats is 0
        ([0, 0], 1.0),
        ([], 1.0),
    ],
)
def test_by_hand(differences, p):
    assert p_value(np.array(differences, float), HOW) == p


def one_by_one(differences):
    own = abs(sum(differences))
    found = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        >= own - 1e-12
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(found) / len(found)


def test_all_patterns_are_enumerated_where_few_locations_differ():
    rng = np.random.default_rng(4)
    for number in (2, 5, 9, 10):
        differences = rng.standard_t(2, number) + 0.4
        expected = one_by_one(differences.tolist())
        assert p_value(differences, HOW) == pytest.approx(expected, rel=1e-12)
        swapped = p_value(-differences, Resampling(2, seed=9), key=5)
        assert swapped == pytest.approx(expected, rel=1e-12), (
            "exact: neither draws nor signs matter"
        )


def test_drawn_patterns_agree_with_all_of_them():
    differences = np.random.default_rng(4).exponential(1, EXACT + 1) - 0.9
    expected = one_by_one(differences.tolist())
    error = (expected * (1 - expected) / 20_000) ** 0.5
    found = p_value(differences, Resampling(20_000))
    assert 0.05 < expected < 0.95 and found == pytest.approx(expected, abs=4 * error)
    assert found == p_value(differences, Resampling(20_000))
    assert found != p_value(differences, Resampling(20_000, seed=1))
    assert p_value(np.ones(40), Resampling(99)) == 1 / 100, "no draw can show less"


@pytest.mark.parametrize("locations", [8, 30])
def test_interchangeable_systems_are_told_apart_no_more_often_than_the_level_says(locations):
    """Losses as at 0.15, a few large: of 1,000 trials 0.05 is exceeded by 3 errors at most.

    Quantiles of the resampled mean, as they were, leave 0 out more than twice as often.
    """
    rng = np.random.default_rng(8)
    fails = rng.random((2, 1000, locations)) < 0.1
    losses = np.where(fails, rng.exponential(1.3, fails.shape), rng.exponential(0.02, fails.shape))
    found = [p_value(each, Resampling(499)) for each in losses[1] - losses[0]]
    assert 0.025 <= np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * 0.007
    naive = []
    for each in losses[1] - losses[0]:
        drawn = each[rng.integers(0, locations, (200, locations))].mean(1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        naive.append(not low <= 0 <= high)
    assert np.mean(naive) > 0.071
