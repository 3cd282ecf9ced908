"""Sound of a running source, resampled as it comes; the samples are those of `read_sound`."""

import numpy as np
import soxr
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.limits import RATES
from avsc.features.specs import AcousticSpec
from avsc.manifests.errors import MediaError


class LiveAudio:
    """The sound of one stretch, from its first sample on.

    Only samples that a later frame needs are kept.

    Args:
        rate: of the source, Hz.
        channels: of the source; 2.
        spec: the acoustic product.
        name: of the source, for errors.

    Raises:
        MediaError: ``"mono"``, ``"channels"`` or ``"rate"``, as `read_sound`.
    """

    def __init__(self, rate: int, channels: int, spec: AcousticSpec, name: str) -> None:
        if channels != 2:
            code, found = (
                ("mono", "mono") if channels == 1 else ("channels", f"{channels} channels")
            )
            raise MediaError(
                code,
                f"{name}: {found}; wanted stereo, because half of what the model hears is the "
                "difference.",
            )
        if rate not in RATES:
            raise MediaError("rate", f"{name}: {rate} Hz; wanted {RATES[0]} to {RATES[-1]}.")
        self._spec = spec
        self._resample = None
        if rate != spec.sample_rate:
            self._resample = soxr.ResampleStream(
                rate, spec.sample_rate, 2, dtype="float32", quality="HQ"
            )
        self._samples = np.zeros((2, 0), np.float32)
        self._begin = 0

    @property
    def frames_so_far(self) -> int:
        """Number of acoustic frames whose whole window has come."""
        return framing.n_frames(self._begin + self._samples.shape[1], self._spec)

    @property
    def seconds(self) -> int:
        """Number of seconds up to the last one that a whole window lies in."""
        last = np.arange(max(0, self.frames_so_far - 1000), self.frames_so_far)
        whole = framing.second(last, self._spec)[framing.inside(last, self._spec)]
        return int(whole.max(initial=-1)) + 1

    def add(self, stereo: NDArray[np.float32], *, last: bool = False) -> None:
        """Add the source's samples, float32 [2, n]; `last` ends the stretch."""
        if self._resample is not None:
            chunk = self._resample.resample_chunk(np.ascontiguousarray(stereo.T), last=last)
            stereo = np.asarray(chunk, np.float32).T
        left, right = stereo
        both = np.stack([left + right, left - right])
        both *= np.float32(0.5)
        self._samples = np.concatenate([self._samples, both], axis=1)

    def take(self, first: int, stop: int) -> NDArray[np.float32]:
        """Return the samples of frames [first, stop), float32 [2, n]; forget all before them."""
        begin = int(framing.first_sample(first, self._spec))
        end = int(framing.first_sample(stop - 1, self._spec)) + self._spec.window
        self._samples = self._samples[:, begin - self._begin :].copy()
        self._begin = begin
        return self._samples[:, : end - begin].copy()
