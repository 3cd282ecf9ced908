"""Recordings that begin where no decoder begins: what is on show is exact, the rest is not."""

import av
import numpy as np
import pytest
from painted import encode, ffmpeg, number, shown
from videos import drawn, write_video

from avsc.features.images import frames_on_show, rgb
from avsc.manifests.errors import MediaError

OPEN = "open-gop=1:keyint=25:min-keyint=25:scenecut=0:bframes=3:b-adapt=0"
CODERS = {
    "h264": ("libx264", {"x264-params": f"{OPEN}:repeat-headers=1"}),
    "fields": ("libx264", {"x264-params": f"{OPEN}:repeat-headers=1:tff=1"}),
    "hevc": ("libx265", {"x265-params": f"{OPEN}:log-level=none:pools=none"}),
    "mpeg2": ("mpeg2video", {"g": "12", "bf": "2"}),
}
REFRESH = "intra-refresh=1:keyint=25:scenecut=0:repeat-headers=1:bframes="


@pytest.fixture(scope="module")
def scene():
    """Return six seconds of frames at 25 a second."""
    return list(drawn(150, np.random.default_rng(4)))


def cut(path, new, keys, before=0):
    """Copy a video from `before` packets before a key frame on; return the time cut off."""
    with av.open(path) as source, av.open(new, "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        begin = [i for i, packet in enumerate(packets) if packet.is_keyframe][keys] - before
        away = packets[begin].dts
        for packet in packets[begin:]:
            packet.pts, packet.dts, packet.stream = packet.pts - away, packet.dts - away, stream
            target.mux(packet)
        return away * source.streams.video[0].time_base


def frame_times(path):
    """Return all that a full decode of the whole file gives: {time: planes}."""
    with av.open(path) as container:
        return {f.pts * f.time_base: f.to_ndarray() for f in container.decode(video=0)}


def assert_exact(path, whole, away, lost):
    """Compare what is on show with the same frames of the whole; all but `lost` are there."""
    missing = []
    for k, frame in frames_on_show(path):
        if isinstance(frame, MediaError):
            missing.append((k, frame.code))
        else:
            time = frame.pts * frame.time_base + away
            nearest = min(whole, key=lambda other: abs(other - time))
            assert abs(nearest - time) < 0.002  # Matroska counts milliseconds
            assert np.array_equal(frame.to_ndarray(), whole[nearest])
    assert missing == lost


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("coder", CODERS)
def test_an_open_gop_whose_beginning_was_cut_off(coder, suffix, scene, tmp_path):
    codec, options = CODERS[coder]
    path = write_video(tmp_path / "v.mkv", scene, rate=25, codec=codec, options=options)
    whole = frame_times(path)
    away = cut(path, tmp_path / f"cut.{suffix}", 3)
    assert_exact(tmp_path / f"cut.{suffix}", whole, away, [])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_ffmpegs_own_cut(suffix, tmp_path):
    """As `ffmpeg -ss 3 -c copy` leaves it: 75 is the first frame."""
    whole = encode(
        tmp_path / "v.mp4", "-c:v", "libx264", "-x264-params", f"{OPEN}:repeat-headers=1", count=150
    )
    path = tmp_path / f"cut.{suffix}"
    ffmpeg("-ss", 3, "-i", whole, "-t", 3, "-c", "copy", path)
    assert shown(path) == [87, 112, 137]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_recovery_that_takes_many_frames(bframes, suffix, scene, tmp_path):
    """Intra refresh: nothing is on show before the recovery point that the stream names."""
    options = {"x264-params": f"{REFRESH}{bframes}:b-pyramid=none"}
    path = write_video(tmp_path / "v.mkv", scene, rate=25, options=options)
    whole = frame_times(path)
    new = tmp_path / f"cut.{suffix}"
    away = cut(path, new, 2)
    assert_exact(new, whole, away, [(0, "no-picture")] if bframes else [])
    ((_, first), *_) = frames_on_show(new, 1, start=0)
    assert isinstance(first, MediaError) == bool(bframes)
    ((_, begin), *_) = frames_on_show(new, 1, start=-0.5)
    assert begin.code == "no-picture"


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_broadcast_that_was_joined_between_two_key_frames(codec, scene, tmp_path):
    options = {"g": "25", "bf": "2"}
    path = write_video(tmp_path / "v.mkv", scene, rate=25, codec=codec, options=options)
    away = cut(path, tmp_path / "cut.ts", 3, before=7)
    assert_exact(tmp_path / "cut.ts", frame_times(path), away, [])


@pytest.mark.parametrize("packet", [0, 1, 6, 30])
def test_damage_is_found_behind_a_recovery_point(packet, scene, tmp_path):
    options = {"x264-params": f"{OPEN}:repeat-headers=1"}
    path = write_video(tmp_path / "v.mkv", scene, rate=25, options=options)
    whole = frame_times(path)
    new = tmp_path / "cut.mp4"
    away = cut(path, new, 2)
    with av.open(new) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        at, size, due = (packets[packet].pos, packets[packet].size, packets[packet].dts)
        due *= packets[0].time_base
    data = bytearray(new.read_bytes())
    data[at + size // 3 : at + size] = bytes(size - size // 3)
    new.write_bytes(data)
    got = list(frames_on_show(new))
    for k, frame in got:
        if not isinstance(frame, MediaError):
            assert k + 0.5 < due + 0.5
            time = frame.pts * frame.time_base + away
            nearest = min(whole, key=lambda other: abs(other - time))
            assert np.array_equal(frame.to_ndarray(), whole[nearest])
    assert {frame.code for _, frame in got if isinstance(frame, MediaError)} == {"corrupt"}


def test_numbers_of_the_first_frames(tmp_path):
    """The leading pictures, 72 to 74, are not on show; the recovery point, 75, is exact."""
    path = encode(
        tmp_path / "v.mkv", "-c:v", "libx264", "-x264-params", f"{OPEN}:repeat-headers=1", count=150
    )
    cut(path, tmp_path / "cut.mp4", 3)
    start = -0.5 + 0.04 * 2  # the decoder's delay: the first packet's frame is on show then
    (_, first), *_ = frames_on_show(tmp_path / "cut.mp4", 1, start=start)
    assert number(rgb(first)) == 75
    (_, leading), *_ = frames_on_show(tmp_path / "cut.mp4", 1, start=start - 0.04)
    assert leading.code == "no-picture"
