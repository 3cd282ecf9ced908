"""Source: what a run's batches are read from.

Of each modality a run reads one `Stream`: acoustic frames or encoded images of a store of
recordings, or in their place `StoredVectors`: embeddings that an encoder made of them, or a vector
file. Frames and vectors are held in memory, by the main process alone (1.6 GB for the frames of
TAU2021); images stay encoded in the store until they are needed. Only records of the requested
clips are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from avsc.features.specs import (
    AcousticEmbeddingSpec,
    AcousticSpec,
    ImageSpec,
    VisualEmbeddingSpec,
)
from avsc.features.store.labels import store_labels
from avsc.features.store.reader import Records, Store
from avsc.manifests.errors import SettingError
from avsc.train.data.loader import Encoded
from avsc.train.data.samples import Ints, Samples, frame_samples, image_samples, pair


@dataclass(frozen=True)
class Stream:
    """One modality: every sample of it, and what the samples refer to.

    Attributes:
        data: acoustic frames, float32 [frames, channels, bins]; vectors, float32 [n, features]; or
            the records of the encoded images.
        samples: of audio, samples whose `frame` is a row of the data; of images, samples whose
            `image` is a row or a record.
    """

    data: NDArray[np.float32] | Encoded
    samples: Samples


def acoustic_frames(store: Store, feature: str, rows: Sequence[int] | None = None) -> Stream:
    """Read the acoustic frames of some clips of a store, or of all.

    Raises:
        StoreError: a record is damaged.
    """
    spec = store.spec(feature)
    assert isinstance(spec, AcousticSpec)
    return _rows_in_time(store, store.records(feature), spec, rows)


def encoded_images(store: Store, rows: Sequence[int] | None = None) -> Stream:
    """Return the encoded images of some clips of a store, or of all; none is read yet."""
    images, spec = store.records("images"), store.spec("images")
    assert isinstance(spec, ImageSpec)
    clip, key = images.clip.astype(np.int64), images.key.astype(np.int64)
    every = image_samples(clip, key, store_labels(store), spec.per_second)
    return Stream(images, every.take(_of(images, rows)))


def _rows_in_time(
    store: Store, records: Records, spec: AcousticSpec, rows: Sequence[int] | None
) -> Stream:
    which = _of(records, rows)
    data, _ = records.load(which)
    clip = records.clip[which].astype(np.int64)
    return Stream(data, frame_samples(clip, records.rows[which], store_labels(store), spec))


def _of(records: Records, rows: Sequence[int] | None) -> Ints:
    """Return the numbers of the records of some clips, ascending; None means all."""
    if rows is None:
        return np.arange(len(records))
    return np.flatnonzero(np.isin(records.clip, np.asarray(rows, np.int64)))


class StoredVectors(Protocol):
    """What is read in place of acoustic frames or images: stored embeddings, or a vector file."""

    @property
    def path(self) -> Path:
        """The set's folder, or the file."""
        ...

    @property
    def spec(self) -> str:
        """Digest of the embeddings' spec; ``vectors`` for a file."""
        ...

    @property
    def content(self) -> str:
        """Digest of all vectors and what they belong to."""
        ...

    def frames(self, store: Store, rows: Sequence[int] | None = None) -> Stream:
        """Read the vectors of some clips of `store`, or of all, in the place of acoustic frames."""
        ...

    def images(self, store: Store, rows: Sequence[int] | None = None) -> Stream:
        """Read the vectors of some clips of `store`, or of all, in the place of images."""
        ...


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings that an encoder made of a store's frames or images, as `StoredVectors`.

    Attributes:
        embedded: the store of one product that holds them.
    """

    embedded: Store

    @property
    def path(self) -> Path:
        """The set's folder."""
        return self.embedded.path

    @property
    def product(self) -> str:
        """``acoustic-embeddings`` or ``visual-embeddings``."""
        (product,) = self.embedded.products
        return product

    @property
    def spec(self) -> str:
        """Digest of their spec."""
        return self.embedded.spec(self.product).digest

    @property
    def content(self) -> str:
        """Digest of the records."""
        return self.embedded.content(self.product)

    def frames(self, store: Store, rows: Sequence[int] | None = None) -> Stream:
        """Read embeddings of the acoustic frames of `store`, which lie in time as the frames do."""
        spec = self.embedded.spec(self.product)
        assert isinstance(spec, AcousticEmbeddingSpec)
        shown = store.spec(spec.shown)
        assert isinstance(shown, AcousticSpec)
        return _rows_in_time(store, self.embedded.records(self.product), shown, rows)

    def images(self, store: Store, rows: Sequence[int] | None = None) -> Stream:
        """Read embeddings of the images of `store`."""
        spec, records = self.embedded.spec(self.product), self.embedded.records(self.product)
        assert isinstance(spec, VisualEmbeddingSpec)
        which = _of(records, rows)
        data, _ = records.load(which)
        clip, key = records.clip[which].astype(np.int64), records.key[which].astype(np.int64)
        return Stream(data, image_samples(clip, key, store_labels(store), spec.per_second))


@dataclass(frozen=True)
class Source:
    """Samples, and what they refer to.

    Attributes:
        acoustic: acoustic frames, float32 [frames, channels, bins], or vectors in their place,
            float32 [frames, features]; None without audio.
        images: the records of the encoded images; None without them.
        every: every sample, in ticks of one image; of a second without images.
        visual: vectors in the images' place, float32 [images, features]; None without them.
        image_samples: every image, those without a frame too; None without images.
    """

    acoustic: NDArray[np.float32] | None
    images: Encoded | None
    every: Samples
    visual: NDArray[np.float32] | None = None
    image_samples: Samples | None = None

    @classmethod
    def of(cls, audio: Stream | None, visual: Stream | None) -> Self:
        """Join the streams of both modalities, or take that of one.

        Raises:
            SettingError: there is neither.
        """
        acoustic, vectors = None, None
        images: Encoded | None = None
        if audio is not None:
            assert isinstance(audio.data, np.ndarray)
            acoustic = audio.data
        if visual is not None:
            if isinstance(visual.data, np.ndarray):
                vectors = visual.data
            else:
                images = visual.data
        samples = [stream.samples for stream in (audio, visual) if stream is not None]
        if not samples:
            raise SettingError("a system needs audio, images or both; neither was asked for.")
        every = pair(*samples) if len(samples) > 1 else samples[0]
        if visual is None:
            every = every.at_rate(1)
        return cls(acoustic, images, every, vectors, None if visual is None else visual.samples)

    @classmethod
    def open(
        cls,
        store: Store,
        feature: str | None,
        images: bool,
        rows: Sequence[int] | None = None,
    ) -> Self:
        """Open the frames and images of a store of recordings.

        Args:
            store: the store, opened with the products that are asked for.
            feature: acoustic product (of `ACOUSTIC`); None for images alone.
            images: whether images are wanted.
            rows: rows of the clips that are wanted; None means all.

        Raises:
            SettingError: neither was asked for.
            StoreError: a record is damaged.
        """
        audio = None if feature is None else acoustic_frames(store, feature, rows)
        return cls.of(audio, encoded_images(store, rows) if images else None)

    def samples(self, rows: Sequence[int]) -> Samples:
        """Return the samples of some clips.

        Args:
            rows: rows of the clips in the store's clip table, in any order.

        Returns:
            Pairs where the source has audio and images (a frame whose second has no image is
            left out), else every frame or every image; by clip, then by frame or second.
        """
        return self.every.take(np.isin(self.every.clip, np.asarray(rows, np.int64)))
