"""Recordings that are altered before a system sees them: quieter, noisy, dark, blurred, coarse.

Each is a small value that makes another `Source` of a run's; one modality of it is embedded again.

*Level*: the stored frames are ln(max(filters . magnitude, floor)), linear in the samples before the
logarithm, so that a change of level is a constant above the floor, exact but for what the floor had
already hidden.

*Noise*: white at the features' sampling rate, Gaussian, independent left and right, its power so
far below the clip's mean power. A logarithm of sums cannot be given noise afterwards, so the
recordings are read and go through the same functions as in extraction. A silent clip stays so.

*Images*: the stored JPEG is decoded, altered, encoded once more (quality 95, unless that is what is
altered) and read by the same loader as any other. `complete` is not encoded again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc.features import jpeg
from avsc.features.clip import filter_bank
from avsc.features.framing import magnitude
from avsc.features.sound import read_sound
from avsc.features.specs import AcousticSpec, ImageSpec
from avsc.features.store.reader import Store
from avsc.manifests.clips import located
from avsc.manifests.errors import AvscError, MediaError
from avsc.train.data.loader import Encoded
from avsc.train.data.source import Source

QUALITY = 95
NOISE = 3
"""What a generator is for: the first word of its key."""
SAME = 1e-3
"""Nats by which features of the same recording differ, made on another processor."""

Pixels = NDArray[np.uint8]


class UndefinedError(AvscError):
    """A condition cannot be made for a system or a set of clips."""


@dataclass(frozen=True)
class Recorded:
    """Where what a run reads comes from.

    Attributes:
        store: of the clips.
        feature: the acoustic product.
        rows: rows of the clips.
        root: folder of the recordings; None if it is not known.
        workers: threads that read recordings.
        seed: of noise.
    """

    store: Store
    feature: str
    rows: Sequence[int]
    root: Path | None
    workers: int
    seed: int

    @property
    def spec(self) -> AcousticSpec:
        """Spec of the acoustic frames."""
        spec = self.store.spec(self.feature)
        assert isinstance(spec, AcousticSpec)
        return spec


Alteration = Callable[[Source, Recorded], Source]
"""From what a run reads to what it reads then."""


@dataclass(frozen=True)
class Level:
    """The sound at another level, by so many decibels (below 0: quieter)."""

    decibels: float

    def __call__(self, source: Source, recorded: Recorded) -> Source:
        """Return the source with its frames at that level.

        Raises:
            UndefinedError: it reads vectors in the place of frames.
        """
        moved = _frames(source) + np.float32(self.decibels / 20 * log(10))
        return replace(source, acoustic=np.maximum(moved, np.float32(log(recorded.spec.floor))))


def _frames(source: Source) -> NDArray[np.float32]:
    if source.acoustic is None or source.acoustic.ndim != 3:
        raise UndefinedError("the system reads stored vectors in the place of acoustic frames")
    return source.acoustic


@dataclass(frozen=True)
class Noise:
    """White noise at a ratio of the clip's power to the noise's, decibels."""

    ratio: float

    def __call__(self, source: Source, recorded: Recorded) -> Source:
        """Return the source with the frames of noisy recordings.

        Raises:
            UndefinedError: it reads vectors in the place of frames, or there are no recordings.
            AvscError: a recording cannot be read, or is not the one that the store was made of.
        """
        _frames(source)
        if recorded.root is None or not recorded.root.is_dir():
            raise UndefinedError("the recordings are needed; name their folder by --root")
        records = recorded.store.records(recorded.feature)
        which = np.flatnonzero(np.isin(records.clip, np.asarray(recorded.rows)))
        with ThreadPoolExecutor(max(1, recorded.workers), "noise") as pool:
            frames = list(pool.map(lambda record: self._noisy(recorded, int(record)), which))
        return replace(source, acoustic=np.concatenate(frames))

    def _noisy(self, recorded: Recorded, record: int) -> NDArray[np.float32]:
        """Return the frames of one record, float32 [frames, channels, bins], with noise."""
        records = recorded.store.records(recorded.feature)
        row, spec = int(records.clip[record]), recorded.spec
        clip = recorded.store.clips[row]
        assert recorded.root is not None and clip.audio is not None
        path = located(recorded.root, clip.audio)
        samples = read_sound(path, spec.sample_rate).samples
        stored, _ = records.load(np.array([record]))
        clean = filter_bank(spec).log(magnitude(samples, spec), spec.floor)
        if clean.shape != stored.shape or not np.allclose(clean, stored, rtol=0, atol=SAME):
            raise AvscError(
                f"{path}: not the recording that {recorded.store.path} was made of (its features "
                "are others). Name the folder of the right ones by --root."
            )
        draw = np.random.default_rng((NOISE, recorded.seed, row))
        deviation = np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / 10 ** (self.ratio / 10))
        noisy = samples + (deviation * draw.standard_normal(samples.shape)).astype(np.float32)
        return filter_bank(spec).log(magnitude(noisy, spec), spec.floor)


@dataclass(frozen=True)
class Pictured:
    """Images altered one by one, and encoded at a quality."""

    alter: Callable[[Pixels], Pixels]
    quality: int = QUALITY

    def __call__(self, source: Source, recorded: Recorded) -> Source:
        """Return the source with its images altered.

        Raises:
            UndefinedError: it reads vectors in the place of images.
        """
        if source.images is None:
            raise UndefinedError("the system reads stored vectors in the place of images")
        coded = ImageSpec(short_side=0, quality=self.quality)
        return replace(source, images=AlteredImages(source.images, self.alter, coded))


@dataclass(frozen=True)
class AlteredImages:
    """Encoded images, altered when they are read.

    Attributes:
        images: as they are.
        alter: makes other pixels of those of an image, uint8 RGB [height, width, 3].
        coded: how they are encoded again.
    """

    images: Encoded
    alter: Callable[[Pixels], Pixels]
    coded: ImageSpec

    def read(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of one altered image.

        Raises:
            AvscError: it is damaged.
        """
        try:
            pixels = jpeg.decode(self.images.read(record))
        except MediaError as fault:
            raise AvscError(f"{self.where(record)}: {fault}") from fault
        return np.frombuffer(jpeg.encode(self.alter(pixels), self.coded), np.uint8)

    def where(self, record: int) -> str:
        """Return where the image is, for messages."""
        return self.images.where(record)


@dataclass(frozen=True)
class Dark:
    """Pixel values multiplied by a factor, rounded."""

    factor: float

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return darker pixels."""
        return np.asarray(np.rint(pixels * self.factor), np.uint8)


@dataclass(frozen=True)
class Blurred:
    """A Gaussian blur, its standard deviation a share of the shorter side."""

    share: float

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return blurred pixels."""
        sigma = self.share * min(pixels.shape[:2])
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def unaltered(pixels: Pixels) -> Pixels:
    """Return the pixels as they are, to be encoded at another quality."""
    return pixels
