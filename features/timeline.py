"""When the frames of a video are on show.

Conventions. Times are whole ticks of the video's clock (see `video`). A frame is on show in
[its time, the next frame's time); the last one for its own duration.

The packets' own times are used; nothing is decoded, unless packets carry no times or two of them
the same: then everything is decoded and the frames' times are used. Files that say only when
packets are to be decoded are the business of `inferred_times`.

A video need not begin with a frame that can be decoded on its own: the leading pictures of an
open GOP whose beginning was cut off, and those before the recovery point of H.264, are not on show.
The first frame on show is the first that the decoder gives.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import av

from avsc.features.h264 import run_starts
from avsc.features.inferred_times import numbered
from avsc.features.video import Video, decoded
from avsc.manifests.errors import MediaError


@dataclass(frozen=True)
class Timeline:
    """When the frames of a video are on show. Times are whole ticks.

    Attributes:
        tick: seconds.
        times: times of the frames, ascending.
        last: end of the last frame's display interval.
        place: a frame's time -> index of the packet that it needs, and none after it.
        runs: index of the first packet of each run (see `h264`).
        by_packets: whether each packet is known to hold the H.264 frame of its own time, so that
            the decoder may leave frames out.
        cut: time from which frames may be lost in a file that was cut off, else None. A frame
            is never shown before its packet is due for decoding, so that those due before are here.
        damaged: whether `cut` is where damage begins, behind which nothing has a known time.
        spoiled: intervals [from, to) in which frames are missing, or built on missing ones; `to`
            is None when nothing later is right.
        end: end of the last frame that the file holds or, before it was cut off, held, seconds.
    """

    tick: Fraction
    times: list[int]
    last: int
    place: dict[int, int]
    runs: list[int]
    by_packets: bool
    cut: int | None
    damaged: bool
    spoiled: list[tuple[int, int | None]]
    end: Fraction

    def on_show(self, instant: Fraction, name: str) -> int | MediaError:
        """Return the time of the frame on show at an instant, or why there is none."""
        now = floor(instant / self.tick)
        if self.cut is not None and now >= self.cut:
            if self.damaged:
                return MediaError(
                    "corrupt", f"{name}: the file is damaged before it; copy it again."
                )
            return MediaError("truncated", f"{name}: the file is cut off before it; copy it again.")
        if any(start <= now and (to is None or now < to) for start, to in self.spoiled):
            return MediaError(
                "corrupt", f"{name}: packets are missing from the file; copy it again."
            )
        row = bisect_right(self.times, now) - 1
        if row < 0 or now >= self.last:
            first, last = (float(time * self.tick) for time in (self.times[0], self.last))
            return MediaError(
                "no-picture",
                f"{name}: no frame at {float(instant):g} s of the file's clock; there are "
                f"frames from {first:g} s to {last:g} s.",
            )
        return self.times[row]

    def run_of(self, time: int) -> int:
        """Return the number of the run that holds a frame."""
        return bisect_right(self.runs, self.place[time]) - 1


def timeline_of(video: Video) -> Timeline:
    """Return when the frames of a video are on show.

    Raises:
        MediaError: ``"undecodable"`` when some of its frames have no times; ``"too-long"`` when
            it is longer than the limit.
    """
    numbers = None if video.timed else numbered(video)
    place, durations, exact = _places(video, numbers is not None)
    times = sorted(place)
    if not times or None in durations:
        some = "some of " if times else ""
        raise MediaError(
            "undecodable",
            f"{video.path}: {some}its frames carry no times; put the video into MP4.",
        )
    spacing = (times[-1] - times[0]) // max(1, len(times) - 1)
    last = times[-1] + (durations[times[-1]] or spacing)
    end = (last if numbers is None else max(last, numbers.end)) * video.tick
    if not video.whole and video.declared_end is not None:
        end = max(end, video.declared_end)
    if end - video.zero > video.limits.seconds:
        raise MediaError(
            "too-long",
            f"{video.path}: {float(end - video.zero):g} s of video; at most {video.limits.seconds} "
            "(--max-seconds): cut it into clips.",
        )
    cut = None if video.whole else (video.packets[-1].dts or 0) + 1
    if numbers is not None:
        cut = numbers.known
    runs = run_starts(video.context, video.packets) if exact else [0]
    return Timeline(
        tick=video.tick,
        times=times,
        last=last,
        place=place,
        runs=runs,
        by_packets=exact and video.context.codec.canonical_name == "h264",
        cut=cut,
        damaged=numbers is not None and numbers.damaged,
        spoiled=[
            *video.continuity.gaps,
            *(_spoiled(video, index, runs) for index in video.continuity.torn),
        ],
        end=end,
    )


def _places(video: Video, numbered: bool) -> tuple[dict[int, int], dict[int | None, int], bool]:
    """Return where frames are, how long they last, and whether the packets say so.

    Returns:
        For each time at which a frame is on show the index of its packet; for each time the
        duration, for None that of frames without a time; and whether each packet has its own.
    """
    packets = {
        i: packet
        for i, packet in enumerate(video.packets)
        if not packet.is_discard
        and i not in video.continuity.unshown
        and (packet.pts is not None or not numbered)
    }
    durations = {packet.pts: packet.duration or 0 for packet in packets.values()}
    place = {packet.pts: i for i, packet in packets.items() if packet.pts is not None}
    if len(place) < len(packets):
        durations = {frame.pts: frame.duration or 0 for frame in _all_frames(video)}
        last = len(video.packets) - 1
        return {time: last for time in durations if time is not None}, durations, False
    first = None if numbered else _first_shown(video)
    if first in place:
        place = {time: i for time, i in place.items() if time >= first}
    return place, durations, True


def _spoiled(video: Video, index: int, runs: list[int]) -> tuple[int, int | None]:
    """Return the interval in which it shows that something is missing of a packet, or after it.

    No frame is on show before it is due for decoding, so that those due before are there; the
    first frame of the next run is right again.
    """
    following = bisect_right(runs, index)
    until = video.packets[runs[following]].pts if following < len(runs) else None
    return video.packets[index].dts or 0, until


def _first_shown(video: Video) -> int | None:
    """Return the time of the first frame of a video that may not begin with it, else None.

    A decoder gives no frame that needs what was cut off, nor one before the recovery point that
    H.264 names (D.2.8), from which on, in the order of their display, all are exact.
    """
    codec = video.context.codec
    if not codec.reorder or (codec.canonical_name == "h264" and video.tolerant is None):
        return None
    decoder = video.decoder(0)
    for packet in (*video.packets, None):
        frames = decoded(decoder, packet)
        if frames is None or frames:
            return frames[0].pts if frames else None
    return None


def _all_frames(video: Video) -> Iterator[av.VideoFrame]:
    """Yield every frame of a video whose packets do not say which frame is whose."""
    decoder = video.decoder(0)
    for packet in (*video.packets, None):
        frames = decoded(decoder, packet)
        if frames is None or any(frame.is_corrupt for frame in frames):
            raise MediaError(
                "undecodable",
                f"{video.path}: damaged, and its packets carry no times; copy the file again.",
            )
        yield from frames
