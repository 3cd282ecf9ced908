"""Mel filters against HTK's own way of working them out."""

from bisect import bisect
from math import log

import numpy as np
import pytest
from media import tone

from avsc.features.framing import magnitude
from avsc.features.mel import hertz, mel, mel_filters
from avsc.features.specs import FbankSpec
from avsc.manifests.errors import SettingError

SPEC = FbankSpec()


def test_mel_and_back() -> None:
    assert mel([0, 1000, 8000]) == pytest.approx([0, 999.99, 2840.02], abs=0.01)
    assert hertz(mel([0, 123.4, 8000])) == pytest.approx([0, 123.4, 8000])


def test_filters_bin_by_bin_as_htk() -> None:
    """HTK gives each bin a lower weight for the band that it is falling out of, and the rest up."""
    edges = [i * 1127 * log(1 + 8000 / 700) / 257 for i in range(258)]
    expected = np.zeros((258, 4097))
    for k in range(4097):
        m = 1127 * log(1 + k * 16_000 / 8192 / 700)
        band = min(bisect(edges, m), 257) - 1
        left, right = edges[band : band + 2]
        expected[band, k] = (right - m) / (right - left)
        expected[band + 1, k] = (m - left) / (right - left)
    np.testing.assert_allclose(mel_filters(SPEC), expected[1:257], rtol=0, atol=2e-4)


def test_no_band_is_empty_and_neighbours_share_each_bin() -> None:
    filters = mel_filters(SPEC)
    assert filters.shape == (256, 4097)
    assert (filters.max(axis=1) > 0.5).all()
    peaks = hertz(np.linspace(0, mel(8000), 258)[1:-1])
    frequency = np.arange(4097) * 16_000 / 8192
    between = (frequency >= peaks[0]) & (frequency <= peaks[-1])
    assert filters.sum(axis=0)[between] == pytest.approx(1)


@pytest.mark.parametrize("band", [0, 20, 100, 255])
def test_a_tone_lights_its_own_band(band: int) -> None:
    peak = hertz(np.linspace(0, mel(8000), 258)[1:-1])[band]
    samples = tone(float(peak), 16_000, 8192)[None].astype(np.float32)
    assert np.argmax(mel_filters(SPEC) @ magnitude(samples, SPEC)[0, 0]) == band


def test_a_tone_of_amplitude_one_has_level_one() -> None:
    """Magnitudes 1/4, 1/2 and 1/4 fall under the peak of a wide triangle."""
    peak = hertz(np.linspace(0, mel(8000), 258)[1:-1])[200]
    samples = tone(float(peak), 16_000, 8192)[None].astype(np.float32)
    level = mel_filters(SPEC)[200] @ magnitude(samples, SPEC)[0, 0]
    assert level == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (FbankSpec(high=9000), "between 0 and 8000 Hz"),
        (FbankSpec(low=500, high=400), "from 500 to 400 Hz"),
        (FbankSpec(window=512), "lie between two bins, the first at 6.9 Hz"),
    ],
)
def test_bad_settings_are_named(spec: FbankSpec, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        mel_filters(spec)


def test_edges_are_those_that_were_asked_for() -> None:
    """Triangles between 22 points that are evenly spaced in HTK's other form of mel."""
    points = np.linspace(1127 * log(1 + 300 / 700), 1127 * log(1 + 5000 / 700), 22)
    mels = 1127 * np.log(1 + np.arange(4097) * (16_000 / 8192) / 700)
    expected = [np.interp(mels, points[b : b + 3], [0, 1, 0], left=0, right=0) for b in range(20)]
    found = mel_filters(FbankSpec(bands=20, low=300.0, high=5000.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)
    assert not found[:, : int(300 / 16_000 * 8192)].any()
