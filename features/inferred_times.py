"""Times for the pictures of files that say only when packets are to be decoded.

AVI and Windows Media give each packet one time, that of its decoding; so do bare MPEG streams, by
their rate. The pictures are on show in the order in which the decoder gives them out. One is given
out for each packet, after a delay of as many packets as the codec reorders pictures by: a picture's
time is that of the packet upon which it is given out, less the time of the delay, so that the first
picture is on show at the first packet's time. An empty packet of AVI, or one that repeats a
picture, leaves the one before on show, as players have it.

Sources: libavcodec's `has_b_frames`; FFmpeg's own pictures of such files, which come by this delay
late.
"""

from dataclasses import dataclass
from itertools import pairwise

from avsc.features.video import Video, decoded
from avsc.manifests.errors import MediaError


@dataclass(frozen=True)
class Numbering:
    """What became known of a video's pictures.

    Attributes:
        known: time up to which the pictures are known, in ticks, when the file is damaged or cut
            off; None when all are known.
        damaged: whether it is damaged there.
        end: end of the last packet's picture.
    """

    known: int | None
    damaged: bool
    end: int


def numbered(video: Video) -> Numbering:
    """Give each packet the time of its picture, or None when it has none, by decoding them all.

    Raises:
        MediaError: ``"undecodable"`` when not even the packets have times, or it cannot be told
            which picture is whose.
    """
    due = [packet.dts for packet in video.packets if packet.dts is not None]
    if len(due) < len(video.packets) or any(one >= other for one, other in pairwise(due)):
        raise MediaError(
            "undecodable",
            f"{video.path}: its pictures carry no times; put the video into MP4.",
        )
    for index, packet in enumerate(video.packets):
        packet.pts = index
    given, stop = _given_out(video)
    if not given:
        raise MediaError(
            "undecodable",
            f"{video.path}: its first picture cannot be decoded; copy the file again.",
        )
    delay = min(video.decoder(0).reorder_depth, len(due) - 1)
    step = due[-1] - due[-2] if len(due) > 1 else 1
    due += [due[-1] + step * (i + 1) for i in range(len(video.packets))]
    late = due[delay] - due[0]
    for packet in video.packets:
        packet.pts = None
    before = due[0] - 1
    for holder, upon in given:
        time = due[upon] - late
        if holder is None or time <= before or video.packets[holder].pts is not None:
            raise MediaError(
                "undecodable",
                f"{video.path}: it cannot be told which of its packets holds which picture; put "
                "the video into MP4.",
            )
        video.packets[holder].pts = time
        before = time
    damaged = stop < len(video.packets)
    known = due[stop] - late if damaged or not video.whole else None
    return Numbering(known, damaged, due[len(video.packets)] - late)


def _given_out(video: Video) -> tuple[list[tuple[int | None, int]], int]:
    """Return, for each picture in order, the packets that it is in and upon which it is given out.

    Also returned is the packet that cannot be decoded, where this ends; otherwise their number.
    """
    decoder = video.decoder(0)
    given: list[tuple[int | None, int]] = []
    for index, packet in enumerate(video.packets):
        frames = decoded(decoder, packet)
        if frames is None:
            return given, index
        given += [(frame.pts, index) for frame in frames]
    last = len(video.packets)
    rest = decoded(decoder, None) if video.whole else None
    return given + [(frame.pts, last + i) for i, frame in enumerate(rest or ())], last
