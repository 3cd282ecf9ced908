"""Runs of H.264 packets in encoded streams and in made-up ones."""

import av
import numpy as np
import pytest
from videos import drawn, write_video

from avsc.features.h264 import run_starts


@pytest.mark.parametrize(
    ("parameters", "starts"),
    [
        ("keyint=30:scenecut=0", [0, 30, 60]),
        ("keyint=30:scenecut=0:open-gop=1:bframes=3:b-adapt=0", [0]),
        ("keyint=20:intra-refresh=1:bframes=0", [0]),
        ("keyint=1", list(range(90))),
    ],
)
def test_runs_begin_at_idr_pictures_alone(parameters, starts, tmp_path):
    scene = drawn(90, np.random.default_rng(4))
    path = write_video(tmp_path / "v.mp4", scene, options={"x264-params": parameters})
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert run_starts(container.streams.video[0].codec_context, packets) == starts
        if "open-gop" in parameters:
            assert sum(packet.is_keyframe for packet in packets) > 1


def test_other_codecs_and_framings_are_a_single_run(tmp_path):
    scene = list(drawn(40, np.random.default_rng(4)))
    for name, codec in (("v.ts", "libx264"), ("v.mp4", "mpeg4")):
        path = write_video(tmp_path / name, scene, codec=codec, options={"g": "10"})
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
