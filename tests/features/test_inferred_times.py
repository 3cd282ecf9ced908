"""Files that say only when packets are to be decoded: which frame is on show, by its number."""

import re
import struct
import subprocess

import pytest
from painted import PROGRAM, RATE, decoded, encode, shown
from videos import video_seconds

from avsc.features import inferred_times
from avsc.manifests.errors import MediaError

X264 = ("-c:v", "libx264", "-bf", 3, "-x264-params", "b-pyramid=normal:b-adapt=0:keyint=25")
X265 = ("-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "H265")
CODERS = {
    "h264": X264,
    "h264-without-b": ("-c:v", "libx264", "-bf", 0),
    "hevc": X265,
    "mpeg4": ("-c:v", "mpeg4", "-q:v", 3, "-bf", 2),
    "mpeg4-without-b": ("-c:v", "mpeg4", "-q:v", 3),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", 3, "-bf", 2),
    "mjpeg": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
}
DROPPED = {*range(20, 34), 50, 51, 52}
DROP = ("-vf", "select='not(between(n,20,33)+between(n,50,52))'", "-fps_mode", "passthrough")


@pytest.mark.parametrize(
    ("suffix", "coder"),
    [
        *(("avi", coder) for coder in CODERS),
        *(("wmv", coder) for coder in CODERS if coder != "hevc"),
    ],
)
def test_frames_are_numbered_as_they_come_out(suffix, coder, tmp_path):
    """Windows Media has no number for HEVC."""
    path = encode(tmp_path / f"v.{suffix}", *CODERS[coder], count=75)
    assert decoded(path) == list(range(75))
    assert shown(path) == [12, 37, 62]
    assert video_seconds(path) == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("coder", CODERS)
def test_empty_packets_of_avi_leave_the_frame_before_on_show(coder, tmp_path):
    path = encode(tmp_path / "v.avi", *DROP, *CODERS[coder], count=100)
    rest = [number for number in range(100) if number not in DROPPED]
    assert decoded(path) == rest
    assert shown(path) == [max(n for n in rest if n <= 25 * k + 12) for k in range(4)]


def test_frames_come_as_ffmpeg_gives_them(tmp_path):
    """Xvid, whose packets are delayed unevenly: by ffmpeg's times less that of the first."""
    path = encode(tmp_path / "v.avi", "-c:v", "libxvid", "-q:v", 3, "-bf", 2)
    command = [*PROGRAM[:4], "-i", str(path), "-vf", "showinfo", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    times = [float(time) for time in re.findall(r"pts_time:([\d.]+)", said)]
    numbers = decoded(path)
    wanted = [
        [n for n, time in zip(numbers, times, strict=True) if time - times[0] <= k + 0.5][-1]
        for k in range(3)
    ]
    assert shown(path, 3) == wanted


def test_a_bare_mpeg_stream_has_its_rate(tmp_path):
    path = encode(tmp_path / "v.m2v", "-c:v", "mpeg2video", "-q:v", 3, "-bf", 2, rate=30, count=90)
    assert shown(path) == [15, 45, 75]


@pytest.mark.parametrize("suffix", ["h264", "hevc"])
def test_a_bare_stream_without_any_time_is_refused(suffix, tmp_path):
    coder = X264 if suffix == "h264" else X265[:4]
    with pytest.raises(MediaError, match="its frames carry no times; put the video into MP4"):
        shown(encode(tmp_path / f"v.{suffix}", *coder))


@pytest.mark.parametrize("coder", ["h264", "mpeg4"])
def test_nothing_is_taken_for_known_behind_damage(coder, tmp_path):
    path = encode(tmp_path / "v.avi", *CODERS[coder], "-g", 250, count=100)
    data = bytearray(path.read_bytes())
    chunk = [match.start() for match in re.finditer(b"00dc", data)][55]
    size = int.from_bytes(data[chunk + 4 : chunk + 8], "little")
    data[chunk + 16 : chunk + 8 + size] = bytes(range(1, size - 7))
    path.write_bytes(data)
    got = shown(path)
    assert got[:2] == [12, 37]
    assert got[2:] == ["corrupt", "corrupt"]


@pytest.mark.parametrize("coder", ["mjpeg", "mpeg4"])
def test_a_chunk_that_is_not_found_is_missed(coder, tmp_path):
    """The reader passes over it, and all that follow would be one early."""
    path = encode(tmp_path / "v.avi", *CODERS[coder])
    data = bytearray(path.read_bytes())
    at = [match.start() for match in re.finditer(b"00dc", data)][20]
    data[at : at + 4] = b"junk"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="1 of its frames are not found where its index"):
        shown(path)


def test_a_file_that_was_cut_off(tmp_path):
    path = encode(tmp_path / "v.avi", *X264, count=100)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    got = shown(path, 4)
    assert got[0] == 12
    assert got[-1] == "truncated"
    assert all(number in (25 * k + 12, "truncated") for k, number in enumerate(got))


def test_dv_whose_chunks_hold_sound_too(tmp_path):
    """AVI of type 1, as camcorders' tapes were copied: its times are not those of its index."""
    data = encode(tmp_path / "v.dv", "-target", "pal-dv", count=30, size=(576, 720)).read_bytes()
    size = 144_000

    def chunk(name, body):
        return name + len(body).to_bytes(4, "little") + body

    count = len(data) // size
    head = (40_000, size * RATE, 0, 16, count, 0, 1, size, 720, 576, *4 * [0])
    stream = (*3 * [0], 1, RATE, 0, count, size, *4 * [0])
    strl = chunk(b"strh", b"iavsdvsd" + struct.pack("<12I", *stream))
    lists = b"hdrl" + chunk(b"avih", struct.pack("<14I", *head))
    lists += chunk(b"LIST", b"strl" + strl + chunk(b"strf", bytes(32)))
    movi = b"".join(chunk(b"00__", data[i * size : (i + 1) * size]) for i in range(count))
    places = (struct.pack("<III", 16, 4 + i * (size + 8), size) for i in range(count))
    index = b"".join(b"00__" + place for place in places)
    body = chunk(b"LIST", lists) + chunk(b"LIST", b"movi" + movi) + chunk(b"idx1", index)
    path = tmp_path / "v.avi"
    path.write_bytes(chunk(b"RIFF", b"AVI " + body))
    assert decoded(path, size=(576, 720)) == list(range(30))
    assert shown(path) == [12]


def test_two_frames_upon_one_packet_are_refused(tmp_path, monkeypatch):
    """No decoder at hand does so; they would have one time, or go back in time."""
    path = encode(tmp_path / "v.avi", *CODERS["mpeg4"], count=30)
    found = inferred_times._outputs

    def doubled(video):
        given, stop = found(video)
        return [*given[:5], (given[5][0], given[4][1]), *given[6:]], stop

    assert shown(path) == [12]
    monkeypatch.setattr(inferred_times, "_outputs", doubled)
    with pytest.raises(MediaError, match="cannot be determined which of its packets") as fault:
        shown(path)
    assert fault.value.code == "undecodable"
