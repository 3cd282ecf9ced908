"""The sparse product against a dense one, and the whole acoustic path against a second one."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from media import noise
from numpy.lib.stride_tricks import sliding_window_view

from avsc.features.clip import empty
from avsc.features.filterbank import FilterBank, acoustic_filters
from avsc.features.framing import magnitude
from avsc.features.mel import mel_filters
from avsc.features.sound import read_sound
from avsc.features.specs import FbankSpec, ScalogramSpec
from avsc.features.wavelets import centre_frequencies, scalogram_filters, widths

SPEC = ScalogramSpec()
CENTRES = centre_frequencies(SPEC)
RECORDINGS = (
    "airport-paris-9-402",
    "bus-prague-1102-41514",
    "park-lyon-1144-44031",
    "street_traffic-lyon-1029-40200",
)


@pytest.mark.parametrize("filters", [scalogram_filters(SPEC), mel_filters(FbankSpec())])
def test_the_product_is_the_dense_one(filters: npt.NDArray[np.float64]) -> None:
    spectra = abs(noise(3, 6 * 4097, 1)).reshape(3, 2, 4097).astype(np.float32) ** 8
    values = FilterBank(filters).log(spectra, 1e-10)
    assert values.dtype == np.float32
    expected = np.log(np.maximum(spectra.astype(np.float64) @ filters.T, 1e-10))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", [SPEC, ScalogramSpec(q=12), FbankSpec(), FbankSpec(bands=40)])
def test_an_empty_part_has_a_column_for_each_filter(spec: ScalogramSpec | FbankSpec) -> None:
    assert empty(spec).shape == (0, 2, len(acoustic_filters(spec)))


def test_a_flat_spectrum_keeps_its_level() -> None:
    flat = np.full((1, 2, 4097), 0.01, np.float32)
    assert FilterBank(scalogram_filters(SPEC)).log(flat, 1e-10) == pytest.approx(np.log(0.01))


def test_nothing_is_below_the_floor() -> None:
    values = FilterBank(scalogram_filters(SPEC)).log(np.zeros((1, 2, 4097), np.float32), 1e-10)
    assert values == pytest.approx(np.log(1e-10))


def test_a_frame_is_the_same_whatever_is_beside_it() -> None:
    """Otherwise a clip's values would depend on its length."""
    spectra = abs(noise(4, 80 * 4097, 1)).reshape(40, 2, 4097).astype(np.float32)
    bank = FilterBank(scalogram_filters(SPEC))
    together = bank.log(spectra, 1e-10)
    for i in range(0, 40, 13):
        assert (bank.log(spectra[i : i + 1], 1e-10)[0] == together[i]).all()


def scalogram(path: Path) -> npt.NDArray[np.float32]:
    spectra = magnitude(read_sound(path, SPEC.sample_rate).samples, SPEC)
    return FilterBank(scalogram_filters(SPEC)).log(spectra, SPEC.floor)


def scalogram_in_float64(samples: npt.NDArray[Any], times: int) -> npt.NDArray[np.float64]:
    """Return the scalogram of samples [channels, n] at `times` the spec's rate, by dense products.

    A window that is as many times longer has the same bins up to the spec's Nyquist frequency.
    """
    window = times * SPEC.window
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = sliding_window_view(samples.astype(np.float64), window, axis=1)
    spectra = abs(np.fft.rfft(frames[:, :: times * SPEC.hop] * hann))[..., :4097] / hann.sum()
    distance = np.arange(4097) * (16_000 / 8192) - CENTRES[:, None]
    gaussians = np.exp(-((distance / widths(SPEC)[:, None]) ** 2) / 2)
    gaussians /= gaussians.sum(axis=1, keepdims=True)
    logarithm: npt.NDArray[np.float64] = np.log(np.maximum(spectra @ gaussians.T, 1e-10))
    return logarithm.transpose(1, 0, 2)


@pytest.mark.real
@pytest.mark.parametrize("name", RECORDINGS)
def test_real_recordings_against_float64(real_data: Path, name: str) -> None:
    """From the same samples at 16 kHz. Measured: 3.8e-5 at most to 7.6 kHz.

    Above, where the resampler has left next to nothing beside louder bins, float32 is felt: 8.1e-3.
    """
    path = real_data / "tau2021_real" / "audio" / f"{name}.wav"
    expected = scalogram_in_float64(read_sound(path, 16_000).samples, 1)
    difference = abs(scalogram(path) - expected)
    assert difference.shape == (56, 2, 290)
    assert difference[..., CENTRES < 7300].max() < 1e-4
    assert difference.max() < 0.02


@pytest.mark.real
@pytest.mark.parametrize("name", RECORDINGS)
def test_real_recordings_against_float64_without_resampling(real_data: Path, name: str) -> None:
    """From the recording's own 48 kHz, so that what the resampler changes is seen.

    Measured: 5.1e-5 at most to 7.2 kHz; the resampler's edge shows from there, 2e-3 at 7.3 kHz.
    Between 7.4 kHz and the Nyquist frequency the resampler takes away up to 4.74 (41 dB).
    """
    path = real_data / "tau2021_real" / "audio" / f"{name}.wav"
    left, right = np.pad(soundfile.read(path)[0], ((0, 1), (0, 0))).T
    expected = scalogram_in_float64(np.stack([(left + right) / 2, (left - right) / 2]), 3)
    difference = abs(scalogram(path) - expected)
    assert difference.shape == (56, 2, 290)
    assert difference[..., CENTRES < 7200].max() < 1e-4
    assert difference[..., CENTRES < 7400].max() < 5e-3
    assert difference.max() < 5


@pytest.mark.real
def test_a_real_wav_and_its_mp4_agree(real_data: Path) -> None:
    """One has been through MP3 at 44.1 kHz. Measured: median 0.050, 95th percentile 0.104."""
    name = "street_traffic-lyon-1029-40200"
    wav = scalogram(real_data / "tau2021_real" / "audio" / f"{name}.wav")
    mp4 = scalogram(real_data / "tau2021_real" / "video" / f"{name}.mp4")
    difference = abs(wav - mp4)
    assert np.median(difference) < 0.06
    assert np.percentile(difference, 95) < 0.13
