"""Filters applied to magnitude spectra, and the logarithm.

Each value is a sum over the filter's own bins, from the lowest to the highest, one after the other:
a sparse product, whose rounding does not depend on the processor as that of a BLAS call does.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array


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
