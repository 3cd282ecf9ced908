"""The scalogram's Gaussian wavelets.

A constant-Q bank in the manner of Anden and Mallat, "Deep scattering spectrum" (2014): wavelets
spaced evenly in log frequency with widths in proportion, and below the *elbow*, where they would
grow longer than T, wavelets of one width spaced evenly in frequency. Their numbers, the width and
the place of the top wavelet follow ScatNet 0.2 (`morlet_filter_bank_1d`, `T_to_J`):

    sigma0 = 2 / sqrt(3)
    sigma_psi = sigma0 / 2 / (1 - 2^(-1/Q))           width of the top wavelet in time, samples
    J = 1 + round(Q log2(T / (4 Q)))                  log-spaced wavelets
    P = round((2^(-1/Q) - sigma0 / (4 sigma_psi)) / (1 - 2^(-1/Q)))      linear ones
    top centre = (2^(-1/Q) + 1) / 2 of the Nyquist frequency

The linear ones divide the range from 0 Hz to the elbow, the lowest log-spaced centre, into P + 1
equal steps. The wavelets are Gaussians in frequency (analytic Morlet wavelets without the small
term that removes their mean), sampled at the bins of a magnitude spectrum.

The paper (section 2.2.1) gives the number of wavelets, 290, and no more. Q = 41 is our choice: with
T = 8192 at 16 kHz it gives J = 232 and P = 58.
"""

from math import floor, log2, pi, sqrt

import numpy as np
import numpy.typing as npt

from avsc.features.specs import ScalogramSpec
from avsc.manifests.errors import SettingError

REACH = 7.0
"""Standard deviations from its centre at which a Gaussian (2e-11 of its peak) is cut to zero."""


def scalogram_filters(spec: ScalogramSpec) -> npt.NDArray[np.float64]:
    """Return the wavelets' frequency responses, each row summing to 1.

    Returns:
        float64 [J + P, window // 2 + 1], by ascending centre.

    Raises:
        SettingError: no bank with this Q and T, or wavelets too narrow for the window's bins.
    """
    frequency = np.arange(spec.window // 2 + 1) * (spec.sample_rate / spec.window)
    centre, width = centre_frequencies(spec)[:, None], widths(spec)[:, None]
    distance = (frequency - centre) / width
    response = np.where(abs(distance) <= REACH, np.exp(-(distance**2) / 2), 0.0)
    total = response.sum(axis=1, keepdims=True)
    if not total.all():
        raise SettingError(
            f"scalogram: a window of {spec.window} samples has bins {frequency[1]:.3g} Hz apart, "
            f"too far for wavelets {width.min():.3g} Hz wide; take a longer window or a smaller t."
        )
    rows: npt.NDArray[np.float64] = response / total
    return rows


def centre_frequencies(spec: ScalogramSpec) -> npt.NDArray[np.float64]:
    """Return the centres of the wavelets, Hz, ascending: P linear ones, then J log-spaced ones."""
    log_spaced, linear = counts(spec)
    top = (2 ** (-1 / spec.q) + 1) / 2 * spec.sample_rate / 2
    upper = top * 2 ** (-np.arange(log_spaced)[::-1] / spec.q)
    lower = upper[0] * np.arange(1, linear + 1) / (linear + 1)
    return np.concatenate([lower, upper])


def widths(spec: ScalogramSpec) -> npt.NDArray[np.float64]:
    """Return the standard deviations of the wavelets in frequency, Hz, in the centres' order."""
    log_spaced, linear = counts(spec)
    top = spec.sample_rate / (2 * pi * _sigma_psi(spec))
    upper = top * 2 ** (-np.arange(log_spaced)[::-1] / spec.q)
    return np.concatenate([np.full(linear, upper[0]), upper])


def counts(spec: ScalogramSpec) -> tuple[int, int]:
    """Return J and P, the numbers of log-spaced and of linearly spaced wavelets.

    Raises:
        SettingError: Q is no whole number from 1, or T is too short for any wavelet.
    """
    if spec.q < 1:
        raise SettingError(f"scalogram: q is {spec.q!r}; 1 or more wavelets per octave.")
    if spec.t < 4 * spec.q:
        raise SettingError(f"scalogram: t is {spec.t!r}; with q = {spec.q}, {4 * spec.q} or more.")
    ratio = 2 ** (-1 / spec.q)
    log_spaced = 1 + _rounded(spec.q * log2(spec.t / (4 * spec.q)))
    linear = _rounded((ratio - 2 / sqrt(3) / (4 * _sigma_psi(spec))) / (1 - ratio))
    return log_spaced, linear


def _sigma_psi(spec: ScalogramSpec) -> float:
    return 2 / sqrt(3) / 2 / (1 - 2 ** (-1 / spec.q))


def _rounded(value: float) -> int:
    """Return the nearest whole number, halves upwards as MATLAB has it for what is positive."""
    return floor(value + 0.5)
