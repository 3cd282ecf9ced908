"""The bootstrap over locations: against theory, against a plain loop, and its coverage."""

from dataclasses import replace

import numpy as np
import pytest

from avsc.manifests.clips import Clip
from avsc.train.score.bootstrap import (
    Resampling,
    Units,
    chance_of_none,
    interval,
    resampled_means,
    resampling_units,
)
from avsc.train.score.metrics import by_city, by_scene
from avsc.train.score.protocol import Segments


def units(group, of=None):
    group = np.asarray(group)
    names = tuple(f"g{number}" for number in range(group.max() + 1))
    return Units("location", names, group, np.arange(len(group)) if of is None else np.asarray(of))


def place_units(sizes):
    """One group for each row of `sizes`, a unit for each number in it, of so many segments."""
    group = np.repeat(np.arange(len(sizes)), [len(row) for row in sizes])
    counts = np.concatenate(sizes)
    return units(group, np.repeat(np.arange(len(group)), counts))


def test_variance_is_that_of_theory_where_locations_are_equal():
    """The variance of a mean of n places is s^2 / n, s^2 with n - 1; over scenes they add up."""
    rng = np.random.default_rng(1)
    sizes = [[5] * n for n in (8, 11, 16)]
    where = place_units(sizes)
    location = rng.normal(0, 1, len(where.group))
    values = location[where.of][:, None]
    drawn = resampled_means(values, where, Resampling(40_000))[..., 0].mean(1)
    expected = (
        sum(location[where.group == group].var(ddof=1) / n for group, n in enumerate((8, 11, 16)))
        / 9
    )
    assert drawn.var() == pytest.approx(expected, rel=0.03)
    means = [location[where.group == group].mean() for group in range(3)]
    assert drawn.mean() == pytest.approx(np.mean(means), abs=4 * np.sqrt(expected / 40_000))


def test_each_resample_is_the_metric_of_whole_locations():
    """Two locations: n - 1 is one, so that each resample is one location with all its segments."""
    where = place_units([[3, 7]])
    values = np.random.default_rng(0).normal(size=(10, 2))
    drawn = resampled_means(values, where, Resampling(200))[:, 0]
    possible = np.stack([values[:3].mean(0), values[3:].mean(0)])
    distance = np.abs(drawn[:, None] - possible).max(2)
    assert (distance.min(1) < 1e-12).all()
    assert 60 < (distance[:, 0] < 1e-12).sum() < 140


def test_against_a_loop_over_segments():
    """The same draws, with every segment copied as often as its location was drawn."""
    rng = np.random.default_rng(5)
    sizes = [rng.integers(1, 30, n) for n in (4, 9)]
    where = place_units(sizes)
    values = rng.normal(size=(len(where.of), 1))
    drawn = resampled_means(values, where, Resampling(20, seed=3))
    for group in range(2):
        members = np.flatnonzero(where.group == group)
        times = np.random.default_rng((3, group)).multinomial(
            len(members) - 1, np.full(len(members), 1 / len(members)), 20
        )
        for each, row in zip(drawn[:, group, 0], times, strict=True):
            copies = [
                values[where.of == member, 0]
                for member, count in zip(members, row, strict=True)
                for _ in range(count)
            ]
            assert each == pytest.approx(np.concatenate(copies).mean(), rel=1e-12)


def test_seeded_and_the_same_for_whatever_is_computed():
    where = place_units([[3, 5, 2], [4, 4, 4, 4]])
    values = np.random.default_rng(0).normal(size=(26, 2))
    one = resampled_means(values, where, Resampling(50, 7))
    np.testing.assert_array_equal(one, resampled_means(values, where, Resampling(50, 7)))
    assert not np.array_equal(one, resampled_means(values, where, Resampling(50, 8)))
    both = resampled_means(values[:, ::-1], where, Resampling(50, 7))[..., ::-1]
    np.testing.assert_allclose(both, one, rtol=1e-12)


def test_a_single_location_does_not_vary_and_is_named():
    where = place_units([[3], [4, 4, 4]])
    assert where.alone == ("g0",)
    drawn = resampled_means(np.arange(15.0)[:, None], where, Resampling(50))
    assert np.ptp(drawn[:, 0, 0]) == 0 and np.ptp(drawn[:, 1, 0]) > 0


@pytest.mark.parametrize("skewed", [False, True])
def test_coverage(skewed):
    """Of 95 % intervals about 95 % hold the truth: locations vary, segments of one are alike.

    Ten scenes of 8 to 16 locations of 3 to 80 clips, as in TAU2021. With 400 trials the standard
    error of the coverage is 0.011; resampling segments instead would hold the truth in under 60 %.
    """
    rng = np.random.default_rng(11)
    trials, held, naive = 400, 0, 0
    for trial in range(trials):
        sizes = [rng.integers(3, 81, rng.integers(8, 17)) for _ in range(10)]
        where = place_units(sizes)
        raw = rng.exponential(1, len(where.group)) if skewed else rng.normal(1, 1, len(where.group))
        values = raw[where.of] + rng.normal(0, 0.5, len(where.of))
        found = interval(
            resampled_means(values[:, None], where, Resampling(300, trial))[..., 0].mean(1)
        )
        held += found.low <= 1 <= found.high
        if trial < 40:
            alone = Units("clip", where.groups, where.group[where.of], np.arange(len(where.of)))
            found = interval(
                resampled_means(values[:, None], alone, Resampling(100, trial))[..., 0].mean(1)
            )
            naive += found.low <= 1 <= found.high
    assert 0.915 <= held / trials <= 0.98, held / trials
    assert naive / 40 < 0.6


CLIPS = [
    Clip(f"{scene}-{n}", scene, None, None, "test", f"city{n % 2}", f"place-{scene}-{n // 2}")
    for scene in ("bus", "tram")
    for n in range(6)
]


def segments():
    clip = np.repeat(np.arange(12), 3)
    probability = np.full((36, 2), 0.5)
    return Segments(probability, clip, np.tile(np.arange(3), 12), clip // 6)


def test_units_are_the_locations_of_each_group():
    found = resampling_units(segments(), CLIPS, by_scene(segments(), ("bus", "tram")))
    assert found.kind == "location" and found.group.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(found.of, np.repeat(np.arange(6), 6))
    groups = by_city(segments(), CLIPS)
    assert groups is not None and groups.names == ("city0", "city1")
    found = resampling_units(segments(), CLIPS, groups)
    assert len(found.group) == 12 and found.group.tolist() == [0] * 6 + [1] * 6


def test_without_locations_clips_are_drawn():
    clips = [replace(clip, location=None) if row == 3 else clip for row, clip in enumerate(CLIPS)]
    found = resampling_units(segments(), clips, by_scene(segments(), ("bus", "tram")))
    assert found.kind == "clip" and len(found.group) == 12


def test_chance_of_none():
    assert chance_of_none(np.array([1.0] * 999)) == 2 / 1000
    assert chance_of_none(np.array([1.0, -1.0] * 500)) == 1
    assert chance_of_none(np.array([0.0] * 100)) == 1
    assert chance_of_none(np.array([-1.0] * 990 + [1.0] * 9)) == pytest.approx(0.02)
