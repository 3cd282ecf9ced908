"""Runs of H.264 packets in encoded streams and in made-up ones."""

import av
import numpy as np
import pytest
from videos import drawn, write_video

from avsc.features.h264 import begins_in_between, recovers_at_once, run_starts


@pytest.mark.parametrize(
    ("parameters", "starts"),
    [
        ("keyint=30:scenecut=0", [0, 30, 60]),
        ("keyint=30:scenecut=0:open-gop=1:bframes=3:b-adapt=0", [0]),
        ("keyint=20:intra-refresh=1:bframes=0", [0]),
        ("keyint=1", list(range(90))),
    ],
)
def test_runs_begin_at_idr_frames_alone(parameters, starts, tmp_path):
    scene = drawn(90, np.random.default_rng(4))
    path = write_video(tmp_path / "v.mp4", scene, options={"x264-params": parameters})
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert run_starts(container.streams.video[0].codec_context, packets) == starts
        if "open-gop" in parameters:
            assert sum(packet.is_keyframe for packet in packets) > 1


def test_transport_streams_carry_their_parameter_sets(tmp_path):
    scene = list(drawn(40, np.random.default_rng(4)))
    path = write_video(tmp_path / "v.ts", scene, options={"g": "10"})
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        context = container.streams.video[0].codec_context
        assert run_starts(context, packets) == [0, 10, 20, 30]
        bare = [
            av.Packet(bytes(packet).replace(b"\0\0\1\x67", b"\0\0\1\x66")) for packet in packets
        ]
        assert run_starts(context, [packets[0], *bare[1:]]) == [0]
        assert run_starts(context, packets[1:]) == [0]


def test_other_codecs_are_a_single_run(tmp_path):
    scene = list(drawn(40, np.random.default_rng(4)))
    path = write_video(tmp_path / "v.mp4", scene, codec="mpeg4", options={"g": "10"})
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert run_starts(container.streams.video[0].codec_context, packets) == [0]


def test_changed_parameter_sets_make_a_single_run():
    context = av.CodecContext.create("h264", "r")
    sets = b"\x67old", b"\x68old"
    context.extradata = b"\x01\x64\x00\x1f\xff\xe1" + b"".join(sets)

    def packet(*units):
        return av.Packet(b"".join(len(unit).to_bytes(4) + unit for unit in units))

    idr, other = b"\x65idr", b"\x41other"
    assert run_starts(context, [packet(*sets, idr), packet(other), packet(*sets, idr)]) == [0, 2]
    changed = [packet(*sets, idr), packet(b"\x67new", other), packet(idr)]
    assert run_starts(context, changed) == [0]


def test_between_start_codes():
    """Sets that the packet where a run begins does not repeat are missed if others are left out."""
    context = av.CodecContext.create("h264", "r")

    def packet(*units):
        return av.Packet(b"".join(b"\0\0\0\1" + unit for unit in units))

    sps, pps, idr, other = b"\x67one", b"\x68one", b"\x65idr", b"\x41other"
    first = packet(sps, pps, idr)
    assert run_starts(context, [first, packet(other), first]) == [0, 2]
    assert run_starts(context, [first, packet(b"\x68two", other), first]) == [0]
    assert run_starts(context, [first, packet(sps, b"\x68two", idr), packet(pps, other)]) == [0]
    assert run_starts(context, [first, packet(other), packet(sps, idr)]) == [0]
    assert run_starts(context, [first, av.Packet(b"no start code")]) == [0]
    assert not begins_in_between(context, [first])
    assert begins_in_between(context, [packet(sps, pps, other)])


@pytest.mark.parametrize(("count", "at_once"), [(b"\x84", True), (b"\x44\x80", False)])
def test_recovery_points(count, at_once):
    """A message of 300 bytes of type 5, which is passed over, then the recovery point (D.1.8)."""
    context = av.CodecContext.create("h264", "r")
    other = b"\x05\xff\x2d" + b"\x11" * 300
    point = b"\x06" + bytes([len(count)]) + count
    for message in (other + point, point, point + other):
        packet = av.Packet(b"\0\0\1\x06" + message + b"\x80" + b"\0\0\1\x41slice")
        assert recovers_at_once(context, packet) == at_once
    assert not recovers_at_once(context, av.Packet(b"\0\0\1\x06" + other + b"\x80"))
