"""Which of a file's streams is the recording's.

The one that players take (FFmpeg's `av_find_best_stream`): marked as default and not made for
people with impaired hearing or sight; of several, the one with more packets at its beginning (up to
five), then the one with more bits per second, then the first.
"""

from typing import Literal

from av.container import InputContainer
from av.stream import Disposition, Stream

COVERS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def default_stream(container: InputContainer, kind: Literal["audio", "video"]) -> Stream | None:
    """Return the stream that players take; None when there is none of the kind.

    Cover pictures are no videos, and a still picture is taken for the video only when there is no
    other, whatever the file marks as its default.
    """
    streams = [
        stream
        for stream in container.streams
        if stream.type == kind and not stream.disposition & COVERS
    ]
    candidates = [stream for stream in streams if stream.frames != 1] or streams
    best = container.streams.best(kind)
    return best if best in candidates else next(iter(candidates), None)
