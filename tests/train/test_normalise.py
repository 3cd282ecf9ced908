"""Streaming moments against numpy on everything at once."""

import numpy as np
import pytest

from avsc.manifests.errors import AvscError
from avsc.train.fit import build_network
from avsc.train.fit.build_network import Moments, moments


def frames(n, seed=0):
    # A mean that is large beside the deviation, as log features have in their worst bins.
    draw = np.random.default_rng(seed)
    return (1000 + draw.normal(0, 1e-2, (n, 2, 5))).astype(np.float32)


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_equals_numpy_in_portions_of_any_size(monkeypatch, portion):
    monkeypatch.setattr(build_network, "PORTION", portion)
    acoustic = frames(300)
    rows = np.random.default_rng(1).permutation(300)[:211]
    found = moments(acoustic, rows)
    chosen = acoustic[rows].astype(np.float64)
    assert found.count == 211
    np.testing.assert_allclose(found.mean, chosen.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.std, chosen.std(0), rtol=1e-9)


def test_rows_that_are_not_named_have_no_part_in_it():
    acoustic = frames(20)
    acoustic[10:] = np.nan
    assert np.isfinite(moments(acoustic, np.arange(10)).mean).all()


def test_merging_is_the_same_in_any_grouping():
    a, b, c = (Moments.of(frames(n, n)) for n in (3, 50, 400))
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert left.count == right.count == 453
    np.testing.assert_allclose(left.mean, right.mean, rtol=1e-14)
    np.testing.assert_allclose(left.squares, right.squares, rtol=1e-9)


def test_faults_are_named():
    acoustic = frames(4)
    with pytest.raises(AvscError, match="no training frames"):
        moments(acoustic, np.zeros(0, np.int64))
    acoustic[2, 1, 3] = np.inf
    with pytest.raises(AvscError, match=r"not finite.*avsc-prep verify"):
        moments(acoustic, np.arange(4))
