"""Time shift in training: acoustic frames with the image of another second of their clip.

As under the shifts of `avsc.train.evaluate.robustness.changes`, the audio is s seconds late
(early where s is negative): frames of second k meet the image of second k + s, counted cyclically
from the clip's first second to that of its last image; of several images a second, the one that
lies in that second where their own does in k.
Where the store lacks that image, the sample keeps that of its own second; it always keeps the scene
of the second of its frames.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from avsc.manifests.errors import SettingError
from avsc.train.data.samples import Ints, Samples, images_at


@dataclass(frozen=True)
class TimeShift:
    """How far apart audio and image may be: uniform over the whole seconds from -S to S.

    Attributes:
        seconds: S, 1 or more.
    """

    seconds: int

    def draw(self, generator: np.random.Generator, count: int) -> Ints:
        """Draw by how many seconds the audio is late, int64 [count]."""
        return generator.integers(-self.seconds, self.seconds, count, endpoint=True)

    def check(self, images: Samples) -> None:
        """Raise a `SettingError` unless a clip has images of two seconds, so that it can shift."""
        if not ClipImages(images).last.any():
            raise SettingError(
                f"--shift is {self.seconds}, but no training clip has images of two seconds or "
                "more, so that there is no other image to pair its audio with. Omit it."
            )


@dataclass(frozen=True)
class ClipImages:
    """Images of clips by time.

    Attributes:
        every: all images, by clip, then by time.
    """

    every: Samples

    @cached_property
    def last(self) -> Ints:
        """Last second with an image, by the clip's row, int64 [clips]; 0 without images."""
        last = np.zeros(1 + int(self.every.clip.max(initial=-1)), np.int64)
        np.maximum.at(last, self.every.clip, self.every.second)
        return last

    def later(self, samples: Samples, seconds: Ints) -> Ints:
        """Return the image that lies so many seconds after each sample's, int64 [samples].

        Args:
            samples: pairs with some of these images.
            seconds: int64 [samples]; below 0: before it.
        """
        assert samples.image is not None
        second = (samples.second + seconds) % (1 + self.last[samples.clip])
        key = second * self.every.rate + samples.time % self.every.rate
        image, there = images_at(samples.clip, key, self.every)
        return np.where(there, image, samples.image)
