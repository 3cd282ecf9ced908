"""Where the packets of a video do not follow one another: losses, and recordings joined.

Each packet of an MPEG transport stream carries the number of its stream (PID) and a counter of four
bits. FFmpeg marks a frame as corrupt wherever the counter is not as expected: where packets were
lost, and where another recording was appended, although nothing is missing there.

It was only appended where all the counters between the frame's first packet and the next frame
are right, and that next frame can be decoded on its own. Frames may still be missing between
the two, which the clock then shows; and where the clock goes back a little, as recorders let it,
the frames of the second recording that are due before the last one of the first are not on show.

Source: ISO/IEC 13818-1, 2.4.3.2 and 2.4.3.3 (transport packets).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import TypeAlias

import av

from avsc.features.h264 import begins_in_between, recovers_at_once
from avsc.manifests.errors import MediaError

BROADCAST = ("mpegts", "mpeg")
"""Transport and program streams: one may begin anywhere, and its clock may jump."""

MAX_BACK_SECONDS = Fraction(1, 10)
"""What a clock may go back by; beyond that, it was restarted."""

MAX_JUMP_SECONDS = 10
"""What the clock of a transport or program stream may go forward by, as FFmpeg has it."""

HEAD = 8
"""Bytes of a chunk of AVI before its content: name and size."""

_SYNC = b"G"
_FRAMINGS = ((188, 0), (192, 4), (204, 0))
"""Size of a transport packet, and where it begins: plain, behind a time (M2TS), with a checksum."""

Packet: TypeAlias = "av.Packet[av.VideoStream]"


@dataclass(frozen=True)
class Continuity:
    """What a video misses.

    Attributes:
        torn: indices of packets of which a part is missing, or more after them; all is spoiled
            from there to the end of the run.
        gaps: intervals [from, to) in ticks in which frames are missing, and nothing else.
        unshown: indices of packets whose frames are not on show.
    """

    torn: list[int]
    gaps: list[tuple[int, int]]
    unshown: frozenset[int]


def continuity(
    context: av.VideoCodecContext, packets: Sequence[Packet], content: bytes, stream: int
) -> Continuity:
    """Return what is missing between the packets of a video.

    Args:
        context: its decoder.
        packets: in decoding order.
        content: the file.
        stream: the number that the file has for the stream.
    """
    torn, gaps, joints = [], [], []
    counts = _counts(packets, content, stream)
    for index, (packet, following) in enumerate(pairwise(packets)):
        if packet.dts is None or following.dts is None:
            continue
        end, count = packet.dts + (packet.duration or 0), counts[index]
        if count is _Counted.TORN or (count is _Counted.BROKEN and not _begins(context, following)):
            torn.append(index)
        elif count is _Counted.BROKEN and following.dts > end and following.pts is not None:
            gaps.append((end, following.pts))
        if count is _Counted.BROKEN or following.dts < packet.dts:
            joints.append(index + 1)
    return Continuity(torn, gaps, _overlapping(packets, joints))


def check_clock(path: Path, packets: Sequence[Packet], kind: str) -> None:
    """Refuse recordings put one after another, each with a clock of its own.

    Raises:
        MediaError: ``"clock"``.
    """
    due = _clock(packets, kind)
    tick = packets[0].time_base if packets else Fraction(1)
    back, most = floor(-MAX_BACK_SECONDS / tick), MAX_JUMP_SECONDS // tick
    for before, after in pairwise(due):
        if after - before < back or (kind in BROADCAST and after - before > most):
            raise MediaError(
                "clock",
                f"{path}: its clock goes from {float(before * tick):.3f} s to "
                f"{float(after * tick):.3f} s, as when recordings are put one after another; "
                "wanted one clock: list them as clips of their own, or join them by ffmpeg's "
                "concat demuxer.",
            )


def _clock(packets: Sequence[Packet], kind: str) -> list[int]:
    """Return what the file's clock shows at one packet after another.

    Matroska has no times of decoding. FFmpeg invents them, and they go back where it does not know
    by how many frames the codec reorders; so the latest frame before, which no key frame
    precedes, stands for them.
    """
    if "matroska" not in kind:
        return [packet.dts for packet in packets if packet.dts is not None]
    due: list[int] = []
    for packet in packets:
        if packet.pts is not None:
            due.append(packet.pts if packet.is_keyframe else max([*due[-1:], packet.pts]))
    return due


def check_index(path: Path, packets: Sequence[Packet], stream: av.VideoStream) -> None:
    """Refuse an AVI file whose chunks are not those of its index: they are counted for their times.

    Raises:
        MediaError: ``"undecodable"``.
    """
    positions = {packet.pos for packet in packets}  # the times of DV's are not by the index's clock
    lost = sum(1 for e in stream.index_entries if e.size and e.pos + HEAD not in positions)
    if lost:
        raise MediaError(
            "undecodable",
            f"{path}: {lost} of its frames are not found where its index has them; copy the file "
            "again.",
        )


def _begins(context: av.VideoCodecContext, packet: Packet) -> bool:
    """Return whether frames from this one on, in the order of their display, can be decoded."""
    if not packet.is_keyframe:
        return False
    return not begins_in_between(context, [packet]) or recovers_at_once(context, packet)


def _overlapping(packets: Sequence[Packet], joints: Sequence[int]) -> frozenset[int]:
    """Return the packets behind a joint whose frames are due before one in front of it."""
    unshown: set[int] = set()
    shown: list[int] = []  # the latest frame in front of the joint before, and those since
    begin = 0
    for joint in joints:
        passed = packets[begin:joint]
        shown += [p.pts for p in passed if p.pts is not None and not p.is_discard]
        begin, shown = joint, [max(shown)] if shown else []
        for index, packet in enumerate(packets[joint:], joint):
            if not shown or packet.dts is None or packet.dts > shown[0]:
                break
            if packet.pts is not None and packet.pts <= shown[0]:
                unshown.add(index)
    return frozenset(unshown)


class _Counted(Enum):
    """What the counters of a frame's transport packets say."""

    RIGHT = 0
    BROKEN = 1  # right to its end, and not between it and the next frame
    TORN = 2


def _counts(packets: Sequence[Packet], content: bytes, stream: int) -> list[_Counted]:
    """Return for each packet but the last what the counters say."""
    right = [_Counted.RIGHT] * max(0, len(packets) - 1)
    if not any(packet.is_corrupt for packet in packets):
        return right
    places = [-1 if packet.pos is None else packet.pos for packet in packets]
    counts, end = right, places[-1]
    for index in reversed(range(len(right))):
        if places[index + 1] != places[index]:  # else they share their transport packets
            end = places[index + 1]
        counts[index] = _counted(content, stream, places[index], end)
    for index, packet in enumerate(packets[:-1]):
        # FFmpeg marks a frame by what it reads when it finds its end: it or the next is meant.
        if packet.is_corrupt and set(counts[index : index + 2]) == {_Counted.RIGHT}:
            counts[index] = _Counted.TORN
    return counts


def _counted(content: bytes, stream: int, begin: int, end: int) -> _Counted:
    """Compare the counters of a frame that begins at a place in the file, up to the next one."""
    size, header = next(
        (
            (n, at)
            for n, at in _FRAMINGS
            if content[begin + at : begin + 2 * n + 5 : n] == _SYNC * 3
        ),
        (0, 0),
    )
    if begin < 0 or not size:
        return _Counted.TORN
    counters = []
    for at in range(begin + header, end + header + 1, size):
        sync, high, low, flags = content[at : at + 4]
        if sync != _SYNC[0] or high & 0x80:  # no packet, or known to be damaged
            return _Counted.TORN
        if (high & 0x1F) << 8 | low == stream and flags & 0x10:
            counters.append(flags & 0x0F)
    # A packet may be sent twice.
    breaks = [(other - one) % 16 > 1 for one, other in pairwise(counters)]
    if not breaks or any(breaks[:-1]):
        return _Counted.TORN
    return _Counted.BROKEN if breaks[-1] else _Counted.RIGHT
