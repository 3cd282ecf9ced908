"""Images against an independent, full decode of the same file."""

import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from painted import ffmpeg
from videos import drawn, remuxed, video_seconds, write_video

from avsc.features import images as images_module
from avsc.features.images import frames_on_show, rgb
from avsc.manifests.errors import MediaError

SECONDS = 3
X264 = {
    "closed": {"g": "30"},
    "long": {"g": "250"},
    "intra": {"g": "1"},
    "no-b": {"g": "30", "bf": "0"},
    "two-b": {"g": "25", "bf": "2", "x264-params": "b-pyramid=none"},
    "open": {"g": "20", "bf": "3", "x264-params": "open-gop=1:b-pyramid=normal:b-adapt=0"},
    "refresh": {"x264-params": "intra-refresh=1:keyint=20:bframes=0"},
    "baseline": {"profile": "baseline", "g": "15"},
    "slices": {"g": "40", "x264-params": "slices=4"},
    "references": {"g": "60", "bf": "3", "refs": "8", "x264-params": "b-pyramid=normal"},
    "fields": {"g": "30", "x264-params": "tff=1"},
    "headers": {"g": "10", "x264-params": "repeat-headers=1"},
    "pyramid": {"g": "60", "bf": "7", "x264-params": "b-pyramid=normal:b-adapt=0"},
    "strict": {"g": "60", "bf": "5", "x264-params": "b-pyramid=strict:b-adapt=0"},
    "bottom": {"g": "25", "bf": "3", "x264-params": "bff=1:b-adapt=0"},
}
CHOICES = {
    "keyint": (1, 7, 15, 30, 250),
    "bframes": (0, 1, 2, 3, 7),
    "b-adapt": (0, 1, 2),
    "b-pyramid": ("none", "strict", "normal"),
    "ref": (1, 3, 8),
    "open-gop": (0, 1),
    "slices": (1, 4),
    "interlaced": (0, 1),
    "weightp": (0, 2),
    "cabac": (0, 1),
    "8x8dct": (0, 1),
    "scenecut": (0, 40),
    "crf": (10, 25, 40),
}


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def scene():
    """Return three seconds of images at 30 a second."""
    return list(drawn(30 * SECONDS, np.random.default_rng(4)))


def full_decode(path, seconds, start=None):
    """Choose images by the definition from all that a plain decode gives: {k: frame}."""
    with av.open(path) as container:
        if start is None:
            start = min(
                s.start_time * s.time_base
                for s in container.streams
                if s.type in ("video", "audio") and s.start_time is not None
            )
        frames = sorted(container.decode(video=0), key=lambda frame: frame.pts)
        tick = container.streams.video[0].time_base
    ends = [frame.pts for frame in frames[1:]] + [frames[-1].pts + (frames[-1].duration or 0)]
    chosen = {}
    for k in range(seconds):
        for frame, end in zip(frames, ends, strict=True):
            if frame.pts * tick <= start + k + Fraction(1, 2) < end * tick:
                chosen[k] = frame
    return chosen


def assert_same(path, seconds=None, start=None):
    """Check every image of a file; return the codes of those missing, by second."""
    got = list(frames_on_show(path, seconds, start))
    assert [k for k, _ in got] == list(range(len(got)))
    assert seconds is None or len(got) == seconds
    wanted = full_decode(path, len(got), start)
    missing = {k: frame.code for k, frame in got if isinstance(frame, MediaError)}
    assert set(wanted) == {k for k, _ in got} - set(missing)
    for k, frame in got:
        if k in wanted:
            assert_same_planes(frame, wanted[k])
    return missing


def assert_same_planes(frame, other):
    assert (frame.pts, frame.format.name) == (other.pts, other.format.name)
    assert np.array_equal(frame.to_ndarray(), other.to_ndarray())


@pytest.mark.parametrize("name", X264)
def test_h264_is_exact(name, scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene, options={"crf": "20", **X264[name]})
    assert assert_same(path) == {}


@pytest.mark.parametrize("seed", range(12))
def test_any_h264_is_exact(seed, scene, tmp_path):
    """Settings of x264 drawn at random, in one of three containers, at 8 or 10 bits."""
    rng = np.random.default_rng(seed)
    drawn_settings = {name: rng.choice(values) for name, values in CHOICES.items()}
    settings = ":".join(f"{name}={value}" for name, value in drawn_settings.items())
    path = write_video(
        tmp_path / f"v.{rng.choice(['mp4', 'mkv', 'ts'])}",
        scene,
        pix_fmt=str(rng.choice(["yuv420p", "yuv422p", "yuv420p10le"])),
        options={"x264-params": settings},
    )
    assert assert_same(path) == {}, settings


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001), Fraction(24)])
def test_rates(rate, scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene, rate=rate, options={"g": "30"})
    assert assert_same(path, math.ceil(len(scene) / rate - Fraction(1, 2))) == {}


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p", "yuvj420p", "gray"])
def test_pixel_formats(pix_fmt, scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene, pix_fmt=pix_fmt)
    assert assert_same(path) == {}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libx265", {"x265-params": "log-level=none:keyint=20:pools=none"}),
        ("v.mp4", "mpeg4", {"bf": "2", "g": "12"}),
        ("v.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "20"}),
        ("v.avi", "mjpeg", {}),
        ("v.mkv", "libx264", {"bf": "3", "g": "20"}),
        ("v.ts", "libx264", {"bf": "3", "g": "20"}),
    ],
)
def test_other_codecs_and_containers(name, codec, options, scene, tmp_path):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_video(tmp_path / name, scene, codec=codec, pix_fmt=pix_fmt, options=options)
    assert assert_same(path) == {}


def test_variable_rate(rng, scene, tmp_path):
    gaps = rng.choice([1, 2, 3, 40], size=len(scene), p=[0.5, 0.3, 0.17, 0.03])
    times = [Fraction(int(t), 30) for t in np.cumsum(gaps) - gaps[0]]
    path = write_video(tmp_path / "v.mp4", scene, times=times, options={"g": "30", "bf": "3"})
    assert assert_same(path, int(times[-1])) == {}


def packets_of(path):
    with av.open(path) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_negative_timestamps(scene, tmp_path):
    times = [Fraction(i, 30) - 1 for i in range(len(scene))]
    path = write_video(
        tmp_path / "v.ts",
        scene,
        times=times,
        options={"g": "30", "bf": "3", "x264-params": "b-adapt=0"},
        container={"avoid_negative_ts": "disabled"},
    )
    assert min(packet.pts for packet in packets_of(path)) < 0
    assert assert_same(path) == {}
    assert assert_same(path, 2, start=Fraction(0)) == {}


@pytest.mark.parametrize(("name", "none"), [("v.mpg", False), ("v.h264", True)])
def test_images_without_times_are_refused(name, none, scene, tmp_path):
    """Which one is on show is then a guess. An MPEG program stream has times for some of them."""
    options = {"g": "30", "bf": "3", "x264-params": "b-adapt=0"}
    path = write_video(tmp_path / name, scene, rate=25, options=options)
    times = {packet.pts for packet in packets_of(path)}
    assert None in times and (times == {None}) == none
    with pytest.raises(MediaError, match=f"{'' if none else 'some of '}its frames carry no times"):
        list(frames_on_show(path))


def test_one_image_is_on_show_for_many_seconds(scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene[:4], rate=Fraction(1, 4))
    assert assert_same(path, 16) == {}
    shown = Counter(frame.pts for _, frame in frames_on_show(path, 16))
    assert sorted(shown.values()) == [4, 4, 4, 4]


def test_edit_list_that_begins_inside_a_gop(scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene, options={"g": "250", "bf": "3"})

    def earlier(packet):
        shift = round(Fraction(7, 10) / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift

    cut = remuxed(path, tmp_path / "cut.mp4", earlier)
    with av.open(cut) as container:
        assert any(packet.is_discard for packet in container.demux(video=0))
    assert assert_same(cut) == {}
    # What is on show 0.5 s into the cut was on show 1.2 s into the whole.
    (_, frame), *_ = frames_on_show(cut, 1)
    (_, whole), *_ = frames_on_show(path, 1, start=Fraction(7, 10))
    assert np.array_equal(frame.to_ndarray(), whole.to_ndarray())


def test_video_that_begins_after_its_sound(scene, tmp_path):
    times = [1 + Fraction(i, 30) for i in range(len(scene))]
    path = write_video(tmp_path / "v.mp4", scene, times=times, silence=4.0)
    with av.open(path) as container:
        start = container.streams.audio[0].start_time * container.streams.audio[0].time_base
    missing = assert_same(path, 5, start)
    assert missing == {0: "no-picture", 4: "no-picture"}
    assert video_seconds(path, start) == pytest.approx(4 - float(start), abs=1e-3)


def test_start_moves_the_time_line(scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene)
    assert assert_same(path, 2, start=Fraction(1, 2)) == {}
    (_, first), *_ = frames_on_show(path, 1, start=0.5)
    assert first.time == 1.0


def test_shorter_and_longer_than_asked(scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene, options={"g": "20"})
    assert video_seconds(path) == SECONDS
    assert assert_same(path, 5) == {3: "no-picture", 4: "no-picture"}
    every = list(frames_on_show(path))
    assert len(every) == SECONDS
    for count in range(SECONDS):
        for (_, frame), (_, same) in zip(frames_on_show(path, count), every, strict=False):
            assert_same_planes(frame, same)


def test_a_second_needs_its_middle(scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene[:45])
    assert len(list(frames_on_show(path))) == 1
    path = write_video(tmp_path / "w.mp4", scene[:46])
    assert len(list(frames_on_show(path))) == 2


def damaged(path, new, index):
    """Overwrite the coded image of a packet, all but its first bytes."""
    with av.open(path) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][index]
        begin, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[begin + size // 3 : begin + size] = bytes(size - size // 3)
    new.write_bytes(data)
    return new


def test_damage_spoils_what_follows_in_its_run_alone(scene, tmp_path, capfd):
    options = {"g": "30", "bf": "0", "refs": "1", "x264-params": "scenecut=0"}
    path = write_video(tmp_path / "v.mp4", scene, options=options)
    right = full_decode(path, SECONDS)
    for packet, lost in ((40, [1]), (50, []), (10, [0]), (25, []), (60, [2])):
        bad = damaged(path, tmp_path / "bad.mp4", packet)
        got = dict(frames_on_show(bad))
        codes = {k: frame.code for k, frame in got.items() if isinstance(frame, MediaError)}
        assert codes == dict.fromkeys(lost, "corrupt")
        for k in set(got) - set(lost):
            assert_same_planes(got[k], right[k])
    assert capfd.readouterr() == ("", "")


def test_truncated_file_keeps_the_images_before_the_cut(scene, tmp_path):
    front = {"movflags": "+faststart"}
    path = write_video(tmp_path / "v.mp4", scene, options={"bf": "3"}, container=front)
    right = full_decode(path, SECONDS)
    data = path.read_bytes()
    for part in (0.3, 0.5, 0.7, 0.95):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(data[: int(part * len(data))])
        got = dict(frames_on_show(cut))
        assert list(got) == [0, 1, 2]
        lost = [k for k, frame in got.items() if isinstance(frame, MediaError)]
        assert {got[k].code for k in lost} <= {"truncated"}
        for k in set(got) - set(lost):
            assert_same_planes(got[k], right[k])
        assert lost or part == 0.95
    assert lost == [] or lost == [2]


def test_truncated_at_each_image(scene, tmp_path):
    """Images shown before the cut are right even where packets of later ones came before."""
    front = {"movflags": "+faststart"}
    times = [Fraction(i, 4) for i in range(16)]
    options = {"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}
    path = write_video(
        tmp_path / "v.mp4", scene[:16], times=times, options=options, container=front
    )
    right = full_decode(path, 4)
    with av.open(path) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    counts = []
    for end in ends[1:]:
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(data[:end])
        got = {k: f for k, f in frames_on_show(cut) if not isinstance(f, MediaError)}
        for k, frame in got.items():
            assert_same_planes(frame, right[k])
        counts.append(len(got))
    assert counts == sorted(counts)
    assert counts[-1] == 4


def test_images_held_at_once_are_limited(scene, tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", scene)
    monkeypatch.setattr(images_module, "MAX_HELD_PIXELS", 2 * 96 * 64)
    assert len(list(frames_on_show(path, 2))) == 2
    with pytest.raises(MediaError, match="3 frames must be held"):
        list(frames_on_show(path, 3))


@pytest.mark.parametrize(("colorspace", "kr", "kb"), [(2, 0.299, 0.114), (1, 0.2126, 0.0722)])
@pytest.mark.parametrize("full", [False, True])
def test_colours(colorspace, kr, kb, full, rng):
    """Flat colours against the definitions of BT.601 and BT.709."""
    for y, u, v in rng.integers([40, 90, 90], [200, 166, 166], (20, 3)):
        planes = np.concatenate([np.full(64, y), np.full(16, u), np.full(16, v)])
        frame = av.VideoFrame.from_ndarray(planes.astype(np.uint8).reshape(12, 8), "yuv420p")
        frame.colorspace, frame.color_range = colorspace, 2 if full else 1
        luma = float(y) if full else (y - 16) * 255 / 219
        cb, cr = (np.array([u, v]) - 128.0) * (1 if full else 255 / 224)
        red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
        green = (luma - kr * red - kb * blue) / (1 - kr - kb)
        expected = np.clip([red, green, blue], 0, 255)
        assert np.abs(rgb(frame) - expected).max() < 1.5


def test_scaling_is_the_mean_over_areas(rng):
    grey = rng.integers(0, 256, (90, 160), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, -1), "rgb24")
    expected = grey.reshape(45, 2, 80, 2).mean((1, 3))
    assert np.abs(rgb(frame, 45)[..., 1] - expected).max() <= 1
    assert rgb(frame, 90).shape == rgb(frame, 200).shape == rgb(frame).shape == (90, 160, 3)
    fractional = cv2.resize(grey.astype(float), (71, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(rgb(frame, 40)[..., 1] - fractional).max() <= 1


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_upright(rotation, scene, tmp_path):
    plain = write_video(tmp_path / "v.mp4", scene[:30])
    turned = tmp_path / "w.mp4"
    ffmpeg("-display_rotation", rotation, "-i", plain, "-c", "copy", turned)
    (_, frame), (_, other) = *frames_on_show(plain, 1), *frames_on_show(turned, 1)
    assert np.array_equal(rgb(other), np.rot90(rgb(frame), rotation // 90))
    assert np.array_equal(rgb(other, 32), np.rot90(rgb(frame, 32), rotation // 90))


@pytest.mark.real
def test_real_clips_are_exact(real_data):
    paths = sorted((real_data / "tau2021_real" / "video").glob("*.mp4"))
    assert len(paths) == 12
    for path in paths:
        assert assert_same(path, 10) == {}


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("decord_unordered.mov", 1),
        ("decord_video_90.mov", 1),
        ("torchcodec_av1_video.mkv", 5),
        ("torchcodec_h264_10bits.mp4", 1),
        ("torchcodec_h265_video.mp4", 1),
    ],
)
def test_real_oddities_are_exact(name, seconds, real_data):
    short = {"decord_unordered.mov", "decord_video_90.mov"}
    missing = assert_same(real_data / "media_oddities" / name, seconds)
    assert missing == ({0: "no-picture"} if name in short else {})


@pytest.mark.real
def test_real_corrupted_file(real_data):
    """Its packets from 3 s on are damaged: images before are right, those after are missing."""
    path = real_data / "media_oddities" / "decord_corrupted.mp4"
    got = dict(frames_on_show(path))
    codes = [getattr(frame, "code", None) for frame in got.values()]
    assert codes == [None, None, None, "corrupt", "corrupt"]
    right = {}
    with av.open(path) as container, pytest.raises(av.error.InvalidDataError):
        for frame in container.decode(video=0):
            right[frame.pts] = frame
    for k in range(3):
        assert_same_planes(got[k], right[got[k].pts])
        assert got[k].time == k + 0.5


@pytest.mark.real
def test_real_images_against_opencv(real_data):
    """A second decoder and player: the same image of all, and the same way up."""
    path = real_data / "tau2021_real" / "video" / "street_traffic-lyon-1029-40200.mp4"
    frames = _opencv(path)
    for k, frame in frames_on_show(path, 10):
        apart = [np.abs(rgb(frame, 0)[::5, ::5] - other[::5, ::5]).mean() for other in frames]
        assert int(np.argmin(apart)) == 24 * k + 12
        assert min(apart) < 1.5
    turned = real_data / "media_oddities" / "decord_video_90.mov"
    (_, frame), *_ = frames_on_show(turned, 1, start=-0.5)
    assert rgb(frame).shape == (568, 320, 3)
    assert np.abs(rgb(frame) - _opencv(turned)[0]).mean() < 1.5


def _opencv(path: Path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1].astype(float))
    capture.release()
    return frames
