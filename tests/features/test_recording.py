"""Reading a recording: once, whole, as it is; and nothing but it."""

import ctypes
import hashlib
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from media import noise, write_track, write_wav
from videos import drawn, write_video

from avsc.features.clip import make_clip
from avsc.features.images import frames_on_show
from avsc.features.limits import MAX_JPEG_PIXELS, Limits
from avsc.features.recording import Recording, SourceFile, _read, read_recording
from avsc.features.sound import read_sound, sound_seconds, sound_start
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.manifests.errors import MediaError, SettingError

SPECS = {"scalogram": ScalogramSpec(), "images": ImageSpec()}

IN_ACCESS, IN_CLOSE, IN_OPEN = 0x01, 0x10, 0x20


class Watch:
    """What the kernel (inotify) sees of a file: every open, whoever's code it comes from."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK)
        mask = IN_ACCESS | IN_CLOSE | IN_OPEN
        assert libc.inotify_add_watch(self.descriptor, os.fsencode(path), mask) >= 0

    def opens(self) -> int:
        """Return how often the file was opened, and stop watching."""
        data = os.read(self.descriptor, 1 << 16)
        os.close(self.descriptor)
        masks = [mask for _, mask, _, _ in struct.iter_unpack("iIII", data)]
        return sum(mask & IN_OPEN > 0 for mask in masks)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    return write_video(path, drawn(20, np.random.default_rng(1)), rate=10)


def code(recording: Recording) -> str:
    assert recording.fault is not None and recording.content == b""
    assert str(recording.path) in str(recording.fault)
    return recording.fault.code


def test_a_recording_is_the_file(video: Path) -> None:
    found = read_recording(video)
    data, state = video.read_bytes(), video.stat()
    assert found.fault is None and found.content == data
    digest = hashlib.sha256(data).hexdigest()
    assert found.source == SourceFile(state.st_size, state.st_mtime_ns, digest)


def test_each_file_is_opened_once(video: Path, tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "a.wav", noise(1, 96_000))
    both = write_track(tmp_path / "b.mkv", noise(2, 96_000))
    for sound, sight in ((audio, video), (both, video), (both, both)):
        watches = [Watch(path) for path in {sound, sight}]
        made = make_clip("clip", sound, sight, SPECS)
        assert made.records["scalogram"]
        assert [watch.opens() for watch in watches] == [1] * len(watches)
    watch = Watch(audio)
    for _ in range(2):
        audio.read_bytes()
    assert watch.opens() == 2


def test_decoders_need_no_file(video: Path, tmp_path: Path) -> None:
    """What they give is the same when the file is gone."""
    paths = [
        write_wav(tmp_path / "a.wav", noise(1, 96_000)),
        write_wav(tmp_path / "a.flac", noise(1, 96_000)),
        write_track(tmp_path / "a.mkv", noise(2, 96_000)),
        write_track(tmp_path / "a.mp4", noise(2, 96_000), codec="aac"),
    ]
    for path in paths:
        held, wanted = read_recording(path), read_sound(path, 16_000).samples
        length = sound_seconds(path)
        path.unlink()
        assert (read_sound(held, 16_000).samples == wanted).all()
        assert (sound_seconds(held), sound_start(held)) == (length, 0)
    held, wanted = read_recording(video), [frame.to_ndarray() for _, frame in frames_on_show(video)]
    copy = tmp_path / "v.mp4"
    copy.write_bytes(video.read_bytes())
    held = read_recording(copy)
    copy.unlink()
    found = [frame.to_ndarray() for _, frame in frames_on_show(held)]
    assert len(found) == 2 and all((a == b).all() for a, b in zip(found, wanted, strict=True))


def test_what_is_no_recording(tmp_path: Path) -> None:
    assert code(read_recording(tmp_path / "none")) == "missing"
    assert read_recording(tmp_path / "none").source == SourceFile(-1, 0)
    assert code(read_recording(tmp_path)) == "unreadable"
    (tmp_path / "empty").touch()
    assert code(read_recording(tmp_path / "empty")) == "empty"
    os.mkfifo(tmp_path / "pipe")
    assert code(read_recording(tmp_path / "pipe")) == "unreadable"  # and is not waited for
    assert code(read_recording(Path("/dev/zero"))) == "unreadable"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole: it takes no room on the disk, and would in memory
    found = read_recording(path)
    assert code(found) == "too-large"
    assert "1000000000000 bytes; at most 1000 MB (--max-megabytes)" in str(found.fault)
    with path.open("wb") as file:
        file.truncate(1_000_001)
    assert code(read_recording(path, Limits(megabytes=1))) == "too-large"
    assert read_recording(path, Limits(megabytes=2)).fault is None


@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"abc")

    class Changing(io.FileIO):
        """A file that somebody else changes as soon as it was read."""

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            if change == "touched":
                os.utime(path, ns=(1, 1))
            else:
                path.write_bytes(b"abcd" if change == "longer" else b"a")
            return content

    with Changing(path) as file:
        assert code(_read(path, file, Limits())) == "changed"
    assert read_recording(path).fault is None


def test_every_product_says_why_it_is_not_made(tmp_path: Path, video: Path) -> None:
    made = make_clip("clip", tmp_path / "none.wav", video, SPECS)
    (missing,) = made.failures
    assert (missing.product, missing.code) == ("scalogram", "missing")
    assert missing.message == f"{tmp_path / 'none.wav'}: no such file; wanted a recording."
    assert made.sources[tmp_path / "none.wav"] == SourceFile(-1, 0)
    assert made.sources[video] == read_recording(video).source
    small = Limits(pixels=96 * 64 - 1)
    made = make_clip("clip", None, video, SPECS, small)
    assert [(f.product, f.code, f.message) for f in made.failures] == [
        ("scalogram", "not-listed", "clip: the manifest names no sound."),
        (
            "images",
            "too-large",
            f"{video}: frames of 96 x 64; at most 6143 pixels (--max-pixels): scale the video "
            "down.",
        ),
    ]


@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_a_file_that_names_others_is_not_followed(tmp_path: Path, video: Path, kind: str) -> None:
    """FFmpeg reads lists of other files, here one that is there and may be read."""
    (tmp_path / "other.mp4").write_bytes(video.read_bytes())
    lists = {
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.mp4\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile other.mp4\n",
    }
    path = tmp_path / "list.mp4"
    path.write_text(lists[kind])
    with pytest.raises(MediaError):
        list(frames_on_show(path, 1))
    with pytest.raises(MediaError):
        read_sound(path, 16_000)


def test_limits_are_checked() -> None:
    with pytest.raises(SettingError, match="limit of seconds: 0; 1 or more"):
        Limits(seconds=0)
    with pytest.raises(SettingError, match=f"at most {MAX_JPEG_PIXELS}"):
        Limits(pixels=MAX_JPEG_PIXELS + 1)
