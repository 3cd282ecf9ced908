"""Crops whose shape is known beforehand, and how many images are mirrored."""

import numpy as np

from avsc.train.data.augment import Augment, ImageInput

IMAGE = ImageInput(32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def boxes(augment, place, height, width, count=20):
    """Top, left, height and width of crops that lie where `place` says."""
    drawn = augment.draw(np.random.default_rng(0), count)
    drawn["place"] = place
    windows = (augment.window(one, height, width, IMAGE) for one in drawn)
    return {(rows.start, columns.start, rows.length, columns.length) for rows, columns in windows}


def test_a_ratio_is_width_by_height():
    """Two fifths of 300 x 300 pixels, twice as wide as high: 134 x 268."""
    wide = Augment(frozenset({"crop"}), scale=(0.4, 0.4), ratio=(2.0, 2.0))
    assert boxes(wide, 0, 300, 300) == {(0, 0, 134, 268)}
    high = Augment(frozenset({"crop"}), scale=(0.4, 0.4), ratio=(0.5, 0.5))
    assert boxes(high, 0, 300, 300) == {(0, 0, 268, 134)}


def test_a_crop_may_be_as_wide_or_as_high_as_the_image():
    """Half of 200 x 100 pixels as a square is as wide as the image, and lies anywhere in it."""
    half = Augment(frozenset({"crop"}), scale=(0.5, 0.5), ratio=(1.0, 1.0))
    assert boxes(half, 0, 200, 100) == {(0, 0, 100, 100)}
    assert boxes(half, 1 - 1e-12, 200, 100) == {(100, 0, 100, 100)}
    assert boxes(half, 1 - 1e-12, 100, 200) == {(0, 100, 100, 100)}


def test_the_crop_that_always_fits_is_in_the_middle_and_of_the_nearest_ratio():
    """Of all of an image ten times as wide as high no ratio from 3/4 to 4/3 is left: 4/3."""
    whole = Augment(frozenset({"crop"}), scale=(1.0, 1.0))
    assert boxes(whole, 0, 60, 600) == {(0, 260, 60, 80)}
    assert boxes(whole, 0, 600, 60) == {(260, 0, 80, 60)}


def test_as_many_are_mirrored_as_were_asked_for():
    shares = []
    for probability in (0.0, 0.2, 1.0):
        drawn = Augment(flip=probability).draw(np.random.default_rng(0), 10_000)
        shares.append(drawn["flip"].mean())
    assert (shares[0], shares[2]) == (0, 1)
    assert abs(shares[1] - 0.2) < 0.02  # five standard deviations
