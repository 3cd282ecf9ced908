"""Transport streams with losses, and recordings put one after another."""

import av
import numpy as np
import pytest
from painted import decoded, encode, ffmpeg, shown

from avsc.features.images import frames_on_show
from avsc.features.limits import Limits
from avsc.features.recording import Recording, SourceFile
from avsc.manifests.errors import MediaError

PACKET = 188
CODERS = {
    "h264": ("-c:v", "libx264", "-g", 25),
    "open": ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=20:b-adapt=0:repeat-headers=1"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", 3, "-bf", 2),
    "hevc": ("-c:v", "libx265", "-x265-params", "log-level=none:pools=none"),
}


@pytest.fixture(scope="module", params=CODERS)
def parts(request, tmp_path_factory):
    """Return three seconds, and the next three by the same clock and by a new one, of a coder."""
    folder = tmp_path_factory.mktemp(request.param)
    options = CODERS[request.param]
    first = encode(folder / "a.ts", *options)
    second = encode(folder / "b.ts", *options, "-output_ts_offset", 3.08, first=75)
    anew = encode(folder / "c.ts", *options, first=75)
    return first, second, anew


def joined(path, *parts):
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_one_clock_is_read_through(parts, tmp_path):
    first, second, _ = parts
    path = joined(tmp_path / "v.ts", first, second)
    assert decoded(path)[:75] == list(range(75))
    got = shown(path)
    assert got[:3] == [12, 37, 62]
    assert all(isinstance(n, int) and abs(n - (25 * k + 12)) <= 2 for k, n in enumerate(got))
    assert len(got) == 6


@pytest.mark.parametrize("order", [(0, 2), (1, 0)])
def test_a_clock_that_begins_anew_is_refused(order, parts, tmp_path):
    path = joined(tmp_path / "v.ts", *(parts[i] for i in order))
    with pytest.raises(MediaError, match=r"its clock goes from .* join them") as caught:
        shown(path)
    assert caught.value.code == "clock"


def test_a_clock_that_jumps_is_refused(tmp_path):
    first = encode(tmp_path / "a.ts", "-c:v", "libx264", count=30)
    later = encode(tmp_path / "b.ts", "-c:v", "libx264", "-output_ts_offset", 60, count=30)
    with pytest.raises(MediaError, match=r"its clock goes from 2\S* s to 61\S* s"):
        shown(joined(tmp_path / "v.ts", first, later))


def test_recordings_of_a_disc_put_one_after_another(tmp_path):
    """The same in a program stream."""
    part = encode(tmp_path / "a.vob", "-c:v", "mpeg2video", "-q:v", 3, "-bf", 2, "-f", "vob")
    with pytest.raises(MediaError, match="its clock goes from"):
        shown(joined(tmp_path / "v.vob", part, part))


def test_slides_with_sound_in_matroska_have_one_clock(tmp_path):
    """FFmpeg, which must invent the times of decoding, lets them go from 45 s back to 15 s."""
    path, source = tmp_path / "v.mkv", "testsrc2=size=160x120:rate=1/15:duration=60"
    sources = ("-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "anoisesrc=d=60")
    ffmpeg(*sources, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    with av.open(path) as container:
        due = [packet.dts for packet in container.demux(video=0) if packet.dts is not None]
    assert due != sorted(due)
    raw = ffmpeg("-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-")
    found = np.array([frame.to_ndarray() for _, frame in frames_on_show(path)])
    slides = np.frombuffer(raw, np.uint8).reshape(4, -1)
    assert found.tobytes() == slides.repeat(15, 0).tobytes()


@pytest.mark.parametrize("coder", [("-c:v", "libx264"), ("-c:v", "mpeg4", "-bf", 2)])
def test_matroska_files_put_one_after_another_are_refused(coder, tmp_path):
    part = encode(tmp_path / "a.mkv", *coder, count=50)
    with pytest.raises(MediaError, match="its clock goes from"):
        shown(joined(tmp_path / "v.mkv", part, part))


def test_a_recording_in_between_that_overlaps_the_first(tmp_path):
    """The clock goes back by 80 ms at the joint: the first recording is shown to its end."""
    coder = "-c:v", "libx264"
    first = encode(tmp_path / "a.ts", *coder, count=62)
    second = encode(tmp_path / "b.ts", *coder, "-output_ts_offset", 2.44, first=1000, count=50)
    got = shown(joined(tmp_path / "v.ts", first, second))
    assert got == [12, 37, 1000 + 62 - 59, 1000 + 87 - 59]  # its first is due with the other's 60th


def test_what_is_lost_is_never_concealed(parts):
    """One packet of every third, and runs of them, is left out; what is shown is right."""
    data = parts[0].read_bytes()
    right = [12, 37, 62]
    assert shown(parts[0]) == right
    lost = total = 0
    # The first and the last frames are spared: without them it would be another recording.
    for place in range(12, len(data) // PACKET - 24, 3):
        count = (1, 2, 9)[place % 3]
        less = data[: place * PACKET] + data[(place + count) * PACKET :]
        got = shown(Recording(parts[0], SourceFile(len(less), 0), less, Limits()), 3)
        assert all(n in (of, "corrupt") for n, of in zip(got, right, strict=True)), place
        lost += got.count("corrupt")
        total += 3
    assert 0 < lost < 0.8 * total


def test_packets_with_times_before_them(tmp_path):
    """M2TS, as camcorders and discs have it: one lost frame of each is found."""
    options = "-c:v", "libx264", "-mpegts_m2ts_mode", 1
    path = encode(tmp_path / "v.m2ts", *options)
    data = path.read_bytes()
    for place in range(14, len(data) // 192 - 24, 4):
        less = data[: place * 192] + data[(place + 1) * 192 :]
        got = shown(Recording(path, SourceFile(len(less), 0), less, Limits()), 3)
        assert all(n in (of, "corrupt") for n, of in zip(got, [12, 37, 62], strict=True)), place
    second = encode(tmp_path / "w.m2ts", *options, "-output_ts_offset", 3.08, first=75)
    assert shown(joined(tmp_path / "x.m2ts", path, second))[3:] == [87, 112, 137]


def test_damage_of_closed_gops_ends_at_the_next(tmp_path):
    path = encode(tmp_path / "v.ts", "-c:v", "libx264", "-x264-params", "keyint=25:min-keyint=25")
    with av.open(path) as container:
        at = [packet.pos for packet in container.demux(video=0)][30]
    data = path.read_bytes()
    path.write_bytes(data[:at] + data[at + PACKET :])
    assert shown(path) == [12, "corrupt", 62]
