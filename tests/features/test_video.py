"""Files that give no frames: what is said about each."""

import os

import av
import numpy as np
import pytest
from videos import drawn, remuxed, video_seconds, write_video

from avsc.features import video as video_module
from avsc.features.images import frames_on_show
from avsc.features.limits import Limits
from avsc.features.recording import Recording, read_recording
from avsc.manifests.errors import MediaError


@pytest.fixture(scope="module")
def scene():
    """Return frames."""
    return list(drawn(90, np.random.default_rng(4)))


def refused(path, code):
    with pytest.raises(MediaError) as caught:
        list(frames_on_show(path, 1))
    assert caught.value.code == code
    assert str(path.path if isinstance(path, Recording) else path) in str(caught.value)
    with pytest.raises(MediaError) as again:
        video_seconds(path)
    assert again.value.code == code
    return str(caught.value)


def test_files_that_give_nothing(scene, tmp_path):
    missing = tmp_path / "missing.mp4"
    assert "no such file" in refused(missing, "missing")
    missing.symlink_to(tmp_path / "elsewhere.mp4")
    assert f"is a link to {tmp_path / 'elsewhere.mp4'}" in refused(missing, "missing")
    assert "directory" in refused(tmp_path, "unreadable")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "0 bytes" in refused(empty, "empty")
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    refused(text, "undecodable")
    path = write_video(tmp_path / "v.mp4", scene[:10])
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-100])
    assert "moov" in refused(cut, "truncated")
    raw = remuxed(path, tmp_path / "v.h264")
    assert "carry no times" in refused(raw, "undecodable")


def test_sound_alone(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        quiet = np.zeros((1, 4800), np.float32)
        frame = av.AudioFrame.from_ndarray(quiet, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "holds audio" in refused(path, "no-video")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_no_permission(scene, tmp_path):
    path = write_video(tmp_path / "v.mp4", scene[:3])
    path.chmod(0)
    refused(path, "unreadable")


def test_limits(scene, tmp_path, monkeypatch):
    for name in ("v.mp4", "v.mkv"):
        path = write_video(tmp_path / name, scene)
        wide = read_recording(path, Limits(pixels=96 * 64 - 1))
        assert "96 x 64; at most 6143 pixels (--max-pixels)" in refused(wide, "too-large")
        long = read_recording(path, Limits(seconds=2))
        assert "3 s of video; at most 2 (--max-seconds)" in refused(long, "too-long")
        monkeypatch.setattr(video_module, "MAX_PACKETS", 89)
        assert "at most 89" in refused(path, "too-large")
        monkeypatch.undo()
        assert len(list(frames_on_show(path, 3))) == 3
