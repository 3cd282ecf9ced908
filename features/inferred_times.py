"""Times for the frames of files that say only when packets are to be decoded.

AVI and Windows Media give each packet one time, that of its decoding; so do bare MPEG streams, by
their rate. The frames are on show in the order in which the decoder gives them out. One is given
out for each packet, after a delay of as many packets as the codec reorders frames by: a frame's
time is that of the packet upon which it is given out, less the time of the delay, so that the first
frame is on show at the first packet's time. An empty packet of AVI, or one that repeats a
frame, leaves the one before on show, as players have it.

Sources: libavcodec's `has_b_frames`; FFmpeg's own frames of such files, which come by this delay
late.
"""

from dataclasses import dataclass
from itertools import pairwise

from avsc.features.video import Video, decoded
from avsc.manifests.errors import MediaError


@dataclass(frozen=True)
class Numbering:
    """What became known of a video's frames.

    Attributes:
        known: time up to which the frames are known, in ticks, when the file is damaged or cut
            off; None when all are known.
        damaged: whether it is damaged there.
        end: end of the last packet's frame.
    """

    known: int | None
    damaged: bool
    end: int


def numbered(video: Video) -> Numbering:
    """Give each packet the time of its frame, or None when it has none, by decoding them all.

    Raises:
        MediaError: ``"undecodable"`` when not even the packets have times, or it is unclear
            which frame is whose.
    """
    due = [packet.dts for packet in video.packets if packet.dts is not None]
    if len(due) < len(video.packets) or any(one >= other for one, other in pairwise(due)):
        raise MediaError(
            "undecodable",
            f"{video.path}: its frames carry no times; put the video into MP4.",
        )
    for index, packet in enumerate(video.packets):
        packet.pts = index
    outputs, stop = _outputs(video)
    if not outputs:
        raise MediaError(
            "undecodable",
            f"{video.path}: its first frame cannot be decoded; copy the file again.",
        )
    delay = min(video.decoder(0).reorder_depth, len(due) - 1)
    step = due[-1] - due[-2] if len(due) > 1 else 1
    due += [due[-1] + step * (i + 1) for i in range(len(video.packets))]
    late = due[delay] - due[0]
    for packet in video.packets:
        packet.pts = None
    before = due[0] - 1
    for holder, upon in outputs:
        time = due[upon] - late
        if holder is None or time <= before or video.packets[holder].pts is not None:
            raise MediaError(
                "undecodable",
                f"{video.path}: it cannot be determined which of its packets holds which frame; "
                "put the video into MP4.",
            )
        video.packets[holder].pts = time
        before = time
    damaged = stop < len(video.packets)
    known = due[stop] - late if damaged or not video.whole else None
    return Numbering(known, damaged, due[len(video.packets)] - late)


def _outputs(video: Video) -> tuple[list[tuple[int | None, int]], int]:
    """Return, for each frame in order, the packets that it is in and upon which it is given out.

    Also returned is the packet that cannot be decoded, where this ends; otherwise their number.
    """
    decoder = video.decoder(0)
    outputs: list[tuple[int | None, int]] = []
    for index, packet in enumerate(video.packets):
        frames = decoded(decoder, packet)
        if frames is None:
            return outputs, index
        outputs += [(frame.pts, index) for frame in frames]
    last = len(video.packets)
    rest = decoded(decoder, None) if video.whole else None
    return outputs + [(frame.pts, last + i) for i, frame in enumerate(rest or ())], last
