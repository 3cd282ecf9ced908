"""Where decoding may begin in H.264: the runs of packets that can be decoded on their own.

An IDR picture and what follows it never refer to anything before it, so that a run begins at each.
Other key frames begin none: the leading pictures of an open GOP need what comes before it.

Sources: ITU-T H.264, table 7-1 (types of NAL units) and annex B (units between start codes);
ISO/IEC 14496-15, 5.3.3 (the decoder configuration record and units prefixed with their lengths, as
MP4 and Matroska hold them).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import av

IDR = 5
SEI = 6
RECOVERY_POINT = 6
PARAMETER_SETS = {7, 8, 13, 15}


def run_starts(
    context: av.VideoCodecContext, packets: Sequence["av.Packet[av.VideoStream]"]
) -> list[int]:
    """Return the index of the first packet of each run.

    A stream is a single run when it is not H.264, and when packets that are left out would be
    missed because they carry parameter sets: those that the file's header, or else the packet where
    the run begins, does not have.

    Args:
        context: the stream's decoder.
        packets: all packets, in decoding order.
    """
    if context.codec.canonical_name != "h264":
        return [0]
    header = context.extradata or b""
    prefixed = _prefixed(header)
    starts = [0]
    known: set[bytes] = set()
    for index, packet in enumerate(packets):
        if packet.has_sidedata("new_extradata"):
            return [0]
        units = list(_units(packet, header))
        sets = {bytes(u).rstrip(b"\0") for u in units if u[0] & 0x1F in PARAMETER_SETS}
        begins = any(unit[0] & 0x1F == IDR for unit in units)
        if prefixed and any(each not in header for each in sets):
            return [0]
        if not prefixed and (index == 0 or begins):
            if known and len(sets) != len(known):
                return [0]
            known = sets
        if not prefixed and (not known or not sets <= known):
            return [0]
        if begins and index > 0:
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
    units = _units(packets[0], context.extradata or b"")
    return all(unit[0] & 0x1F != IDR for unit in units)


def recovers_at_once(context: av.VideoCodecContext, packet: "av.Packet[av.VideoStream]") -> bool:
    """Return whether all frames from this one on, in the order of their display, are right.

    It then has a recovery point without further frames to be decoded before (D.1.8 and D.2.8).
    """
    for unit in _units(packet, context.extradata or b""):
        if unit[0] & 0x1F == SEI:
            for kind, message in _messages(bytes(unit[1:]).replace(b"\0\0\3", b"\0\0")):
                if kind == RECOVERY_POINT:
                    return message[:1] >= b"\x80"  # a count of zero, as an Exp-Golomb code
    return False


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each message of a unit of supplemental information (7.3.2.3.1)."""
    position = 0
    while position + 2 < len(data):
        numbers = []
        for _ in range(2):
            begin = position
            while data[position : position + 1] == b"\xff":
                position += 1
            numbers.append(sum(data[begin : position + 1]))
            position += 1
        kind, size = numbers
        yield kind, data[position : position + size]
        position += size


def _prefixed(configuration: bytes) -> bool:
    """Return whether a stream's units are prefixed with their lengths."""
    return configuration[:1] == b"\x01" and len(configuration) > 4


def _units(packet: "av.Packet[av.VideoStream]", header: bytes) -> Iterator[memoryview]:
    """Yield the NAL units of a packet that are not empty.

    Those between start codes may have zeros at their end.
    """
    data = memoryview(packet)
    if not _prefixed(header):
        begins = [match.end() for match in re.finditer(rb"\x00\x00\x01", data)]
        for begin, end in pairwise([*begins, len(data) + 3]):
            if begin < end - 3:
                yield data[begin : end - 3]
        return
    length_size = (header[4] & 3) + 1
    position = 0
    while position + length_size < len(data):
        length = int.from_bytes(data[position : position + length_size])
        position += length_size
        if length:
            yield data[position : position + length]
        position += length
