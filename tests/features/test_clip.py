"""One clip -> its records: what two products share, how many seconds there are, what is refused."""

import hashlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from recordings import write_sound
from videos import drawn, write_video

from avsc.features import clip
from avsc.features.clip import make_clip
from avsc.features.recording import read_recording
from avsc.features.specs import FbankSpec, ImageSpec, ScalogramSpec
from avsc.manifests.errors import MediaError

IMAGES = {"images": ImageSpec()}


def video(path: Path, tenths: int) -> Path:
    return write_video(path, drawn(tenths, np.random.default_rng(1), 48, 64), rate=10)


def test_specs_that_differ_share_no_frames(tmp_path: Path) -> None:
    """2 s at 16 kHz hold 1 + (32000 - window) // hop frames."""
    sound = write_sound(tmp_path / "a.wav", 2.0)
    scalogram = ScalogramSpec()
    for other in (FbankSpec(hop=1000), FbankSpec(window=4096), FbankSpec(sample_rate=8000)):
        if other.sample_rate == 8000:
            other = replace(other, high=4000.0)
        specs = {"scalogram": scalogram, "fbank": other}
        both = make_clip("a", sound, None, specs).records
        for name, spec in specs.items():
            ((_, alone),) = make_clip("a", sound, None, {name: spec}).records[name]
            frames = 1 + (2 * spec.sample_rate - spec.window) // spec.hop
            assert len(alone) == frames
            np.testing.assert_array_equal(both[name][0][1], alone)


@pytest.mark.parametrize(("seconds", "keys"), [(2.3, [0, 1]), (2.7, [0, 1, 2])])
def test_a_clip_has_the_seconds_whose_middle_its_sound_reaches(
    tmp_path: Path, seconds: float, keys: list[int]
) -> None:
    sound, sight = write_sound(tmp_path / "a.wav", seconds), video(tmp_path / "a.mp4", 27)
    made = make_clip("a", sound, sight, IMAGES)
    assert made.failures == []
    assert [key for key, _ in made.records["images"]] == keys


def test_samples_whose_sum_is_infinite_are_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full((16_000, 2), 3e38, np.float32), 16_000, subtype="FLOAT")
    with np.errstate(all="ignore"):
        made = make_clip("a", path, None, {"fbank": FbankSpec()})
    assert [(f.code, f.key) for f in made.failures] == [("not-finite", None)]
    assert made.records == {"fbank": []}


def test_sound_without_a_whole_window_is_a_failure(tmp_path: Path) -> None:
    """0.511 s, and a window has 0.512."""
    made = make_clip("a", write_sound(tmp_path / "a.wav", 0.511), None, {"fbank": FbankSpec()})
    assert [f.code for f in made.failures] == ["too-short"]
    assert made.records == {"fbank": []}


def test_of_a_clip_that_fails_on_the_way_no_image_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: object) -> object:
        yield 0, av.VideoFrame(64, 48, "yuv420p")
        raise MediaError("too-large", "the second run is too large")

    sight = video(tmp_path / "a.mp4", 12)
    assert len(make_clip("a", None, sight, IMAGES).records["images"]) == 1
    monkeypatch.setattr(clip, "frames_on_show", breaking)
    made = make_clip("a", None, sight, IMAGES)
    assert made.records == {"images": []}
    assert [(f.key, f.code) for f in made.failures] == [(None, "too-large")]


def test_a_silent_channel_is_no_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    for left, right, warned in (
        (0 * noise, noise, 0),
        (noise, 0 * noise, 0),
        (*[0 * noise] * 2, 1),
    ):
        soundfile.write(path, np.stack([left * noise, right * noise], axis=1), 16_000)
        assert len(make_clip("a", path, None, {"fbank": FbankSpec()}).warnings) == warned


def test_a_recordings_digest_is_of_all_its_bytes(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(300_000)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    found = read_recording(path)
    assert found.source.sha256 == hashlib.sha256(content).hexdigest()
