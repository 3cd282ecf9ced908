"""The frame on show at k + 0.5 s for each second k of a video: those of a full decode, for less.

Conventions. Frame k is the last one, in presentation order, whose time is not later than
k + 0.5 s, if its display interval [its time, the next frame's time) holds that instant; the last
frame is on show for its own duration. With N images a second the instants are (k + 0.5) / N s
(`avsc.features.specs.ImageTimes`), and one frame may be on show at several. Time 0 is the file's
own (see `video`) or a given `start`. Frames are taken as coded: interlaced ones keep both fields,
pixels that are not square stay so, and a high dynamic range is not mapped to a low one.

How. Decoding is nearly all the work of extraction, so the decoder is asked for no more than it must
do. The packets' times say which frames are wanted. In H.264,

- a packet whose frame is not wanted is decoded with ``skip_frame=NONREF``: the decoder itself
  leaves the frame out when no other refers to it;
- of each run (see `h264`) only the packets up to the last wanted frame are decoded, none at all
  of a run without.

A run that did not give every wanted frame is decoded once more, in full. Other codecs are decoded
in full from the start; so are videos whose packets carry no times, once for the times and once for
the frames.

Damage. From the first packet that cannot be decoded without error, or of which a transport stream
has lost a part, to the end of its run, every frame counts as corrupt. In a file that was cut off,
the frames before the cut are right, and those after it are missing.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from avsc.features.jpeg import fitted
from avsc.features.recording import Recording
from avsc.features.specs import ImageSpec
from avsc.features.streams import not_obeyed
from avsc.features.timeline import Timeline, timeline_of
from avsc.features.video import Video, decoded, opened
from avsc.manifests.errors import MediaError

MAX_HELD_PIXELS = 1 << 28
"""A run is refused when all its wanted frames together, held in memory, have more pixels."""

_Image: TypeAlias = NDArray[np.uint8]
Orientation: TypeAlias = Callable[[_Image], _Image]
ONE_A_SECOND = ImageSpec()
REPEATED = (
    "some videos have fewer frames than images that were asked for (--images-per-second): the same "
    "frame is kept several times."
)
_SKEW = 0.017
"""Tangent of one degree: what FFmpeg takes for a quarter turn, too."""
_SCALER = (
    Interpolation.AREA
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)


def frames_on_show(
    recording: Path | Recording,
    end: Fraction | float | None = None,
    start: Fraction | float | None = None,
    remarks: list[str] | None = None,
    spec: ImageSpec = ONE_A_SECOND,
) -> Iterator[tuple[int, av.VideoFrame | MediaError]]:
    """Yield (k, the frame on show at the instant of image k) for each image of a clip, in order.

    Where there is none, the error that says why stands in its place, its code ``"no-picture"``
    (nothing is on show at that time), ``"corrupt"`` or ``"truncated"``.

    Args:
        end: of the clip, seconds after time 0; None for the end of the video.
        start: where time 0 lies on the file's clock, seconds: the sound track's start when the
            clip's sound comes from the same file. None for the start of the first stream.
        remarks: a list to which is added what of the video's coding is not obeyed, and whether
            there are fewer frames than images.
        spec: how many images of a second.

    Raises:
        MediaError: no frame at all. Its code is one of `read_recording`, ``"truncated"`` (the
            file's index is missing), ``"undecodable"``, ``"no-video"``, ``"too-large"`` or
            ``"too-long"``.
    """
    with opened(recording) as video:
        path = video.path
        timeline = timeline_of(video)
        zero = video.zero if start is None else Fraction(start)
        shown = [
            timeline.on_show(zero + spec.instant(k), f"{path}: {spec.name(k)}")
            for k in range(spec.count(timeline.end - zero if end is None else end))
        ]
        times = [time for time in shown if isinstance(time, int)]
        if remarks is not None and spec.per_second > 1 and len(set(times)) < len(times):
            remarks.append(REPEATED)
        wanted = defaultdict[int, set[int]](set)
        for time in shown:
            if isinstance(time, int):
                wanted[timeline.run_of(time)].add(time)
        run, frames = -1, dict[int, av.VideoFrame]()
        for k, time in enumerate(shown):
            if isinstance(time, MediaError):
                yield k, time
                continue
            if timeline.run_of(time) != run:
                run = timeline.run_of(time)
                frames = _frames_of_run(video, timeline, run, wanted[run])
            if remarks is not None and time in frames:
                found = not_obeyed(video.stream, frames[time])
                remarks += [remark for remark in found if remark not in remarks]
            yield k, frames[time] if time in frames else _corrupt(path, spec.name(k))


def rgb(
    frame: av.VideoFrame, short_side: int = 0, upright: Orientation | None = None
) -> NDArray[np.uint8]:
    """Return a frame as it is to be seen: uint8 RGB [height, width, 3], upright.

    Converted and scaled in one pass by libswscale (mean over each new pixel's area, accurate
    rounding), with the colour matrix and range that the frame names; one that names none is BT.601,
    limited range, as FFmpeg has it. The display matrix is obeyed in its quarter turns and its
    mirroring, not in its scale.

    Args:
        short_side: shorter side to scale down to, pixels; 0 keeps the size. Never enlarged.
        upright: its `orientation`, where that is known already.

    Raises:
        MediaError: ``"undecodable"`` for a rotation not made of quarter turns, or a format of
            pixels that cannot be converted.
    """
    upright = upright or orientation(frame)
    height, width = fitted(frame.height, frame.width, short_side)
    try:
        scaled = frame.reformat(width, height, "rgb24", interpolation=_SCALER, threads=1)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            "undecodable",
            f"frames in {frame.format.name} cannot be converted to RGB; convert the video.",
        ) from error
    return np.ascontiguousarray(upright(np.asarray(scaled.to_ndarray(), np.uint8)))


def orientation(frame: av.VideoFrame) -> Orientation:
    """Return what makes a frame [height, width, ...] upright, after its display matrix.

    A frame whose side data were asked for lives until Python collects reference cycles (PyAV 18).

    A pixel (x, y) is shown at (a x + c y, b x + d y), but for a shift (ISO/IEC 14496-12, 6.2.2).
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return lambda image: image
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    kept, turned = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(kept, turned) > _SKEW * max(kept, turned):
        raise MediaError(
            "undecodable",
            f"the frame is to be turned by {frame.rotation} degrees; only quarter turns are "
            "known: turn the video.",
        )
    if turned > kept:
        return lambda image: image.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
    return lambda image: image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _frames_of_run(
    video: Video, timeline: Timeline, run: int, wanted: set[int]
) -> dict[int, av.VideoFrame]:
    """Return the wanted frames of a run that are right, by their times."""
    pixels = len(wanted) * video.context.width * video.context.height
    if pixels > MAX_HELD_PIXELS:
        raise MediaError(
            "too-large",
            f"{video.path}: {len(wanted)} frames must be held at once, {pixels} pixels; at most "
            f"{MAX_HELD_PIXELS}: cut the video into shorter clips, or ask for fewer images "
            "(--images-per-second).",
        )
    frames = _decoded(video, timeline, run, wanted, skipping=timeline.by_packets)
    if timeline.by_packets and len(frames) < len(wanted):
        frames |= _decoded(video, timeline, run, wanted, skipping=False)
    for frame in frames.values():
        frame.time_base = video.tick
    return frames


def _decoded(
    video: Video, timeline: Timeline, run: int, wanted: set[int], *, skipping: bool
) -> dict[int, av.VideoFrame]:
    """Decode a run up to its last wanted frame; leave out what is damaged or comes after damage.

    `skipping` lets the decoder leave out frames that are neither wanted nor referred to.
    """
    first, stop = timeline.runs[run], 1 + max(timeline.place[time] for time in wanted)
    damage = stop
    kept: dict[int, av.VideoFrame] = {}
    decoder = video.decoder(first)
    for index, packet in enumerate((*video.packets[first:stop], None), first):
        idle = skipping and packet is not None and packet.pts not in wanted
        decoder.skip_frame = "NONREF" if idle else "DEFAULT"
        frames = decoded(decoder, packet)
        failed = frames is None
        if frames is None:
            damage = min(damage, index)
            frames = decoded(decoder, None) or []
        for frame in frames:
            if frame.is_corrupt:
                damage = min(damage, timeline.place.get(frame.pts or 0, first))
            elif frame.pts is not None and frame.pts in wanted:
                kept.setdefault(frame.pts, frame)
        if failed:
            break
    return {time: frame for time, frame in kept.items() if timeline.place[time] < damage}


def _corrupt(path: Path, image: str) -> MediaError:
    return MediaError(
        "corrupt",
        f"{path}: {image}: its frame, or one that it is built on, cannot be decoded "
        "without error; copy the file again.",
    )
