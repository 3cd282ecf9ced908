"""Augmentation: distributions against theory and against torchvision's own draws; the crop rule."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from avsc.manifests.errors import SettingError
from avsc.train.data.augment import (
    NEUTRAL,
    TRANSFORMS,
    UNCHANGED,
    Augment,
    ImageInput,
    evaluation_window,
)

N = 20_000
LIKELY = 1e-4  # a right distribution fails a test with this probability; seeds are fixed
IMAGE = ImageInput(288, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def boxes(augment, drawn, height, width):
    """Top, left, height, width of each crop."""
    windows = (augment.window(one, height, width, IMAGE) for one in drawn)
    return np.array([(r.start, c.start, r.length, c.length) for r, c in windows])


def from_uniform(values, low, high):
    assert low <= values.min() and values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=4 * (high - low) / np.sqrt(12 * N))
    assert values.var() == pytest.approx((high - low) ** 2 / 12, rel=0.05)
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > LIKELY


def test_parameters_have_their_distributions():
    augment = Augment()
    drawn = augment.draw(np.random.default_rng(0), N)
    for attempt in (0, 9):
        assert from_uniform(drawn["area"][:, attempt], 0.08, 1)
        assert from_uniform(np.log(drawn["aspect"][:, attempt]), math.log(3 / 4), math.log(4 / 3))
    for axis in (0, 1):
        assert from_uniform(drawn["place"][:, axis], 0, 1)
    assert stats.binomtest(int(drawn["flip"].sum()), N, 0.5).pvalue > LIKELY
    for part, reach in enumerate((0.4, 0.4, 0.4, 0.1)):
        middle = NEUTRAL[part]
        values = drawn["factor"][:, part].astype(np.float64)
        edge = 1e-6  # float32
        assert from_uniform(values, middle - reach - edge, middle + reach + edge)
    orders, count = np.unique(drawn["order"], axis=0, return_counts=True)
    assert len(orders) == 24
    assert stats.chisquare(count).pvalue > LIKELY


def test_parameters_are_independent_of_each_other():
    drawn = Augment().draw(np.random.default_rng(1), N)
    first = np.argmax(drawn["order"] == 0, axis=1)
    columns = [drawn["area"][:, 0], drawn["area"][:, 1], np.log(drawn["aspect"][:, 0])]
    columns += [*drawn["place"].T, drawn["flip"], *drawn["factor"].T, first]
    correlation = np.corrcoef(np.stack(columns)) - np.eye(len(columns))
    assert np.abs(correlation).max() < 4.5 / np.sqrt(N)


@pytest.mark.parametrize("shape", [(320, 568), (568, 320), (320, 320), (120, 400)])
def test_crops_are_distributed_as_torchvisions(shape):
    height, width = shape
    augment = Augment()
    ours = boxes(augment, augment.draw(np.random.default_rng(2), 4000), height, width)
    transform = v2.RandomResizedCrop(288, antialias=True)
    image = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = [transform.make_params([image]) for _ in range(4000)]
    theirs = np.array([[one[key] for key in ("top", "left", "height", "width")] for one in made])
    for of in (ours, theirs):
        assert (of[:, :2] >= 0).all()
        assert (of[:, :2] + of[:, 2:] <= shape).all()
    for measure in (
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 3] / box[:, 2],
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 0] + box[:, 2],
        lambda box: box[:, 1] + box[:, 3],
    ):
        assert stats.ks_2samp(measure(ours), measure(theirs)).pvalue > LIKELY


@pytest.mark.parametrize("shape", [(10, 1000), (1000, 10), (1, 7), (50, 60), (60, 50), (30, 40)])
def test_fallback_is_torchvisions(shape):
    # Whole images of a ratio that fits none of these shapes, so that all ten tries fail.
    scale = (1.0, 1.0)
    ratio = (0.9, 1.1)
    augment = Augment(frozenset({"crop"}), scale=scale, ratio=ratio)
    transform = v2.RandomResizedCrop(288, scale=scale, ratio=ratio, antialias=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = transform.make_params([torch.empty(3, *shape)])
    ours = boxes(augment, augment.draw(np.random.default_rng(0), 20), *shape)
    assert (ours == [theirs[key] for key in ("top", "left", "height", "width")]).all()


def test_jitter_is_distributed_as_torchvisions():
    drawn = Augment().draw(np.random.default_rng(4), 4000)
    transform = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = [transform.make_params([]) for _ in range(4000)]
    for part, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        theirs = [one[f"{name}_factor"] for one in made]
        assert stats.ks_2samp(drawn["factor"][:, part], theirs).pvalue > LIKELY
    places = [one["fn_idx"].tolist().index(3) for one in made]
    ours = np.argmax(drawn["order"] == 3, axis=1)
    assert stats.chi2_contingency([np.bincount(ours), np.bincount(places)]).pvalue > LIKELY


@settings(deadline=None, max_examples=200)
@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    seed=st.integers(0, 2**32),
    low=st.floats(0.01, 1),
)
def test_crops_stay_inside(height, width, seed, low):
    augment = Augment(scale=(low, 1.0))
    top, left, high, wide = boxes(
        augment, augment.draw(np.random.default_rng(seed), 20), height, width
    ).T
    assert (top >= 0).all() and (left >= 0).all() and (high > 0).all() and (wide > 0).all()
    assert (top + high <= height).all() and (left + wide <= width).all()


def test_places_reach_both_ends():
    augment = Augment(scale=(0.2, 0.3))
    drawn = augment.draw(np.random.default_rng(6), 2)
    drawn["place"] = [[0, 0], [1 - 1e-12, 1 - 1e-12]]
    (top, left, _, _), (bottom, right, high, wide) = boxes(augment, drawn, 320, 568)
    assert (top, left) == (0, 0)
    assert (bottom + high, right + wide) == (320, 568)


def test_parts_that_are_left_out_are_neutral_and_change_no_other():
    every = Augment.named("crop,flip,jitter").draw(np.random.default_rng(7), 50)
    flips = Augment.named("flip").draw(np.random.default_rng(7), 50)
    np.testing.assert_array_equal(flips["flip"], every["flip"])
    assert (flips["factor"] == np.float32(NEUTRAL)).all()
    jitters = Augment.named(" jitter ").draw(np.random.default_rng(7), 50)
    assert not jitters["flip"].any()
    np.testing.assert_array_equal(jitters["factor"], every["factor"])
    np.testing.assert_array_equal(jitters["order"], every["order"])
    for augment in (Augment.named("flip,jitter"), Augment.named("none"), UNCHANGED):
        drawn = augment.draw(np.random.default_rng(7), 1)[0]
        assert augment.window(drawn, 320, 568, IMAGE) == evaluation_window(320, 568, IMAGE)
    assert Augment.named("none") == UNCHANGED


def test_parts_may_be_named_in_any_order_and_more_than_once():
    for count in (1, 2, 3):
        for names in permutations(TRANSFORMS, count):
            wanted = Augment(frozenset(names))
            assert Augment.named(",".join(names)) == wanted
            assert Augment.named(" , ".join((*names, names[0]))) == wanted


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: Augment.named("crop,flop"), "unknown part 'flop'; any of crop, flip, jitter"),
        (lambda: Augment.named(""), "unknown part ''"),
        (lambda: Augment.named("crop,none"), "unknown part 'none'"),
        (lambda: Augment(scale=(0.0, 1.0)), "scale is 0.0 to 1.0"),
        (lambda: Augment(scale=(0.5, 1.5)), "scale is 0.5 to 1.5"),
        (lambda: Augment(ratio=(2.0, 1.0)), "ratio is 2.0 to 1.0"),
        (lambda: Augment(flip=1.5), "flip is 1.5"),
        (lambda: Augment(strength=(0.4, 0.4, 0.4, 0.6)), "strength is"),
        (lambda: ImageInput(0, (0, 0, 0), (1, 1, 1)), "image size is 0"),
        (lambda: ImageInput(9, (0, 0, 0), (1, 0, 1)), "image std is"),
        (lambda: ImageInput(9, (0, 0, 0), (1, 1, 1), "fit"), "'fit'; one of crop, squash"),
    ],
)
def test_wrong_settings_are_named(wrong, text):
    with pytest.raises(SettingError, match=text):
        wrong()
