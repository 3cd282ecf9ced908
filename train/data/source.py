"""Source: what a run's batches are read from.

Of each modality a run reads one `Stream`: acoustic frames or encoded pictures as a store of
recordings has them, embeddings that an encoder made of them, or vectors from elsewhere. Frames and
vectors are held in memory, by the main process alone (1.6 GB for the frames of TAU2021); pictures
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
from avsc.train.data.samples import Ints, Samples, frame_samples, pair, picture_samples


@dataclass(frozen=True)
class Stream:
    """One modality: every sample of it, and what the samples refer to.

    Attributes:
        data: acoustic frames, float32 [frames, channels, bins]; vectors, float32 [n, features]; or
            the records of the encoded pictures.
        samples: of sound, samples whose `frame` is a row of the data; of pictures, samples whose
            `picture` is a row or a record.
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


def encoded_pictures(store: Store, rows: Sequence[int] | None = None) -> Stream:
    """Return the encoded pictures of some clips of a store, or of all; none is read yet."""
    images = store.records("images")
    every = picture_samples(
        images.clip.astype(np.int64), images.key.astype(np.int64), scenes(store)
    )
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
    """Read embeddings of a store's pictures; the arguments are as above."""
    records = embedded.records(VisualEmbeddingSpec.product)
    which = _of(records, rows)
    data, _ = records.load(which)
    samples = picture_samples(
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
        images: the records of the encoded pictures; None without them.
        every: every sample.
        visual: vectors in the pictures' place, float32 [pictures, features]; None without them.
        pictures: every picture, those without a frame too; None without sight.
    """

    acoustic: NDArray[np.float32] | None
    images: Encoded | None
    every: Samples
    visual: NDArray[np.float32] | None = None
    pictures: Samples | None = None

    @classmethod
    def of(cls, sound: Stream | None, sight: Stream | None) -> Self:
        """Join the streams of both modalities, or take that of one.

        Raises:
            SettingError: there is neither.
        """
        acoustic, visual = None, None
        images: Encoded | None = None
        if sound is not None:
            assert isinstance(sound.data, np.ndarray)
            acoustic = sound.data
        if sight is not None:
            if isinstance(sight.data, np.ndarray):
                visual = sight.data
            else:
                images = sight.data
        samples = [stream.samples for stream in (sound, sight) if stream is not None]
        if not samples:
            raise SettingError("a system needs sound, pictures or both; neither was asked for.")
        every = samples[0] if len(samples) == 1 else pair(*samples)
        return cls(acoustic, images, every, visual, None if sight is None else sight.samples)

    @classmethod
    def open(
        cls,
        store: Store,
        feature: str | None,
        pictures: bool,
        rows: Sequence[int] | None = None,
    ) -> Self:
        """Open the frames and pictures of a store of recordings.

        Args:
            store: the store, opened with the products that are asked for.
            feature: acoustic product, ``"scalogram"`` or ``"fbank"``; None for pictures alone.
            pictures: whether pictures are wanted.
            rows: rows of the clips that are wanted; None means all.

        Raises:
            SettingError: neither was asked for.
            StoreError: a record is damaged.
        """
        sound = None if feature is None else acoustic_frames(store, feature, rows)
        return cls.of(sound, encoded_pictures(store, rows) if pictures else None)

    def samples(self, rows: Sequence[int]) -> Samples:
        """Return the samples of some clips.

        Args:
            rows: rows of the clips in the store's clip table, in any order.

        Returns:
            Pairs where the source has sound and pictures (a frame whose second has no picture is
            left out), else every frame or every picture; by clip, then by frame or second.
        """
        return self.every.take(np.isin(self.every.clip, np.asarray(rows, np.int64)))
