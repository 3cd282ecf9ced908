"""Acoustic frames: where they lie in time, and their magnitude spectra.

Frame i is the window of samples [i * hop, i * hop + window) at the spec's rate. Frames are not
centred on multiples of the hop and nothing is padded: n samples give 1 + (n - window) // hop
frames, none when n < window. All time arithmetic is in whole samples; segment k of a clip is the
half-open second [k, k + 1).

With the paper's numbers (section 2.2.1: 512 ms and 171 ms) 10 s give 56 frames, of which 4 to 6 are
centred in each second, and 2 or 3 lie wholly inside it.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from avsc.features.specs import AcousticSpec

RUN = 4
"""Frames transformed together: enough for the transform's vector instructions, few enough for the
processor's cache. The result does not depend on it."""

Integers = npt.NDArray[np.int64]


def n_frames(n_samples: int, spec: AcousticSpec) -> int:
    """Return how many whole windows fit into so many samples at the spec's rate."""
    return max(0, 1 + (n_samples - spec.window) // spec.hop)


def first_sample(i: npt.ArrayLike, spec: AcousticSpec) -> Integers:
    """Return the first sample of frames i."""
    return np.asarray(i, np.int64) * spec.hop


def centre_sample(i: npt.ArrayLike, spec: AcousticSpec) -> Integers:
    """Return the sample in the middle of frames i; of an even window, the later of the two."""
    return first_sample(i, spec) + spec.window // 2


def second(i: npt.ArrayLike, spec: AcousticSpec) -> Integers:
    """Return the k of the second [k, k + 1) that the centres of frames i lie in."""
    return image(i, spec, 1)


def image(i: npt.ArrayLike, spec: AcousticSpec, per_second: int) -> Integers:
    """Return the k of the interval [k / N, (k + 1) / N) s that the centres of frames i lie in.

    Args:
        per_second: N, images a second.
    """
    return centre_sample(i, spec) * per_second // spec.sample_rate


def inside(i: npt.ArrayLike, spec: AcousticSpec) -> npt.NDArray[np.bool_]:
    """Return whether the windows of frames i lie wholly inside the second of their centre."""
    first = first_sample(i, spec)
    last = first + spec.window - 1
    whole: npt.NDArray[np.bool_] = first // spec.sample_rate == last // spec.sample_rate
    return whole


def in_step(late: float, spec: AcousticSpec) -> tuple[int, int]:
    """Return where sound that is so many seconds late begins when it is moved back.

    Args:
        late: seconds, rounded to samples; early where it is negative.
        spec: of the frames.

    Returns:
        Number of its first sample, and that of the first frame from time 0 on that lies in it.

    >>> from avsc.features.specs import ScalogramSpec
    >>> in_step(2.0, ScalogramSpec()), in_step(-2.0, ScalogramSpec())
    ((-32000, 0), (32000, 12))
    """
    begin = -round(late * spec.sample_rate)
    return begin, max(0, -(-begin // spec.hop))


def magnitude(samples: npt.NDArray[np.float32], spec: AcousticSpec) -> npt.NDArray[np.float32]:
    """Return the magnitude spectra of all frames, divided by the sum of the window.

    A sine of amplitude A whose frequency is that of a bin gives A / 2 in this bin.

    Args:
        samples: float32 [channels, n] at the spec's rate.
        spec: window and hop.

    Returns:
        float32 [frames, channels, window // 2 + 1]; bin j is at j * sample_rate / window Hz.
    """
    window = _window(spec.window)
    spectra = np.empty(
        (n_frames(samples.shape[1], spec), len(samples), spec.window // 2 + 1), np.float32
    )
    if len(spectra):
        frames = sliding_window_view(samples, spec.window, axis=1)[:, :: spec.hop].swapaxes(0, 1)
        for i in range(0, len(spectra), RUN):
            windowed = frames[i : i + RUN] * window
            np.abs(fft.rfft(windowed, workers=1), out=spectra[i : i + RUN])
    return spectra


@lru_cache(maxsize=8)
def _window(length: int) -> npt.NDArray[np.float32]:
    """Return a periodic Hann window whose sum is 1.

    It is `scipy.signal`'s to the last bit; importing that would take each worker a second.
    """
    window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1])
    scaled: npt.NDArray[np.float32] = (window / window.sum()).astype(np.float32)
    return scaled
