"""Where decoding may begin in H.264: the runs of packets that can be decoded on their own.

An IDR picture and what follows it never refer to anything before it, so that a run begins at each.
Other key frames begin none: the leading pictures of an open GOP need what comes before it.

Sources: ITU-T H.264, table 7-1 (types of NAL units) and annex B (units between start codes);
ISO/IEC 14496-15, 5.3.3 (the decoder configuration record and units prefixed with their lengths, as
MP4 and Matroska hold them).
"""

import re
from collections.abc import Iterator, Sequence

import av

IDR = 5
PARAMETER_SETS = {7, 8, 13, 15}


def run_starts(
    context: av.VideoCodecContext, packets: Sequence["av.Packet[av.VideoStream]"]
) -> list[int]:
    """Return the index of the first packet of each run.

    A stream is a single run when it is not length-prefixed H.264, and when it changes its parameter
    sets on the way, because packets that are left out would then be missed.

    Args:
        context: the stream's decoder.
        packets: all packets, in decoding order.
    """
    configuration = context.extradata or b""
    if context.codec.canonical_name != "h264" or not _prefixed(configuration):
        return [0]
    starts = [0]
    length_size = (configuration[4] & 3) + 1
    for index, packet in enumerate(packets):
        if packet.has_sidedata("new_extradata"):
            return [0]
        kinds = set()
        for unit in _units(memoryview(packet), length_size):
            kind = unit[0] & 0x1F
            if kind in PARAMETER_SETS and unit.tobytes() not in configuration:
                return [0]
            kinds.add(kind)
        if IDR in kinds and index > 0:
            starts.append(index)
    return starts


def begins_in_between(
    context: av.VideoCodecContext, packets: Sequence["av.Packet[av.VideoStream]"]
) -> bool:
    """Return whether a stream is H.264 that does not begin with an IDR picture.

    Its first packet is then a recovery point at best, and what comes before may be referred to.
    """
    if context.codec.canonical_name != "h264":
        return False
    data, configuration = bytes(packets[0]), context.extradata or b""
    if _prefixed(configuration):
        units = _units(memoryview(data), (configuration[4] & 3) + 1)
        kinds = [unit[0] & 0x1F for unit in units]
    else:
        kinds = [match[1][0] & 0x1F for match in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL)]
    return IDR not in kinds


def _prefixed(configuration: bytes) -> bool:
    """Return whether a stream's units are prefixed with their lengths."""
    return configuration[:1] == b"\x01" and len(configuration) > 4


def _units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    """Yield the NAL units of a packet that are not empty."""
    position = 0
    while position + length_size < len(data):
        length = int.from_bytes(data[position : position + length_size])
        position += length_size
        if length:
            yield data[position : position + length]
        position += length
