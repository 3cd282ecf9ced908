"""Which of a file's streams is the recording's, and what of its coding is not obeyed.

The recording's is the one that players take (FFmpeg's `av_find_best_stream`): marked as default and
not made for people with impaired hearing or sight; of several, the one with more packets at its
beginning (up to five), then the one with more bits per second, then the first.
"""

from typing import Literal

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

NOT_SQUARE = (
    "some videos have pixels that are not square: their frames are stored as coded, not "
    "stretched (docs/recordings.md)."
)
HIGH_DYNAMIC_RANGE = (
    "some videos have a high dynamic range (PQ or HLG): their frames are stored as coded, pale, "
    "without tone mapping (docs/recordings.md)."
)
_PQ, _HLG = 16, 18

COVERS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def default_stream(container: InputContainer, kind: Literal["audio", "video"]) -> Stream | None:
    """Return the stream that players take; None when there is none of the kind.

    Cover frames are no videos, and a still frame is taken for the video only when there is no
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


def not_obeyed(stream: av.VideoStream, frame: av.VideoFrame) -> list[str]:
    """Return what of a video's coding its frames do not obey; the same words for every file."""
    ratios = stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio
    found = {
        NOT_SQUARE: any(ratio not in (None, 0, 1) for ratio in ratios),
        HIGH_DYNAMIC_RANGE: frame.color_trc in (_PQ, _HLG),
    }
    return [remark for remark, holds in found.items() if holds]
