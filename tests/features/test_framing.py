"""Where frames lie, and the level of their spectra."""

import numpy as np
import pytest
from media import noise, tone
from scipy.signal import get_window

from avsc.features.framing import (
    _window,
    centre_sample,
    first_sample,
    inside,
    magnitude,
    n_frames,
    second,
)
from avsc.features.specs import ScalogramSpec

SPEC = ScalogramSpec()
ALL = np.arange(56)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(0, 0), (8191, 0), (8192, 1), (10927, 1), (10928, 2), (159_999, 56), (160_001, 56)],
)
def test_only_whole_windows_count(samples: int, frames: int) -> None:
    assert n_frames(samples, SPEC) == frames


def test_ten_seconds_have_four_to_six_centred_and_two_or_three_strict_frames_each() -> None:
    seconds = second(ALL, SPEC)
    assert np.bincount(seconds).tolist() == [5, 6, 6, 5, 6, 6, 6, 6, 6, 4]
    assert np.bincount(seconds[inside(ALL, SPEC)]).tolist() == [3, 3, 3, 3, 3, 3, 2, 3, 3, 3]


def test_frames_by_their_definition_in_seconds() -> None:
    start = ALL * 0.171
    assert first_sample(ALL, SPEC) / 16_000 == pytest.approx(start)
    assert centre_sample(ALL, SPEC) / 16_000 == pytest.approx(start + 0.256)
    assert (second(ALL, SPEC) == np.floor(start + 0.256)).all()
    within = (start >= second(ALL, SPEC)) & (start + 0.512 <= second(ALL, SPEC) + 1)
    assert (inside(ALL, SPEC) == within).all()


def test_a_window_that_ends_with_its_second_is_inside() -> None:
    spec = ScalogramSpec(sample_rate=1000, window=500, hop=250)
    assert inside(range(6), spec).tolist() == [True, True, True, False, True, True]


@pytest.mark.parametrize("length", [7, 512, 8192])
def test_the_window_is_scipy_signals_bit_by_bit(length: int) -> None:
    window = get_window("hann", length)
    assert (_window(length) == (window / window.sum()).astype(np.float32)).all()


def test_spectra_are_those_of_numpy_in_float64() -> None:
    samples = noise(1, 20_000).T.astype(np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8192) / 8192)
    spectra = magnitude(samples, SPEC)
    assert spectra.shape == (5, 2, 4097)
    assert spectra.dtype == np.float32
    for i in range(5):
        cut = samples[:, i * 2736 : i * 2736 + 8192].astype(np.float64)
        expected = abs(np.fft.rfft(cut * window)) / window.sum()
        np.testing.assert_allclose(spectra[i], expected, rtol=0, atol=1e-8)


def test_a_spectrum_is_the_same_whatever_is_beside_it() -> None:
    """Otherwise a clip's values would depend on its length; bit by bit."""
    samples = noise(2, 60_000).T.astype(np.float32)
    together = magnitude(samples, SPEC)
    for i in range(len(together)):
        alone = magnitude(samples[:, i * 2736 : i * 2736 + 8192], SPEC)
        assert (alone[0] == together[i]).all()


def test_a_tone_of_amplitude_one_gives_a_half() -> None:
    samples = tone(1000.0, 16_000, 8192)[None].astype(np.float32)
    spectrum = magnitude(samples, SPEC)[0, 0]
    assert spectrum[511:514] == pytest.approx([0.25, 0.5, 0.25], abs=1e-6)
    assert np.delete(spectrum, [511, 512, 513]).max() < 1e-6


def test_too_little_sound_gives_no_frames() -> None:
    assert magnitude(np.zeros((2, 8191), np.float32), SPEC).shape == (0, 2, 4097)
