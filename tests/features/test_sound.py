"""Reading sound: values, rates, lengths, and every way in which it can go wrong."""

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media import noise, tone, write_track, write_wav

from avsc.features.framing import n_frames
from avsc.features.limits import Limits
from avsc.features.recording import Recording, read_recording
from avsc.features.sound import read_sound, sound_seconds, sound_start
from avsc.features.sound_chunks import WAV, sound_chunk
from avsc.features.sound_file import opened_file
from avsc.features.specs import ScalogramSpec
from avsc.manifests.errors import MediaError


def fault(path: Path | Recording) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read_sound(path, 16_000)
    assert str(path.path if isinstance(path, Recording) else path) in str(caught.value)
    return caught.value


def test_average_and_difference(tmp_path: Path) -> None:
    samples = np.round(noise(1, 5000) * 2**23) / 2**23
    read = read_sound(write_wav(tmp_path / "a.wav", samples, 16_000), 16_000)
    assert read.samples.dtype == np.float32
    average, difference = read.samples.astype(np.float64)
    assert average + difference == pytest.approx(samples[:, 0], abs=1e-7)
    assert average - difference == pytest.approx(samples[:, 1], abs=1e-7)
    assert read.samples.shape == (2, 5000) and read.warnings == ()


def test_level_is_the_mean_square_of_both_channels(tmp_path: Path) -> None:
    samples = noise(1, 5000) * [1, 0.25]
    sound = read_sound(write_wav(tmp_path / "a.wav", samples, 16_000), 16_000)
    assert sound.level == pytest.approx(10 * np.log10((samples**2).mean()), abs=1e-3)
    assert read_sound(write_wav(tmp_path / "b.wav", samples * 0, 16_000), 16_000).level is None


def test_samples_of_24_bits_are_those_of_libsndfile(tmp_path: Path) -> None:
    extremes = [-1, 1 - 2**-23, -(2**-23), 0, 2**-23, 0.5, -0.5, 255 * 2**-23, -256 * 2**-23]
    samples = np.stack([np.resize(extremes, 4321), noise(3, 4321, 1)[:, 0]], axis=1)
    path = write_wav(tmp_path / "a.wav", samples)
    recording = read_recording(path)
    with opened_file(recording, sound_chunk(recording, WAV)) as file:
        assert file.packed is not None
        (read,) = file.parts()
    assert (read == soundfile.read(path, dtype="float32")[0].T).all()


@pytest.mark.parametrize("samples", [479_999, 480_000, 480_001])
def test_ten_seconds_give_56_frames(tmp_path: Path, samples: int) -> None:
    path = write_wav(tmp_path / "a.wav", noise(2, samples))
    read = read_sound(path, 16_000)
    assert read_sound(path, 48_000).samples.shape[1] == samples
    assert n_frames(read.samples.shape[1], ScalogramSpec()) == 56
    assert sound_seconds(path) == pytest.approx(samples / 48_000)
    assert sound_start(path) == 0


@pytest.mark.parametrize("hertz", [50, 1000, 5000, 7000, 7300])
def test_resampling_leaves_what_is_below_7300_hz(tmp_path: Path, hertz: float) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([0.9 * tone(hertz, 48_000, 96_000)] * 2, axis=1))
    kept = read_sound(path, 16_000).samples[0, 8000:-8000].astype(np.float64)
    exact = 0.9 * tone(hertz, 16_000, 32_000)[8000:-8000]
    assert abs(kept - exact).max() < 2e-6


@pytest.mark.parametrize("hertz", [8700, 9000, 10_000, 15_900, 17_000, 23_900])
def test_resampling_aliases_nothing(tmp_path: Path, hertz: float) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([0.9 * tone(hertz, 48_000, 96_000)] * 2, axis=1))
    kept = read_sound(path, 16_000).samples[0, 8000:-8000].astype(np.float64)
    level = 20 * np.log10(np.sqrt(2 * np.mean(kept**2)) / 0.9)
    assert level < -120


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.flac", "PCM_24"),
        ("a.rf64", "PCM_24"),
        ("a.w64", "PCM_24"),
        ("a.wavex", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.aiff", "PCM_24"),
    ],
)
def test_files_without_loss_agree(tmp_path: Path, name: str, subtype: str) -> None:
    samples = np.round(noise(3, 48_000) * 2**23) / 2**23
    reference = read_sound(write_wav(tmp_path / "reference.wav", samples), 16_000)
    path = write_wav(tmp_path / name, samples, subtype=subtype)
    assert (read_sound(path, 16_000).samples == reference.samples).all()
    assert sound_seconds(path) == 1


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2)])
def test_a_track_without_loss_agrees_with_a_file(tmp_path: Path, start: Fraction) -> None:
    samples = noise(4, 48_000)
    reference = read_sound(write_wav(tmp_path / "a.wav", samples, subtype="FLOAT"), 16_000)
    path = write_track(tmp_path / "a.mkv", samples, start=start)
    assert (read_sound(path, 16_000).samples == reference.samples).all()
    assert sound_start(path) == start


def test_the_track_of_an_mp4_begins_where_its_sound_does(tmp_path: Path) -> None:
    """AAC puts samples of its own before the sound, which are not to be heard."""
    samples = np.stack([0.5 * tone(440, 48_000, 48_000)] * 2, axis=1)
    path = write_track(tmp_path / "a.mp4", samples, codec="aac")
    average, difference = read_sound(path, 48_000).samples
    assert sound_start(path) == 0
    assert sound_seconds(path) == pytest.approx(1, abs=0.05)
    assert average[4800:43_200] == pytest.approx(
        samples[4800:43_200, 0], abs=0.02
    )  # 1 sample: 0.029
    assert abs(difference).max() < 0.01


def test_silence_is_kept_and_said(tmp_path: Path) -> None:
    read = read_sound(write_wav(tmp_path / "a.wav", np.zeros((48_000, 2))), 16_000)
    assert "digital silence; kept." in read.warnings[0]
    assert not read.samples.any()


def test_missing(tmp_path: Path) -> None:
    assert fault(tmp_path / "a.wav").code == "missing"
    (tmp_path / "link.wav").symlink_to("/scratch/gone.wav")
    error = fault(tmp_path / "link.wav")
    assert error.code == "missing"
    assert "a link to /scratch/gone.wav, which is not there" in str(error)


def test_a_folder(tmp_path: Path) -> None:
    assert fault(tmp_path).code == "unreadable"


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert fault(tmp_path / "a.wav").code == "empty"
    assert fault(write_wav(tmp_path / "b.wav", np.zeros((0, 2)))).code == "empty"


@pytest.mark.parametrize("name", ["a.wav", "a.rf64", "a.w64", "a.flac"])
@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
def test_truncated_sound(tmp_path: Path, name: str, keep: float) -> None:
    path = write_wav(tmp_path / name, noise(5, 20_000))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    assert fault(path).code in {"truncated", "undecodable"}
    if not name.endswith("flac"):
        assert fault(path).code == "truncated"
        with pytest.raises(MediaError, match="bytes of sound, holds"):
            sound_seconds(path)


@pytest.mark.parametrize("length", [5, 10, 12, 30, 43])
def test_truncated_header(tmp_path: Path, length: int) -> None:
    path = write_wav(tmp_path / "a.wav", noise(6, 1000))
    path.write_bytes(path.read_bytes()[:length])
    assert fault(path).code == "truncated"


def test_a_wav_with_other_chunks_is_whole(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", noise(7, 1000))
    whole = path.read_bytes()
    odd = b"note" + (3).to_bytes(4, "little") + b"abc\0"
    data = whole.index(b"data")
    size = (len(whole) + 2 * len(odd) - 8).to_bytes(4, "little")
    path.write_bytes(whole[:4] + size + whole[8:data] + odd + whole[data:] + odd)
    assert read_sound(path, 48_000).samples.shape[1] == 1000


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2)])
def test_a_track_that_ends_before_its_header_says(tmp_path: Path, start: Fraction) -> None:
    path = write_track(tmp_path / "a.mkv", noise(14, 96_000), start=start)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    error = fault(path)
    assert error.code == "truncated"
    assert f"should end at {float(start + 2):.3f} s" in str(error)


def test_a_file_of_unknown_kind_that_ends_before_its_header_says(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.aiff", noise(15, 96_000))
    path.write_bytes(path.read_bytes()[:-200_000])
    assert fault(path).code == "truncated"


@pytest.mark.parametrize("name", ["a.aac", "a.mp4", "a.mkv"])
def test_length_without_decoding(tmp_path: Path, name: str) -> None:
    """A bare AAC stream has none in its header; FFmpeg guesses 1.2 s."""
    samples = np.concatenate([noise(16, 48_000), np.zeros((144_000, 2))])
    path = write_track(tmp_path / name, samples, codec="aac")
    assert sound_seconds(path) == pytest.approx(4, abs=0.05)
    read = read_sound(path, 16_000)
    assert read.samples.shape[1] / 16_000 == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(
    ("name", "message"), [("a.mov", "without a usable index"), ("a.mp4", "cut off")]
)
def test_truncated_track(tmp_path: Path, name: str, message: str) -> None:
    path = write_track(tmp_path / name, noise(8, 48_000), codec="aac")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.9 * len(whole))])
    error = fault(path)
    assert error.code == "truncated"
    assert message in str(error)


def test_a_damaged_track(tmp_path: Path) -> None:
    path = write_track(tmp_path / "a.mp4", noise(8, 48_000), codec="aac")
    whole = bytearray(path.read_bytes())
    middle = (whole.index(b"mdat") + len(whole)) // 2
    whole[middle : middle + 2000] = b"\xff" * 2000
    path.write_bytes(whole)
    assert fault(path).code == "undecodable"


def test_undecodable(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound at all, but enough of it to look at\n" * 50)
    assert fault(tmp_path / "a.wav").code == "undecodable"
    path = write_wav(tmp_path / "b.wav", noise(9, 1000))
    whole = bytearray(path.read_bytes())
    whole[20:22] = b"\x99\x99"  # the code of the sample format
    path.write_bytes(whole)
    assert fault(path).code == "undecodable"


@pytest.mark.parametrize(("channels", "code"), [(1, "mono"), (4, "channels")])
def test_only_stereo(tmp_path: Path, channels: int, code: str) -> None:
    samples = noise(10, 9600, channels)
    assert fault(write_wav(tmp_path / "a.wav", samples)).code == code
    assert fault(write_track(tmp_path / "a.mkv", samples)).code == code


def test_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    assert fault(path).code == "no-sound"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, value: float) -> None:
    samples = noise(11, 4800)
    samples[1234, 1] = value
    assert fault(write_wav(tmp_path / "a.wav", samples, subtype="FLOAT")).code == "not-finite"


def test_too_long(tmp_path: Path) -> None:
    samples, limits = noise(12, 48_000 + 4096), Limits(seconds=1)
    for path in (
        write_wav(tmp_path / "a.wav", samples),
        write_track(tmp_path / "a.mkv", samples),
    ):
        error = fault(read_recording(path, limits))
        assert error.code == "too-long"
        assert "at most 1 (--max-seconds): cut it into clips" in str(error)
        assert read_sound(path, 48_000).samples.shape[1] == len(samples)


@pytest.mark.parametrize("rate", [1, 999, 384_001, 2_000_000])
def test_rates_that_no_recorder_has(tmp_path: Path, rate: int) -> None:
    assert fault(write_wav(tmp_path / "a.wav", noise(14, 1000), rate)).code == "rate"


def test_a_gap_in_a_track(tmp_path: Path) -> None:
    path = write_track(tmp_path / "a.mkv", noise(13, 48_000), leave_out=range(10, 20))
    error = fault(path)
    assert error.code == "gap"
    assert re.search(r"differ by 0\.21[34] s from 0\.427 s on: samples are missing", str(error))


@pytest.mark.real
def test_real_tracks(real_data: Path) -> None:
    paths = sorted((real_data / "tau2021_real" / "video").glob("*.mp4"))
    assert len(paths) == 12
    for path in paths:
        read = read_sound(path, 16_000)
        assert read.samples.shape[1] / 16_000 == pytest.approx(sound_seconds(path), abs=1e-3)
        assert sound_start(path) == 0
