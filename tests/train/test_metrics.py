"""The official metric: by hand, against scikit-learn, and at its edges."""

import numpy as np
import pytest
from sklearn import metrics as reference

from avsc.manifests.errors import AvscError
from avsc.train.metrics import CLIP, scores
from avsc.train.protocol import Segments


def make(probability, scene):
    place = np.arange(len(scene))
    return Segments(np.asarray(probability, np.float64), place, place, np.asarray(scene, np.int64))


def draw(seed, classes, count):
    """Random predictions that lean to the truth, with very uneven classes, each there."""
    rng = np.random.default_rng(seed)
    scene = np.concatenate([np.arange(classes), rng.geometric(0.3, count) % classes])
    logits = rng.normal(0, 3, (len(scene), classes)) + 2 * np.eye(classes)[scene]
    probability = np.exp(logits)
    return make(probability / probability.sum(1, keepdims=True), scene)


def test_three_segments_by_hand():
    found = scores(make([[0.5, 0.5], [0.25, 0.75], [0.2, 0.8]], [0, 0, 1]), ("park", "tram"))
    # park: -(ln 1/2 + ln 1/4) / 2 = 1.5 ln 2, and the tie goes to park; tram: -ln 0.8.
    np.testing.assert_allclose(found.class_log_loss, [1.5 * np.log(2), np.log(1.25)], rtol=1e-14)
    np.testing.assert_array_equal(found.class_accuracy, [0.5, 1])
    np.testing.assert_array_equal(found.confusion, [[1, 1], [0, 1]])
    assert found.log_loss == pytest.approx((1.5 * np.log(2) + np.log(1.25)) / 2, rel=1e-14)
    assert found.accuracy == 0.75


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("classes", [2, 10])
def test_equals_scikit_learn(seed, classes):
    segments = draw(seed, classes, 400)
    found = scores(segments, [f"scene{index}" for index in range(classes)])
    scene, probability = segments.scene, segments.probability
    losses = [
        reference.log_loss(scene[scene == one], probability[scene == one], labels=range(classes))
        for one in range(classes)
    ]
    predicted = probability.argmax(1)
    np.testing.assert_allclose(found.class_log_loss, losses, rtol=1e-12)
    assert found.log_loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert found.accuracy == pytest.approx(reference.balanced_accuracy_score(scene, predicted))
    np.testing.assert_array_equal(found.confusion, reference.confusion_matrix(scene, predicted))
    # The classes are uneven, so that a mean over segments would be another figure.
    assert abs(found.log_loss - reference.log_loss(scene, probability)) > 1e-3


def test_certainty_costs_no_more_than_the_clip():
    found = scores(make([[0, 1], [0, 1]], [0, 1]), ("park", "tram"))
    np.testing.assert_allclose(found.class_log_loss, [-np.log(CLIP), 0], atol=2e-15)
    assert -np.log(CLIP) == pytest.approx(34.538776394910684)


def test_of_equal_probabilities_the_first_class_is_predicted():
    found = scores(make([[0.2, 0.4, 0.4], [0.3, 0.3, 0.4], [0.5, 0, 0.5]], [2, 1, 0]), "abc")
    np.testing.assert_array_equal(found.confusion, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_a_class_without_segments_is_named():
    with pytest.raises(AvscError, match="'bus' has no segments"):
        scores(make([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], [0, 2]), ("airport", "bus", "tram"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_refused(value):
    with pytest.raises(AvscError, match="not finite"):
        scores(make([[0.5, value], [0.2, 0.8]], [0, 1]), ("park", "tram"))
