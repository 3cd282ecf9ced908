"""Mel filters, as HTK makes them.

The edges and peaks of the bands are evenly spaced in mel = 2595 log10(1 + f / 700) from the lowest
edge to the highest; each band is a triangle in mel (not in Hz) with peak 1, and ends where its
neighbours peak. Source: The HTK Book 3.4, section 5.6, and `InitFBank` in HTK's HSigP.c.
"""

import numpy as np
import numpy.typing as npt

from avsc.features.specs import FbankSpec
from avsc.manifests.errors import SettingError


def mel_filters(spec: FbankSpec) -> npt.NDArray[np.float64]:
    """Return the weights of the magnitude spectrum's bins in each band.

    Returns:
        float64 [bands, window // 2 + 1], by ascending frequency.

    Raises:
        SettingError: edges that are no part of the spectrum, or a band between two of its bins.
    """
    nyquist = spec.sample_rate / 2
    if not 0 <= spec.low < spec.high <= nyquist:
        raise SettingError(
            f"fbank: bands from {spec.low} to {spec.high} Hz; wanted are edges between 0 and "
            f"{nyquist:g} Hz."
        )
    frequency = np.arange(spec.window // 2 + 1) * (spec.sample_rate / spec.window)
    points = band_edges(spec)
    step = points[1] - points[0]
    filters: npt.NDArray[np.float64] = np.maximum(
        0.0, 1 - abs(mel(frequency) - points[1:-1, None]) / step
    )
    empty = np.flatnonzero(~filters.any(axis=1))
    if len(empty):
        raise SettingError(
            f"fbank: {len(empty)} of {spec.bands} bands lie between two bins, the first at "
            f"{hertz(points[1 + empty[0]]):.1f} Hz; take fewer bands or a longer window."
        )
    return filters


def band_centres(spec: FbankSpec) -> npt.NDArray[np.float64]:
    """Return the frequency at which each band peaks, Hz, ascending."""
    return hertz(band_edges(spec)[1:-1])


def band_edges(spec: FbankSpec) -> npt.NDArray[np.float64]:
    """Return where bands begin, peak and end, mel [bands + 2]; band k has edges k to k + 2."""
    return np.linspace(mel(spec.low), mel(spec.high), spec.bands + 2)


def mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return frequencies in mel."""
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)


def hertz(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return frequencies in Hz."""
    return 700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1)
