"""A recording as a model takes it: what extraction keeps of a clip, put together as in training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avsc.features import framing
from avsc.features.piecewise import Piece
from avsc.features.specs import AcousticSpec
from avsc.features.store.labels import Labels
from avsc.train.data.samples import Samples, image_samples
from avsc.train.data.source import Source, Stream


class InMemory:
    """Encoded images that are no store's: JPEGs by number."""

    def __init__(self, jpegs: Sequence[NDArray[np.uint8]], name: str) -> None:
        self._jpegs, self._name = jpegs, name

    def read(self, record: int) -> NDArray[np.uint8]:
        """Return the bytes of one image."""
        return self._jpegs[record]

    def where(self, record: int) -> str:
        """Say which image that is, for messages."""
        return f"{self._name}: image {record}"


def sample_piece(
    name: str, piece: Piece, spec: AcousticSpec | None, per_second: int = 1
) -> tuple[Source, Samples, int]:
    """Return the samples of a piece, what they refer to, and where the seconds of the piece end.

    A sample is an acoustic frame with the image of its time, a frame, or an image. Seconds are
    those that evaluation expects of a clip (`avsc.train.evaluate.expected`): those that have an
    image or should have, or without images those up to the last one that a whole window lies in.

    Args:
        name: of the recording, for messages.
        piece: of the recording.
        spec: of its frames.
        per_second: images a second.
    """
    sound: Stream | None = None
    seen: Stream | None = None
    if piece.frames is not None:
        assert spec is not None
        sound = Stream(piece.frames, _frame_samples(piece.first_frame, len(piece.frames), spec))
    if piece.images is not None:
        key, nothing = np.array(list(piece.images), np.int64), Labels.whole(np.zeros(1, np.int64))
        images = InMemory(list(piece.images.values()), name)
        seen = Stream(images, image_samples(np.zeros_like(key), key, nothing, per_second))
    source = Source.of(sound, seen)
    if piece.images is not None:
        last = max((*piece.images, *piece.lost), default=-1)
        return source, source.every, 1 + last // per_second
    end = 1 + int(source.every.second[source.every.strict].max(initial=-1))
    samples = source.every
    return source, samples.take(samples.second < end) if piece.last else samples, end


def _frame_samples(first: int, count: int, spec: AcousticSpec) -> Samples:
    """Return frames first, first + 1, ... as samples; their rows count from 0."""
    frame, none = np.arange(first, first + count), np.zeros(count, np.int64)
    time = np.asarray(framing.centre_sample(frame, spec), np.int64)
    strict = np.asarray(framing.inside(frame, spec), np.bool_)
    return Samples(np.arange(count), None, none, none, time, strict, spec.sample_rate)
