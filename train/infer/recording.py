"""A recording as a model takes it: acoustic frames, and the JPEG of each second.

Both are what extraction keeps of a clip, made by the same functions. `sample_recording` puts them
together as training and evaluation do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc.features.clip import Made, make_clip
from avsc.features.limits import Limits
from avsc.features.specs import AcousticSpec, ImageSpec, Spec
from avsc.manifests.errors import MediaError
from avsc.train.data.samples import Samples, frame_samples, image_samples
from avsc.train.data.source import Source, Stream


class InMemory:
    """Encoded images that are no store's: JPEGs by number."""

    def __init__(self, jpegs: list[NDArray[np.uint8]], name: str) -> None:
        self._jpegs, self._name = jpegs, name

    def read(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of one image."""
        return self._jpegs[record]

    def where(self, record: int) -> str:
        """Say which image that is, for messages."""
        return f"{self._name}: image {record}"


@dataclass(frozen=True)
class Features:
    """What a model is shown of one recording.

    Attributes:
        name: of the recording, for messages.
        frames: log magnitudes, float32 [frames, channels, bins]; None for a model that does not
            hear.
        images: JPEG of each second that has one, uint8 [bytes], by second, ascending; None for a
            model that does not see.
        lost: seconds without an image.
        warnings: what the user should know although everything was made.
    """

    name: str
    frames: NDArray[np.float32] | None
    images: Mapping[int, NDArray[np.uint8]] | None
    lost: tuple[int, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def make_features(
    name: str,
    audio: Path | None,
    video: Path | None,
    specs: tuple[AcousticSpec | None, ImageSpec | None],
    limits: Limits | None = None,
) -> Features:
    """Make the features of a recording, as extraction makes those of a clip.

    Args:
        name: of the recording, for messages.
        audio: its sound; equal to `video` when that is the video file's own track.
        video: its images.
        specs: of the acoustic frames and of the images; None for what the model does not take.
        limits: what is refused; the defaults when None.

    Raises:
        MediaError: it has no sound, or no images, that can be read, and the model takes them.
    """
    wanted = wanted_specs(specs)
    return features_of(name, make_clip(name, audio, video, wanted, limits), specs)


def wanted_specs(specs: tuple[AcousticSpec | None, ImageSpec | None]) -> dict[str, Spec]:
    """Return the specs that a model takes, by product."""
    return {spec.product: spec for spec in specs if spec is not None}


def features_of(
    name: str, made: Made, specs: tuple[AcousticSpec | None, ImageSpec | None]
) -> Features:
    """Return what was made of a clip as features; raises as `make_features`."""
    for failure in made.failures:
        if failure.key is None:
            raise MediaError(failure.code, failure.message)
    acoustic, images = specs
    frames: NDArray[Any] | None = None if acoustic is None else made.records[acoustic.product][0][1]
    lost = [failure for failure in made.failures if failure.key is not None]
    return Features(
        name,
        frames,
        None if images is None else dict(made.records[images.product]),
        tuple(failure.key for failure in lost if failure.key is not None),
        (*made.warnings, *(failure.message for failure in lost)),
    )


def sample_recording(features: Features, spec: AcousticSpec | None) -> tuple[Source, Samples, int]:
    """Return a recording's samples, what they refer to, and how many whole seconds it has.

    A sample is an acoustic frame with the image of its second, a frame, or an image. The seconds
    are those that evaluation expects of a clip (`avsc.train.evaluate.coverage`): those that have an
    image or should have, or without images those up to the last one that a whole window lies in.
    """
    one, scene = np.zeros(1, np.int64), np.zeros(1, np.int64)
    sound: Stream | None = None
    seen: Stream | None = None
    if features.frames is not None:
        assert spec is not None
        count = np.array([len(features.frames)], np.int64)
        sound = Stream(features.frames, frame_samples(one, count, scene, spec))
    if features.images is not None:
        second = np.array(list(features.images), np.int64)
        images = InMemory(list(features.images.values()), features.name)
        seen = Stream(images, image_samples(np.zeros_like(second), second, scene))
    source = Source.of(sound, seen)
    if source.image_samples is None:
        last = source.every.second[source.every.strict].max(initial=-1)
    else:
        last = max(source.image_samples.second.max(initial=-1), max(features.lost, default=-1))
    seconds = int(last) + 1
    return source, source.every.take(source.every.second < seconds), seconds
