"""Source: what a run's batches are read from.

Of each modality a run reads one `Stream`: acoustic frames or encoded images as a store of
recordings has them, embeddings that an encoder made of them, or vectors from elsewhere. Frames and
vectors are held in memory, by the main process alone (1.6 GB for the frames of TAU2021); images
stay encoded in the store and are read by whoever needs them. Only records of the clips that are
asked for are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from avsc.features.specs import AcousticEmbeddingSpec, AcousticSpec, VisualEmbeddingSpec
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
        samples: of sound, samples whose `frame` is a row of the data; of images, samples whose
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
    images = store.records("images")
    every = image_samples(images.clip.astype(np.int64), images.key.astype(np.int64), scenes(store))
    return Stream(images, every.take(_of(images, rows)))


def acoustic_embeddings(
    store: Store, feature: str, embedded: Store, rows: Sequence[int] | None = None
) -> Stream:
    """Read embeddings of a store's acoustic frames, which lie in time as the frames do.

    Args:
        store: the store of the frames.
        feature: what the frames are, for their times.
        embedded: the store of the embeddings, with the same clips.
        rows: rows of the clips; None means all.
    """
    spec = store.spec(feature)
    assert isinstance(spec, AcousticSpec)
    return _rows_in_time(store, embedded.records(AcousticEmbeddingSpec.product), spec, rows)


def visual_embeddings(store: Store, embedded: Store, rows: Sequence[int] | None = None) -> Stream:
    """Read embeddings of a store's images; the arguments are as above."""
    records = embedded.records(VisualEmbeddingSpec.product)
    which = _of(records, rows)
    data, _ = records.load(which)
    samples = image_samples(
        records.clip[which].astype(np.int64), records.key[which].astype(np.int64), scenes(store)
    )
    return Stream(data, samples)


def scenes(store: Store) -> Ints:
    """Return the class index of each clip of a store, int64 [clips]."""
    number = {scene: index for index, scene in enumerate(store.classes)}
    return np.array([number[clip.scene] for clip in store.clips], np.int64)


def _rows_in_time(
    store: Store, records: Records, spec: AcousticSpec, rows: Sequence[int] | None
) -> Stream:
    which = _of(records, rows)
    data, _ = records.load(which)
    clip = records.clip[which].astype(np.int64)
    return Stream(data, frame_samples(clip, records.rows[which], scenes(store), spec))


def _of(records: Records, rows: Sequence[int] | None) -> Ints:
    """Return the numbers of the records of some clips, ascending; None means all."""
    if rows is None:
        return np.arange(len(records))
    return np.flatnonzero(np.isin(records.clip, np.asarray(rows, np.int64)))


@dataclass(frozen=True)
class Source:
    """Samples, and what they refer to.

    Attributes:
        acoustic: acoustic frames, float32 [frames, channels, bins], or vectors in their place,
            float32 [frames, features]; None without sound.
        images: the records of the encoded images; None without them.
        every: every sample.
        visual: vectors in the images' place, float32 [images, features]; None without them.
        image_samples: every image, those without a frame too; None without images.
    """

    acoustic: NDArray[np.float32] | None
    images: Encoded | None
    every: Samples
    visual: NDArray[np.float32] | None = None
    image_samples: Samples | None = None

    @classmethod
    def of(cls, audio: Stream | None, visual_stream: Stream | None) -> Self:
        """Join the streams of both modalities, or take that of one.

        Raises:
            SettingError: there is neither.
        """
        acoustic, visual = None, None
        images: Encoded | None = None
        if audio is not None:
            assert isinstance(audio.data, np.ndarray)
            acoustic = audio.data
        if visual_stream is not None:
            if isinstance(visual_stream.data, np.ndarray):
                visual = visual_stream.data
            else:
                images = visual_stream.data
        samples = [stream.samples for stream in (audio, visual_stream) if stream is not None]
        if not samples:
            raise SettingError("a system needs sound, images or both; neither was asked for.")
        every = samples[0] if len(samples) == 1 else pair(*samples)
        return cls(
            acoustic,
            images,
            every,
            visual,
            None if visual_stream is None else visual_stream.samples,
        )

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
            Pairs where the source has sound and images (a frame whose second has no image is
            left out), else every frame or every image; by clip, then by frame or second.
        """
        return self.every.take(np.isin(self.every.clip, np.asarray(rows, np.int64)))
