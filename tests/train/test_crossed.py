"""The mean over scenes where a location has segments of several, by definition."""

import numpy as np
import pytest

from avsc.train.evaluate.bootstrap import Resampling, Units, resample
from avsc.train.evaluate.crossed import resample_mean

SIZES = np.array([[3, 0, 7, 2, 4, 5], [1, 6, 0, 2, 4, 3]])  # of scene and location


def crossed(sizes):
    """Return the units of locations that have so many segments of each scene."""
    group, place = np.nonzero(sizes)
    names = tuple(f"scene{number}" for number in range(len(sizes)))
    of = np.repeat(np.arange(len(group)), sizes[group, place])
    return Units("location", names, group, of, place)


def test_a_resample_is_of_whole_locations():
    """Every resample equals the ratios of the segments that its locations have, one by one."""
    units = crossed(SIZES)
    draw = np.random.default_rng(0)
    values = draw.normal(size=(len(units.of), 2))
    found = resample_mean(units.sums(values), units, Resampling(50, 3))
    assert units.count == 6 and found.number.tolist() == [6]
    scene, place = units.group[units.of], units.place[units.of]
    times = np.random.default_rng((3, 2)).multinomial(6, np.full(6, 1 / 6), 50)
    mean = np.mean([values[scene == s].mean(0) for s in range(2)], axis=0)
    np.testing.assert_allclose(found.mean[0], mean)
    for number, row in enumerate(times):
        weight = row[place]
        if any(not weight[scene == s].any() for s in range(2)):
            assert np.isinf(found.shift[number]).all()
            continue
        means = [np.average(values[scene == s], axis=0, weights=weight[scene == s]) for s in (0, 1)]
        np.testing.assert_allclose(found.shift[number, 0], np.mean(means, axis=0) - mean)
        rest = [(values - means[s]) * (scene == s)[:, None] / weight[scene == s].sum() / 2
                for s in (0, 1)]  # fmt: skip
        z = np.array([sum(r[place == p].sum(0) for r in rest) for p in range(6)])
        np.testing.assert_allclose(found.variances[number, 0], 6 / 5 * (row @ z**2))


def test_with_one_scene_it_is_the_bootstrap_of_its_locations():
    sizes = np.array([[3, 1, 7, 2, 4, 5]])
    units = crossed(sizes)
    values = np.random.default_rng(0).normal(size=(22, 1))
    found = resample_mean(units.sums(values), units, Resampling(20))
    nested = resample(units.sums(values), units, Resampling(20)).over_groups()
    np.testing.assert_allclose(found.mean, nested.mean)
    np.testing.assert_allclose(found.variance, nested.variance)


@pytest.mark.parametrize("both", [True, False])
def test_what_a_location_adds_to_both_scenes_is_not_taken_for_two_independent_draws(both):
    """The mean of two scenes varies twice as much as their mean if locations move them together."""
    draw = np.random.default_rng(1)
    sizes = np.full((2, 60), 5)
    units = crossed(sizes)
    level = draw.normal(size=(2, 60))
    values = np.repeat((level[[0, 0]] if both else level).reshape(-1), 5)[:, None]
    variance = resample_mean(units.sums(values), units, Resampling(10)).variance[0, 0]
    wanted = level[0].var(ddof=1) / 60 if both else level.mean(0).var(ddof=1) / 60
    assert variance == pytest.approx(wanted)
