"""A recording given as arrays: a waveform, and images with their times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avsc.features.clip import check_finite, check_length, filter_bank
from avsc.features.framing import in_step, magnitude
from avsc.features.jpeg import encode, shape
from avsc.features.limits import RATES
from avsc.features.piecewise import SECONDS, Piece, first_frame
from avsc.features.sound import stereo_at
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.manifests.errors import MediaError, SettingError

JPEG = NDArray[np.uint8]


@dataclass(frozen=True)
class Arrays:
    """A recording in memory; what the model does not take may be left out.

    Attributes:
        waveform: left and right, float [2, samples], full scale 1.
        rate: of the waveform, Hz.
        images: each uint8 RGB [height, width, 3], which is scaled and JPEG-coded as extraction
            does, or the bytes of a JPEG, which is taken as it is.
        times: when each image appears, seconds, rising; None: image k is that of second k (of
            [k / N, (k + 1) / N) for a model of N images a second). The image of second k is the
            last one that has appeared by k + 0.5 s. The last image stays for a second (1 / N).
        name: for messages and results.

    Raises:
        SettingError: something is not of this form.
    """

    waveform: ArrayLike | None = None
    rate: int | None = None
    images: Sequence[NDArray[np.uint8] | bytes] | None = None
    times: Sequence[float] | None = None
    name: str = "arrays"

    def __post_init__(self) -> None:
        if self.waveform is not None:
            _check_waveform(self.name, np.asarray(self.waveform), self.rate)
        for number, image in enumerate(self.images or ()):
            _check_image(f"{self.name}: image {number}", image)
        if self.times is not None:
            count, times = len(self.images or ()), np.asarray(self.times, np.float64)
            finite = np.isfinite(times).all()
            if times.shape != (count,) or not finite or not (np.diff(times) > 0).all():
                raise SettingError(
                    f"{self.name}: times have shape {times.shape}; wanted {count} finite, rising "
                    "numbers of seconds, one for each image."
                )

    def pieces(
        self, acoustic: AcousticSpec | None, images: ImageSpec | None, audio_late: float = 0.0
    ) -> Iterator[Piece]:
        """Yield the pieces of the recording, as `avsc.features.piecewise` does of a file's.

        Args:
            acoustic: spec of the frames; None for none.
            images: spec of the images; None for none.
            audio_late: seconds by which the sound is late, and is moved back, where both are asked
                for.

        Raises:
            SettingError: there is no waveform, or there are no images, and a spec asks for them.
            MediaError: the sound is shorter than a window, or an image cannot be coded.
        """
        late = 0.0 if acoustic is None or images is None else audio_late
        earliest, frames = (0, None) if acoustic is None else self._frames(acoustic, late)
        shown = None if images is None else self._images(images, late)
        per_second = 1 if images is None else images.per_second
        n_images = 0 if not shown else 1 + max(shown)
        count = ceil(max(self._seconds() or 0, n_images / per_second) / SECONDS)
        for number in range(max(1, count)):
            first, part = 0, None
            if frames is not None and acoustic is not None:
                first = first_frame(number, acoustic)
                stop = first_frame(number + 1, acoustic)
                first = min(max(first, earliest), stop)
                part = frames[max(0, first - earliest) : max(0, stop - earliest)]
            seen = None
            if shown is not None:
                ten = SECONDS * per_second
                seen = {k: data for k, data in shown.items() if k // ten == number}
            yield Piece(first, part, seen, {}, last=number == count - 1)

    def _seconds(self) -> float | None:
        if self.waveform is None or self.rate is None:
            return None
        return float(np.asarray(self.waveform).shape[1] / self.rate)

    def _frames(self, spec: AcousticSpec, late: float) -> tuple[int, NDArray[np.float32]]:
        """Return the number of the first frame, and the frames."""
        if self.waveform is None or self.rate is None:
            raise SettingError(
                f"{self.name}: the model hears; wanted `waveform`, float32 [2, samples] (left and "
                "right, full scale 1), and its `rate`, Hz."
            )
        stereo = np.asarray(self.waveform, np.float32)
        begin, first = in_step(late, spec)
        samples = stereo_at(stereo, self.rate, spec.sample_rate)
        samples = samples[:, first * spec.hop - begin :]
        check_length(self.name, samples.shape[1], spec)
        frames = filter_bank(spec).log(magnitude(samples, spec), spec.floor)
        check_finite(self.name, frames)
        return first, frames

    def _images(self, spec: ImageSpec, late: float) -> dict[int, JPEG]:
        """Return the JPEGs by key."""
        if not self.images:
            raise SettingError(
                f"{self.name}: the model sees; wanted `images`, each uint8 RGB [height, width, 3] "
                "or the bytes of a JPEG, and their `times`, seconds."
            )
        n = spec.per_second
        times = np.arange(len(self.images)) / n if self.times is None else np.asarray(self.times)
        sound, last = self._seconds(), float(times[-1]) + 1 / n
        keys = np.arange(spec.count(last if sound is None else min(sound - late, last)))
        which = np.searchsorted(times, (keys + 0.5) / n, side="right") - 1
        coded = {int(i): _coded(self.images[i], spec) for i in np.unique(which[which >= 0])}
        return {int(k): coded[int(i)] for k, i in zip(keys, which, strict=True) if i >= 0}


def _coded(image: NDArray[np.uint8] | bytes, spec: ImageSpec) -> JPEG:
    data = image if isinstance(image, bytes) else encode(image, spec)
    return np.frombuffer(data, np.uint8)


def _check_waveform(name: str, waveform: NDArray[np.generic], rate: int | None) -> None:
    wanted = "wanted float [2, samples], left and right, full scale 1"
    if waveform.ndim != 2 or len(waveform) != 2:
        turned = "; give it transposed" if waveform.ndim == 2 and waveform.shape[1] == 2 else ""
        raise SettingError(f"{name}: waveform has shape {waveform.shape}; {wanted}{turned}.")
    if not np.issubdtype(waveform.dtype, np.floating):
        raise SettingError(f"{name}: waveform is of {waveform.dtype}; {wanted}.")
    if not np.isfinite(waveform).all():
        raise SettingError(f"{name}: waveform has values that are not finite; {wanted}.")
    if rate not in RATES:
        raise SettingError(
            f"{name}: rate is {rate!r}; wanted the waveform's, {RATES[0]} to {RATES[-1]} Hz."
        )


def _check_image(name: str, image: object) -> None:
    wanted = "wanted uint8 RGB [height, width, 3], or the bytes of a JPEG"
    if isinstance(image, bytes):
        try:
            shape(image)
        except MediaError as fault:
            raise SettingError(f"{name}: {fault} {wanted[0].upper()}{wanted[1:]}.") from fault
        return
    if not isinstance(image, np.ndarray):
        raise SettingError(f"{name} is a {type(image).__name__}; {wanted}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise SettingError(f"{name} is {image.dtype} {list(image.shape)}; {wanted}.")
