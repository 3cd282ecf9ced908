"""The order of an epoch: every sample once, views shared by as many as were asked for."""

import sys

import numpy as np
import pytest

from avsc.train.data.samples import shuffled, shuffled_together

# Pictures of one to six samples each, the samples in no order.
COUNTS = np.random.default_rng(5).integers(1, 7, 40)
PICTURE = np.random.default_rng(6).permutation(np.repeat(np.arange(40), COUNTS))


def order(together, seed=0):
    return shuffled_together(PICTURE, together, np.random.default_rng(seed))


def batches(found, size, shard=(0, 1)):
    return [found.batch(b, size, shard) for b in range(len(PICTURE) // size)]


@pytest.mark.parametrize("together", [1, 2, 3, 6, sys.maxsize])
def test_groups_are_of_one_picture_and_as_large_as_can_be(together):
    found = order(together)
    np.testing.assert_array_equal(np.sort(found.sample), np.arange(len(PICTURE)))
    ends = np.flatnonzero(np.diff(found.group)) + 1
    groups = np.split(PICTURE[found.sample], ends)
    assert len(np.unique(found.group)) == len(groups)  # equal ones lie side by side
    sizes = {picture: [] for picture in range(40)}
    for group in groups:
        assert len(set(group)) == 1
        sizes[int(group[0])].append(len(group))
    for picture, count in enumerate(COUNTS):
        whole, rest = divmod(int(count), min(together, 99))
        assert sorted(sizes[picture]) == sorted(
            [*[min(together, 99)] * whole, *[rest] * (rest > 0)]
        )


def test_orders_differ_by_their_generator_alone():
    np.testing.assert_array_equal(order(4).sample, order(4).sample)
    assert (order(4).sample != order(4, seed=1).sample).any()
    # Which samples of a picture go together, and where a picture comes, are both drawn anew.
    first, second = order(2), order(2, seed=1)
    assert (PICTURE[first.sample] != PICTURE[second.sample]).any()

    def mates(found):
        ends = np.flatnonzero(np.diff(found.group)) + 1
        return {frozenset(group.tolist()) for group in np.split(found.sample, ends)}

    assert mates(first) != mates(second)
    assert mates(order(sys.maxsize)) == mates(order(sys.maxsize, seed=1))


def test_without_sharing_each_sample_is_drawn_for_itself():
    found = shuffled(50, np.random.default_rng(3))
    np.testing.assert_array_equal(found.sample, np.random.default_rng(3).permutation(50))
    part = found.batch(1, 20)
    np.testing.assert_array_equal(part.sample, found.sample[20:40])
    for each in (part.view, part.first, part.drawn):
        np.testing.assert_array_equal(each, np.arange(20))


@pytest.mark.parametrize("together", [1, 3, sys.maxsize])
def test_samples_of_a_view_have_its_picture(together):
    seen = np.concatenate([part.sample for part in batches(order(together), 16)])
    assert len(seen) == len(set(seen)) == len(PICTURE) // 16 * 16
    for part in batches(order(together), 16):
        np.testing.assert_array_equal(
            PICTURE[part.sample], PICTURE[part.sample[part.first]][part.view]
        )
        assert (np.diff(part.drawn) > 0).all()
        assert np.bincount(part.view).max() <= min(together, 6)


def test_processes_take_equal_runs_and_the_same_views():
    found = order(sys.maxsize)
    for b, whole in enumerate(batches(found, 24)):
        parts = [found.batch(b, 24, (i, 3)) for i in range(3)]
        np.testing.assert_array_equal(np.concatenate([part.sample for part in parts]), whole.sample)
        views = np.concatenate([part.drawn[part.view] for part in parts])
        np.testing.assert_array_equal(views, whole.drawn[whole.view])
        assert len(whole.drawn) <= sum(len(part.drawn) for part in parts) <= len(whole.drawn) + 2
