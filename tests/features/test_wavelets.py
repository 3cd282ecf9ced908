"""The wavelets against the numbers that their theory gives."""

import numpy as np
import pytest
from media import tone

from avsc.features.framing import magnitude
from avsc.features.specs import ScalogramSpec
from avsc.features.wavelets import centre_frequencies, counts, scalogram_filters, widths
from avsc.manifests.errors import SettingError

SPEC = ScalogramSpec()
CENTRES = centre_frequencies(SPEC)
FREQUENCIES = np.arange(4097) * 16_000 / 8192


def test_the_paper_has_290() -> None:
    assert counts(SPEC) == (232, 58)
    assert scalogram_filters(SPEC).shape == (290, 4097)


@pytest.mark.parametrize(
    ("q", "t", "expected"), [(8, 4096, (57, 11)), (1, 1024, (9, 1)), (41, 8192, (232, 58))]
)
def test_counts_worked_out_by_hand(q: int, t: int, expected: tuple[int, int]) -> None:
    assert counts(ScalogramSpec(q=q, t=t)) == expected


def test_centres() -> None:
    assert CENTRES[[0, 57, 58, 289]] == pytest.approx([2.71, 157.02, 159.73, 7932.94], abs=5e-3)
    assert np.diff(CENTRES[:59]) == pytest.approx(2.7073, abs=5e-5)
    assert CENTRES[59:] / CENTRES[58:-1] == pytest.approx(2 ** (1 / 41))


def test_widths() -> None:
    assert widths(SPEC)[-1] == pytest.approx(73.94, abs=5e-3)
    assert widths(SPEC)[:59] == pytest.approx(1.4888, abs=5e-5)
    assert widths(SPEC)[58:] / CENTRES[58:] == pytest.approx(73.9395 / 7932.943, rel=1e-5)


def test_rows_are_gaussians_that_sum_to_one() -> None:
    filters = scalogram_filters(SPEC)
    assert filters.sum(axis=1) == pytest.approx(1, abs=1e-12)
    exact = np.exp(-(((FREQUENCIES - CENTRES[:, None]) / widths(SPEC)[:, None]) ** 2) / 2)
    exact /= exact.sum(axis=1, keepdims=True)
    assert abs(filters - exact).max() < 1e-10
    # The highest wavelets are cut off by the Nyquist frequency, so their moments are not asked for.
    mean = filters[:270] @ FREQUENCIES
    assert abs(mean - CENTRES[:270]).max() < 0.04
    deviation = np.sqrt(filters[58:270] @ FREQUENCIES**2 - mean[58:] ** 2)
    assert deviation == pytest.approx(widths(SPEC)[58:270], rel=0.02)


@pytest.mark.parametrize(("low", "high", "ripple"), [(165, 7700, 0.006), (10, 165, 0.008)])
def test_together_they_cover_the_spectrum_evenly(low: float, high: float, ripple: float) -> None:
    """The sum of the Gaussians varies by +-0.5 % above the elbow and +-0.8 % around and below."""
    frequency = np.linspace(low, high, 50_001)
    total = np.zeros_like(frequency)
    for centre, width in zip(CENTRES, widths(SPEC), strict=True):
        total += np.exp(-(((frequency - centre) / width) ** 2) / 2)
    assert (total.max() - total.min()) / (total.max() + total.min()) < ripple


@pytest.mark.parametrize("number", [5, 30, 58, 100, 200, 289])
def test_a_tone_lights_its_own_wavelet(number: int) -> None:
    samples = tone(CENTRES[number], 16_000, 8192)[None].astype(np.float32)
    response = scalogram_filters(SPEC) @ magnitude(samples, SPEC)[0, 0]
    # Rows sum to 1, so that narrow wavelets give a tone more weight: compare against their peaks.
    assert np.argmax(response / scalogram_filters(SPEC).max(axis=1)) == pytest.approx(number, abs=1)


@pytest.mark.parametrize("number", [100, 130, 200, 230])
def test_an_octave_is_q_wavelets(number: int) -> None:
    brightest = [
        np.argmax(scalogram_filters(SPEC) @ magnitude(samples[None], SPEC)[0, 0])
        for octave in (1, 2)
        for samples in [tone(octave * CENTRES[number], 16_000, 8192).astype(np.float32)]
    ]
    assert brightest[1] - brightest[0] == 41


def test_a_tone_of_amplitude_one_has_the_level_of_its_wavelets_peak() -> None:
    """Magnitudes 1/4, 1/2 and 1/4 fall under the flat top of a wide wavelet."""
    number = 250
    bin_frequency = FREQUENCIES[np.argmin(abs(FREQUENCIES - CENTRES[number]))]
    samples = tone(bin_frequency, 16_000, 8192)[None].astype(np.float32)
    level = scalogram_filters(SPEC)[number] @ magnitude(samples, SPEC)[0, 0]
    peak = (16_000 / 8192) / (widths(SPEC)[number] * np.sqrt(2 * np.pi))
    assert level == pytest.approx(peak, rel=0.01)


def test_bad_settings_are_named() -> None:
    with pytest.raises(SettingError, match="q is 0"):
        counts(ScalogramSpec(q=0))
    with pytest.raises(SettingError, match="t is 100; with q = 41, 164 or more"):
        counts(ScalogramSpec(t=100))
    with pytest.raises(SettingError, match=r"bins 62\.5 Hz apart"):
        scalogram_filters(ScalogramSpec(window=256))
