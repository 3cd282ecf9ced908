"""Segments parted by scene and by city, and what is right when nothing is known."""

import numpy as np
import pytest

from avsc.manifests.clips import Clip
from avsc.train.metrics import by_city, by_scene, scores
from avsc.train.protocol import Segments


def segments(clip, probability=None):
    clip = np.asarray(clip)
    probability = np.full((len(clip), 2), 0.5) if probability is None else probability
    return Segments(np.asarray(probability), clip, np.arange(len(clip)), clip % 2)


def clips(*cities):
    return [Clip(f"c{n}", "park", None, None, city=city) for n, city in enumerate(cities)]


def test_clips_without_a_city_are_a_group_of_their_own():
    found = by_city(segments([0, 0, 1, 2, 3]), clips("paris", None, "lyon", "paris"))
    assert found.names == ("(no city)", "lyon", "paris")
    assert found.of.tolist() == [2, 2, 0, 1, 2]
    means = found.means(np.array([[1.0, 10], [2, 20], [7, 70], [8, 80], [6, 60]]))
    np.testing.assert_allclose(means, [[7, 70], [8, 80], [3, 30]])


def test_where_no_clip_has_a_city_there_are_no_groups():
    assert by_city(segments([0, 1]), clips(None, None)) is None


def test_scenes_are_the_true_ones():
    found = by_scene(segments([3, 0, 1]), ("bus", "tram"))
    assert (found.names, found.of.tolist()) == (("bus", "tram"), [1, 0, 1])


def test_a_network_that_knows_nothing_is_right_about_the_first_class_alone():
    found = scores(segments([0, 1, 2, 3]), ("bus", "tram"))
    assert found.class_accuracy.tolist() == [1, 0]
    assert found.accuracy == 0.5
    assert found.log_loss == pytest.approx(np.log(2), rel=1e-14)
