"""Filter banks of the acoustic features, applied to magnitude spectra, and the logarithm.

Each value is a sum over the filter's own bins, from the lowest to the highest, one after the other:
a sparse product, whose rounding does not depend on the processor as that of a BLAS call does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from avsc.features.mel import band_centres, mel_filters
from avsc.features.specs import AcousticSpec, FbankSpec, ScalogramSpec
from avsc.features.wavelets import centre_frequencies, scalogram_filters


class Design(NamedTuple):
    """How the filters of one acoustic feature are computed from its spec.

    Attributes:
        filters: returns float64 [bins, window // 2 + 1], by ascending frequency.
        centres: returns the centre of each filter, Hz, ascending.
    """

    filters: Callable[[Any], npt.NDArray[np.float64]]
    centres: Callable[[Any], npt.NDArray[np.float64]]


DESIGNS: dict[type[AcousticSpec], Design] = {
    ScalogramSpec: Design(scalogram_filters, centre_frequencies),
    FbankSpec: Design(mel_filters, band_centres),
}
"""Every acoustic feature, by its spec."""


def acoustic_filters(spec: AcousticSpec) -> npt.NDArray[np.float64]:
    """Return the filters of an acoustic feature, float64 [bins, window // 2 + 1]."""
    return DESIGNS[type(spec)].filters(spec)


def bin_frequencies(spec: AcousticSpec) -> npt.NDArray[np.float64]:
    """Return the centre of each bin of an acoustic feature, Hz, ascending."""
    return DESIGNS[type(spec)].centres(spec)


class FilterBank:
    """Filters over the bins of a spectrum.

    Args:
        filters: float64 [bins, n].
    """

    def __init__(self, filters: npt.NDArray[np.float64]) -> None:
        self._filters = csr_array(filters.astype(np.float32))

    def log(self, magnitude: npt.NDArray[np.float32], floor: float) -> npt.NDArray[np.float32]:
        """Return ln(max(filters . magnitude, floor)).

        Args:
            magnitude: float32 [frames, channels, n].
            floor: smallest value that the logarithm is taken of.

        Returns:
            float32 [frames, channels, bins].
        """
        frames, channels, n = magnitude.shape
        columns = np.ascontiguousarray(magnitude.reshape(frames * channels, n).T)
        sums = np.maximum(self._filters @ columns, np.float32(floor))
        logarithms: npt.NDArray[np.float32] = np.log(np.ascontiguousarray(sums.T))
        return logarithms.reshape(frames, channels, -1)
