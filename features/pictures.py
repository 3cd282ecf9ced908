"""The picture on show at k + 0.5 s for each second k of a video: those of a full decode, for less.

Conventions. Picture k is the last one, in presentation order, whose time is not later than
k + 0.5 s, if its display interval [its time, the next picture's time) holds that instant; the last
picture is on show for its own duration. Time 0 is the file's own (see `video`) or a given `start`.
Pictures are taken as coded: interlaced ones keep both fields, pixels that are not square stay so.

How. Decoding is nearly all the work of extraction, so the decoder is asked for no more than it must
do. The packets' times say which pictures are wanted. In H.264,

- a packet whose picture is not wanted is decoded with ``skip_frame=NONREF``: the decoder itself
  leaves the picture out when no other refers to it;
- of each run (see `h264`) only the packets up to the last wanted picture are decoded, none at all
  of a run without.

A run that did not give every wanted picture is decoded once more, in full. Other codecs are decoded
in full from the start; so are videos whose packets carry no times, once for the times and once for
the pictures.

Damage. From the first packet that cannot be decoded without error to the end of its run, every
picture counts as corrupt. In a file that was cut off, the pictures before the cut are right, and
those after it are missing.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from avsc.features.h264 import run_starts
from avsc.features.jpeg import fitted
from avsc.features.video import Packet, Video, opened
from avsc.manifests.errors import MediaError

MAX_SECONDS = 4 * 3600
"""A longer video is refused."""

MAX_HELD_PIXELS = 1 << 30
"""A run is refused when all its wanted pictures together, held in memory, have more pixels."""

_HALF = Fraction(1, 2)
_SCALER = (
    Interpolation.AREA
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)


def pictures(
    path: Path, seconds: int | None = None, start: Fraction | float | None = None
) -> Iterator[tuple[int, av.VideoFrame | MediaError]]:
    """Yield (k, the picture on show at k + 0.5 s) for each second k, in order.

    Where there is none, the error that says why stands in its place, its code ``"no-picture"``
    (nothing is on show at that time), ``"corrupt"`` or ``"truncated"``.

    Args:
        path: a video file.
        seconds: how many seconds are wanted; None for every k with k + 0.5 s before the end.
        start: where time 0 lies on the file's clock, seconds: the sound track's start when the
            clip's sound comes from the same file. None for the start of the first stream.

    Raises:
        MediaError: ``"missing"``, ``"unreadable"``, ``"empty"``, ``"truncated"`` (the file's index
            is missing), ``"undecodable"``, ``"no-video"``, ``"too-large"``: no picture at all.
    """
    with opened(path) as video:
        schedule = _schedule(video)
        zero = video.zero if start is None else Fraction(start)
        count = max(0, ceil(schedule.end - zero - _HALF)) if seconds is None else seconds
        shown = [schedule.on_show(zero + k + _HALF, f"{path}: second {k}") for k in range(count)]
        wanted = defaultdict[int, set[int]](set)
        for time in shown:
            if isinstance(time, int):
                wanted[schedule.run_of(time)].add(time)
        run, frames = -1, dict[int, av.VideoFrame]()
        for k, time in enumerate(shown):
            if isinstance(time, MediaError):
                yield k, time
                continue
            if schedule.run_of(time) != run:
                run = schedule.run_of(time)
                frames = _decoded_run(video, schedule, run, wanted[run])
            yield k, frames[time] if time in frames else _corrupt(path, k)


def video_seconds(path: Path, start: Fraction | float | None = None) -> float:
    """Return the time from `start` (as in `pictures`) to the video's end, seconds.

    Raises:
        MediaError: as `pictures`.
    """
    with opened(path) as video:
        zero = video.zero if start is None else Fraction(start)
        return float(_schedule(video).end - zero)


def rgb(frame: av.VideoFrame, short_side: int = 0) -> NDArray[np.uint8]:
    """Return a picture as it is to be seen: uint8 RGB [height, width, 3], upright.

    Converted and scaled in one pass by libswscale (mean over each new pixel's area, accurate
    rounding), with the colour matrix and range that the frame names; one that names none is BT.601,
    limited range, as FFmpeg has it. The display matrix is obeyed in quarter turns, without its
    mirroring.

    Args:
        frame: a decoded picture.
        short_side: shorter side to scale down to, pixels; 0 keeps the size. Never enlarged.

    Raises:
        MediaError: ``"undecodable"`` when the rotation is not made of quarter turns.
    """
    turns, rest = divmod(frame.rotation, 90)
    if rest:
        raise MediaError(
            "undecodable",
            f"the picture is to be turned by {frame.rotation} degrees; only quarter turns are "
            "known: turn the video.",
        )
    height, width = fitted(frame.height, frame.width, short_side)
    plain = frame.reformat(width, height, "rgb24", interpolation=_SCALER, threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(plain, turns))


@dataclass(frozen=True)
class _Schedule:
    """When the pictures of a video are on show. Times are whole ticks.

    Attributes:
        tick: seconds.
        times: times of the pictures, ascending.
        last: end of the last picture's display interval.
        place: a picture's time -> its packet's index; empty when packets carry no times.
        runs: index of the first packet of each run.
        cut: time from which pictures may be lost in a file that was cut off, else None. A picture
            is never shown before its packet is due for decoding, so that those due before are here.
        end: end of the last picture that the file holds or, before it was cut off, held, seconds.
    """

    tick: Fraction
    times: list[int]
    last: int
    place: dict[int, int]
    runs: list[int]
    cut: int | None
    end: Fraction

    def on_show(self, instant: Fraction, name: str) -> int | MediaError:
        """Return the time of the picture on show at an instant, or why there is none."""
        now = floor(instant / self.tick)
        if self.cut is not None and now >= self.cut:
            return MediaError("truncated", f"{name}: the file is cut off before it; copy it again.")
        row = bisect_right(self.times, now) - 1
        if row < 0 or now >= self.last:
            first, last = (float(time * self.tick) for time in (self.times[0], self.last))
            return MediaError(
                "no-picture",
                f"{name}: no picture at {float(instant):g} s of the file's clock; there are "
                f"pictures from {first:g} s to {last:g} s.",
            )
        return self.times[row]

    def run_of(self, time: int) -> int:
        """Return the number of the run that holds a picture."""
        return bisect_right(self.runs, self.place.get(time, 0)) - 1


def _schedule(video: Video) -> _Schedule:
    """Return when the pictures of a video are on show."""
    shown = [(index, packet) for index, packet in enumerate(video.packets) if not packet.is_discard]
    durations = {packet.pts: packet.duration or 0 for _, packet in shown}
    place = {packet.pts: index for index, packet in shown if packet.pts is not None}
    if len(place) < len(shown):
        durations, place = {frame.pts: frame.duration or 0 for frame in _all_frames(video)}, {}
    times = sorted(time for time in durations if time is not None)
    if not times:
        raise MediaError(
            "undecodable", f"{video.path}: its pictures carry no times; put the video into MP4."
        )
    spacing = (times[-1] - times[0]) // max(1, len(times) - 1)
    last = times[-1] + (durations[times[-1]] or spacing)
    end = last * video.tick
    if not video.whole and video.declared_end is not None:
        end = max(end, video.declared_end)
    if end - video.zero > MAX_SECONDS:
        raise MediaError(
            "too-large",
            f"{video.path}: lasts {float(end - video.zero):g} s; at most {MAX_SECONDS} s: cut it "
            "into shorter clips.",
        )
    return _Schedule(
        tick=video.tick,
        times=times,
        last=last,
        place=place,
        runs=run_starts(video.context, video.packets) if place else [0],
        cut=None if video.whole else (video.packets[-1].dts or 0) + 1,
        end=end,
    )


def _all_frames(video: Video) -> Iterator[av.VideoFrame]:
    """Yield every picture of a video whose packets do not say which picture is whose."""
    for packet in (*video.packets, None):
        frames = _frames(video.context, packet)
        if frames is None or any(frame.is_corrupt for frame in frames):
            raise MediaError(
                "undecodable",
                f"{video.path}: damaged, and its packets carry no times; copy the file again.",
            )
        yield from frames


def _decoded_run(
    video: Video, schedule: _Schedule, run: int, wanted: set[int]
) -> dict[int, av.VideoFrame]:
    """Return the wanted pictures of a run that are right, by their times."""
    pixels = len(wanted) * video.context.width * video.context.height
    if pixels > MAX_HELD_PIXELS:
        raise MediaError(
            "too-large",
            f"{video.path}: {len(wanted)} pictures must be held at once, {pixels} pixels; at most "
            f"{MAX_HELD_PIXELS}: cut the video into shorter clips.",
        )
    first = schedule.runs[run]
    final = len(video.packets) - 1
    if schedule.place:
        final = max(schedule.place[time] for time in wanted)
    packets = dict(enumerate(video.packets[first : final + 1], first))
    skipping = bool(schedule.place) and video.context.codec.canonical_name == "h264"
    found = _decode(video.context, packets, wanted, schedule.place, skipping=skipping)
    if skipping and len(found) < len(wanted):
        found |= _decode(video.context, packets, wanted, schedule.place, skipping=False)
    return found


def _decode(
    context: av.VideoCodecContext,
    packets: dict[int, Packet],
    wanted: set[int],
    place: dict[int, int],
    *,
    skipping: bool,
) -> dict[int, av.VideoFrame]:
    """Return the wanted pictures among packets, without those that come after damage.

    Args:
        context: the decoder.
        packets: a run's first packets, by their indices.
        wanted: times of the wanted pictures.
        place: a picture's time -> its packet's index.
        skipping: whether the decoder may leave pictures out that are neither wanted nor needed.
    """
    context.flush_buffers()
    first = min(packets)
    damage = len(packets) + first
    found: dict[int, av.VideoFrame] = {}
    for index, packet in (*packets.items(), (damage, None)):
        idle = skipping and packet is not None and packet.pts not in wanted
        context.skip_frame = "NONREF" if idle else "DEFAULT"
        frames = _frames(context, packet)
        failed = frames is None
        if frames is None:
            damage = min(damage, index)
            frames = _frames(context, None) or []
        for frame in frames:
            time = frame.pts
            if time is None:
                continue
            if frame.is_corrupt:
                damage = min(damage, place.get(time, first))
            elif time in wanted:
                found[time] = frame
        if failed:
            break
    return {time: frame for time, frame in found.items() if place.get(time, first) < damage}


def _frames(context: av.VideoCodecContext, packet: "Packet | None") -> list[av.VideoFrame] | None:
    """Return what the decoder gives for a packet (None: all that is left); None for an error."""
    try:
        return context.decode(packet)
    except av.error.FFmpegError:
        return None


def _corrupt(path: Path, second: int) -> MediaError:
    return MediaError(
        "corrupt",
        f"{path}: second {second}: its picture, or one that it is built on, cannot be decoded "
        "without error; copy the file again.",
    )
