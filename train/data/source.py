"""Source: what a run's batches are read from.

The acoustic frames of the whole store are held in memory, by the main process alone (1.6 GB for
TAU2021); pictures stay encoded in the store and are read by whoever needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from avsc.features.specs import AcousticSpec
from avsc.features.store.reader import Records, Store
from avsc.manifests.errors import SettingError
from avsc.train.data.pairs import Samples, frame_samples, pair, picture_samples


@dataclass(frozen=True)
class Source:
    """Samples of a store, and what they refer to.

    Attributes:
        acoustic: all acoustic frames, float32 [frames, channels, bins]; None without sound.
        images: the records of the encoded pictures; None without sight.
        every: every sample of the store.
    """

    acoustic: NDArray[np.float32] | None
    images: Records | None
    every: Samples

    @classmethod
    def open(cls, store: Store, feature: str | None, pictures: bool) -> Self:
        """Read the acoustic frames, and find out which samples there are.

        Args:
            store: the store, opened with the products that are asked for.
            feature: acoustic product, ``"scalogram"`` or ``"fbank"``; None for pictures alone.
            pictures: whether pictures are wanted.

        Raises:
            SettingError: neither was asked for.
            StoreError: a record is damaged.
        """
        number = {scene: index for index, scene in enumerate(store.classes)}
        scene = np.array([number[clip.scene] for clip in store.clips], np.int64)
        acoustic, images = None, None
        samples: list[Samples] = []
        if feature is not None:
            records = store.records(feature)
            spec = store.spec(feature)
            assert isinstance(spec, AcousticSpec)
            acoustic, _ = records.load()
            samples.append(frame_samples(records.clip.astype(np.int64), records.rows, scene, spec))
        if pictures:
            images = store.records("images")
            samples.append(
                picture_samples(images.clip.astype(np.int64), images.key.astype(np.int64), scene)
            )
        if not samples:
            raise SettingError("a system needs sound, pictures or both; neither was asked for.")
        return cls(acoustic, images, samples[0] if len(samples) == 1 else pair(*samples))

    def samples(self, rows: Sequence[int]) -> Samples:
        """Return the samples of some clips.

        Args:
            rows: rows of the clips in the store's clip table, in any order.

        Returns:
            Pairs where the source has sound and pictures (a frame whose second has no picture is
            left out), else every frame or every picture; by clip, then by frame or second.
        """
        return self.every.take(np.isin(self.every.clip, np.asarray(rows, np.int64)))
