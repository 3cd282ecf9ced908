"""Sound in every kind of file: samples are those of libsndfile, of ffmpeg, or the test's own."""

import re
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media import noise, write_track, write_wav
from numpy.typing import NDArray
from painted import ffmpeg

from avsc.features.clip import make_clip
from avsc.features.sound import Sound, read_sound, sound_seconds, sound_start
from avsc.features.specs import ScalogramSpec
from avsc.manifests.errors import MediaError

RATE = 48_000
NO_LENGTH = "its header has no length, as when it is written to a pipe; all that it holds was taken"


def stereo(read: Sound) -> NDArray[np.float64]:
    """Return the two channels that average and difference came from, [samples, 2]."""
    average, difference = read.samples.astype(np.float64)
    return np.stack([average + difference, average - difference], axis=1)


def agrees(path: Path, samples: NDArray[np.floating]) -> bool:
    read = stereo(read_sound(path, RATE))
    return read.shape == samples.shape and np.allclose(read, samples, rtol=0, atol=1.2e-7)


def refusal(path: Path) -> str:
    """Return what is said of a file that is refused."""
    with pytest.raises(MediaError) as caught:
        read_sound(path, RATE)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and len(said) < len(str(path)) + 300
    return f"{caught.value.code}: {said.removeprefix(f'{path}: ')}"


WITHOUT_LOSS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC")
FFMPEG_DIFFERS = {("AIFF", "IMA_ADPCM")}  # by 0.004: the same formula, rounded in another place


@pytest.mark.parametrize("kind", WITHOUT_LOSS)
def test_samples_are_those_of_libsndfile(tmp_path: Path, kind: str) -> None:
    """In every coding and order of bytes that it writes."""
    samples = noise(1, 5000)
    read = set[str]()
    for coding in soundfile.available_subtypes(kind):
        for order in ("FILE", "LITTLE", "BIG"):
            path = tmp_path / f"{coding}-{order}.{kind}"
            try:
                soundfile.write(path, samples, RATE, coding, order, kind)
            except (ValueError, soundfile.LibsndfileError):
                continue  # it writes no such file, or only mono
            if (kind, coding) in FFMPEG_DIFFERS:
                continue
            wanted = soundfile.read(path, dtype="float32")[0]
            assert agrees(path, wanted), path.name
            read.add(coding)
    assert len(read) >= (3 if kind == "FLAC" else 5)


@pytest.mark.parametrize(("bits", "tag"), [(16, 1), (24, 1), (32, 1), (32, 3), (64, 3)])
def test_big_endian_wav(tmp_path: Path, bits: int, tag: int) -> None:
    """Bytes by this test alone; FFmpeg takes them for little-endian ones."""
    whole = np.random.default_rng(2).integers(-(2**15), 2**15, (5000, 2))
    if tag == 3:
        data = (whole / 2**15).astype(f">f{bits // 8}").tobytes()
    else:
        wide = (whole << (bits - 16)).astype(">i8").view(np.uint8).reshape(-1, 8)
        data = wide[:, 8 - bits // 8 :].tobytes()
    size = bits // 8
    head = struct.pack(">4sIHHIIHH", b"fmt ", 16, tag, 2, RATE, 2 * size * RATE, 2 * size, bits)
    path = tmp_path / "a.wav"
    path.write_bytes(
        b"RIFF"[:3] + b"X" + struct.pack(">I4s", 36 + len(data), b"WAVE") + head
        + struct.pack(">4sI", b"data", len(data)) + data
    )  # fmt: skip
    assert agrees(path, whole / 2**15)
    path.write_bytes(path.read_bytes()[:-1000])
    assert refusal(path) == (
        f"truncated: declares {len(data)} bytes of sound, holds {len(data) - 1000}; copy it again."
    )


@pytest.mark.parametrize(
    ("coder", "suffix", "tag"), [("libmp3lame", "mp3", 0x55), ("aac", "adts", 0x1600)]
)
def test_compressed_sound_in_wav_is_what_ffmpeg_decodes(
    tmp_path: Path, coder: str, suffix: str, tag: int
) -> None:
    source = write_wav(tmp_path / "source.wav", noise(3, RATE))
    plain = ("-write_xing", 0, "-id3v2_version", 0) if suffix == "mp3" else ()
    data = ffmpeg("-i", source, "-c:a", coder, *plain, "-f", suffix, "-")
    head = struct.pack("<4sIHHIIHHH", b"fmt ", 18, tag, 2, RATE, 16_000, 1, 0, 0)
    path = tmp_path / "a.wav"
    for length in (len(data), 0xFFFF_FFFF):
        path.write_bytes(
            struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + head
            + struct.pack("<4sI", b"data", length) + data
        )  # fmt: skip
        wanted = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), np.float32).reshape(-1, 2)
        assert len(wanted) >= RATE and agrees(path, wanted)
        assert any(NO_LENGTH in each for each in read_sound(path, RATE).warnings) == (
            length > 2**31
        )
    path.write_bytes(
        path.read_bytes().replace(b"\xff\xff\xff\xff", struct.pack("<I", len(data) + 9))
    )
    assert refusal(path).startswith(f"truncated: declares {len(data) + 9} bytes of sound, holds")


@pytest.mark.parametrize(
    ("kind", "coding"),
    [
        *(("wav", coding) for coding in ("pcm_s24le", "pcm_s16le", "pcm_u8", "pcm_f32le")),
        *(("wav", coding) for coding in ("pcm_f64le", "pcm_alaw", "pcm_mulaw")),
        *((kind, "pcm_s24le") for kind in ("w64", "caf")),
        *((kind, "pcm_s16be") for kind in ("aiff", "au", "caf")),
        ("rf64", "pcm_s24le"),
        ("flac", "flac"),
    ],
)
def test_sound_from_a_pipe(tmp_path: Path, kind: str, coding: str) -> None:
    """Written by ffmpeg to a pipe and to a file; what libsndfile reads of the file is wanted."""
    source = write_wav(tmp_path / "source.wav", noise(4, 20_000))
    form, more = ("wav", ("-rf64", "always")) if kind == "rf64" else (kind, ())
    arguments = ("-i", source, "-c:a", coding, *more, "-f", form)
    ffmpeg(*arguments, tmp_path / f"file.{kind}")
    wanted = soundfile.read(tmp_path / f"file.{kind}", dtype="float32")[0]
    assert agrees(tmp_path / f"file.{kind}", wanted)
    assert read_sound(tmp_path / f"file.{kind}", RATE).warnings == ()
    piped = tmp_path / f"piped.{kind}"
    piped.write_bytes(ffmpeg(*arguments, "-"))
    assert len(wanted) == 20_000 and agrees(piped, wanted)
    assert sound_seconds(piped) == pytest.approx(20_000 / RATE)
    (warning,) = read_sound(piped, RATE).warnings
    assert f"{piped}: {NO_LENGTH}, 0.417 s. Whether its end is missing" in warning


LENGTHS = (0, 0x7FFF_FFFF, 0x7FFF_FFFF - 36, 0x7FFF_F000 // 6 * 6, 0x7FFF_FF00, 0x8000_0000)


@pytest.mark.parametrize("length", [*LENGTHS, 0xFFFF_FFFF, 0xFFFF_FFFF - 36, 0xFFFF_FFFE])
def test_lengths_that_stand_for_none(tmp_path: Path, length: int) -> None:
    """Of recorders that were killed, SoX, arecord and others."""
    path = write_wav(tmp_path / "a.wav", noise(5, 20_000))
    wanted, whole = soundfile.read(path)[0], path.read_bytes()
    data = whole.index(b"data") + 8
    piped = whole[: data - 4] + struct.pack("<I", length) + whole[data:]
    path.write_bytes(piped)
    assert agrees(path, wanted)
    assert sound_seconds(path) == 20_000 / RATE
    made = make_clip("a", path, None, {"scalogram": ScalogramSpec()})
    assert [text for text in made.warnings if NO_LENGTH in text] and not made.records["scalogram"]
    path.write_bytes(piped[:-6000])
    assert agrees(path, wanted[:-1000])
    path.write_bytes(piped[:-2])
    assert refusal(path) == (
        "truncated: declares no length, and ends 4 bytes into a sample; copy it again."
    )


def test_lengths_that_are_meant(tmp_path: Path) -> None:
    """A length just outside of those that stand for none, and no sound before other chunks."""
    path = write_wav(tmp_path / "a.wav", noise(6, 1000))
    whole = path.read_bytes()
    data = whole.index(b"data") + 8
    for length in (6001, 0x7000_0000, 0x8001_0000, 0xFFFE_0000):
        path.write_bytes(whole[: data - 4] + struct.pack("<I", length) + whole[data:])
        assert refusal(path) == (
            f"truncated: declares {length} bytes of sound, holds 6000; copy it again."
        )
    empty = whole[: data - 4] + bytes(4)
    path.write_bytes(empty + struct.pack("<4sI4s", b"LIST", 4, b"INFO"))
    assert refusal(path) == "empty: no samples of sound; leave the clip out."
    path.write_bytes(empty)
    assert refusal(path) == "empty: no samples of sound; leave the clip out."


def test_bw64(tmp_path: Path) -> None:
    """RF64 by another name, which FFmpeg reads, with or without a length, and does not miss."""
    path = write_wav(tmp_path / "a.rf64", noise(14, 5000))
    wanted, whole = soundfile.read(path)[0], b"BW64" + path.read_bytes()[4:]
    path = tmp_path / "a.wav"
    path.write_bytes(whole)
    assert agrees(path, wanted) and read_sound(path, RATE).warnings == ()
    path.write_bytes(whole[:-3000])
    assert refusal(path) == (
        "truncated: declares 30000 bytes of sound, holds 27000; copy it again."
    )
    length = whole.index((30_000).to_bytes(8, "little"))
    path.write_bytes(whole[:length] + bytes(8) + whole[length + 8 :])
    assert agrees(path, wanted) and NO_LENGTH in read_sound(path, RATE).warnings[0]


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_flac_from_a_pipe_that_was_cut(tmp_path: Path, cut: int) -> None:
    source = write_wav(tmp_path / "source.wav", noise(7, 20_000), subtype="PCM_16")
    path = tmp_path / "a.flac"
    path.write_bytes(ffmpeg("-i", source, "-f", "flac", "-")[:-cut])
    assert refusal(path).startswith("undecodable: Invalid data found when processing input")


@pytest.mark.parametrize("kind", ["wav", "w64", "aiff", "caf", "flac", "rf64", "au"])
def test_files_that_were_joined(tmp_path: Path, kind: str) -> None:
    """Libsndfile reads the first alone, or the second's header as sound."""
    path = write_wav(tmp_path / f"a.{kind}", noise(8, 4000), subtype="PCM_16")
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    assert refusal(path) == (
        f"undecodable: a second header stands at byte {len(whole)}, as where files were joined, or "
        "a program wrote to a pipe what only a file can take; make it again."
    )


@pytest.mark.parametrize(("coder", "suffix"), [("flac", "mkv"), ("ac3", "ac3"), ("wavpack", "wv")])
def test_sound_that_fails_its_checksum(tmp_path: Path, coder: str, suffix: str) -> None:
    """FFmpeg decodes it to noise unless it is asked to look."""
    source = write_wav(tmp_path / "source.wav", noise(9, RATE), subtype="PCM_16")
    path = tmp_path / f"a.{suffix}"
    ffmpeg("-i", source, "-c:a", coder, "-fflags", "+bitexact", path)
    whole = path.read_bytes()
    assert read_sound(path, RATE).samples.shape[1] >= RATE
    for place in (len(whole) // 3, len(whole) // 2, 2 * len(whole) // 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        assert re.fullmatch(
            "undecodable: (damaged|Invalid data found when processing input); wanted sound that "
            r"FFmpeg can decode\.",
            refusal(path),
        )


def test_a_clock_that_comes_back_in_the_end(tmp_path: Path) -> None:
    """Sound is 0.2 s late in the middle, and in time again at the end: no sum shows it."""
    late = [int(9600 * max(0, 40 - n) / 30) if n >= 10 else 0 for n in range(47)]
    path = write_track(tmp_path / "a.mkv", noise(10, RATE), late=late)
    assert refusal(path).startswith(
        "gap: its samples and its clock differ by 0.200 s from 0.413 s on"
    )


def onset(sound: NDArray[np.floating]) -> int:
    """Return the first sample that is loud."""
    return int(np.argmax(np.abs(sound) > 0.1))


@pytest.mark.parametrize("coder", ["aac", "libmp3lame"])
@pytest.mark.parametrize("images", [10, 25])
def test_sound_and_images_of_mp4_from_a_pipe_are_in_step(
    tmp_path: Path, coder: str, images: int
) -> None:
    """A tone begins at 2 s, and so do white images, in a file and from a pipe.

    FFmpeg writes the first frame of sound that goes to a pipe too early by what the images are
    late: the delay of two B images, 0.08 or 0.2 s.
    """
    white = f"color=black:s=64x64:r={images}:d=4,drawbox=t=fill:c=white:enable='gte(t,2)'"
    tone = "aevalsrc='0.5*sin(6000*t)*gte(t,2)|0.4*sin(5000*t)*gte(t,2)':s=48000:d=4"
    found = []
    for name, flags in (("file", "faststart"), ("pipe", "frag_keyframe+empty_moov")):
        path = tmp_path / f"{name}.mp4"
        made = ("-f", "lavfi", "-i", white, "-f", "lavfi", "-i", tone, "-c:v", "libx264", "-bf", 2,
                "-b_strategy", 0, "-c:a", coder, "-movflags", flags, "-f", "mp4")  # fmt: skip
        if name == "file":
            ffmpeg(*made, path)
        else:
            path.write_bytes(ffmpeg(*made, "-"))
        read = read_sound(path, RATE)
        with av.open(path) as container:
            frames = container.decode(video=0)
            shown = next(f.time for f in frames if f.to_ndarray(format="gray").mean() > 128)
        found.append(float(sound_start(path)) + onset(stereo(read)[:, 0]) / RATE - shown)
        leaps = [text for text in read.warnings if "leaps by 0." in text]
        assert len(leaps) == (name == "pipe"), read.warnings
        assert sound_seconds(path) == pytest.approx(read.samples.shape[1] / RATE, abs=0.03)
    assert found[0] == pytest.approx(0, abs=0.03) and found[1] == pytest.approx(found[0], abs=0.002)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a transport stream of noise in segments whose clocks go on."""
    folder = tmp_path_factory.mktemp("stream")
    source = write_wav(folder / "source.wav", noise(11, 4 * RATE))
    ffmpeg("-i", source, "-c:a", "aac", "-f", "hls", "-hls_time", 2, "-hls_list_size", 0,
           folder / "list.m3u8")  # fmt: skip
    segments = sorted(folder.glob("list*.ts"))
    assert len(segments) > 1
    path = folder / "joined.ts"
    path.write_bytes(b"".join(segment.read_bytes() for segment in segments))
    return path


def test_transport_streams_whose_clock_goes_on(stream: Path) -> None:
    """What ffmpeg decodes, through the counters of packets that begin anew."""
    wanted = np.frombuffer(ffmpeg("-i", stream, "-f", "f32le", "-"), np.float32).reshape(-1, 2)
    assert len(wanted) > 4 * RATE and agrees(stream, wanted)


def test_transport_streams_whose_clock_begins_anew(stream: Path, tmp_path: Path) -> None:
    first = sorted(stream.parent.glob("list*.ts"))[0].read_bytes()
    path = tmp_path / "anew.ts"
    path.write_bytes(first + first)
    said = refusal(path)
    assert said.startswith("gap: its samples and its clock differ by -2.0")
    assert said.endswith("give those that were joined one clock (ffmpeg -i FILE NEW.mkv).")
    ffmpeg("-i", path, "-c:a", "flac", tmp_path / "new.mkv")
    assert read_sound(tmp_path / "new.mkv", RATE).samples.shape[1] > 3.9 * RATE


def test_transport_streams_that_lost_packets(stream: Path, tmp_path: Path) -> None:
    whole = stream.read_bytes()
    path, middle = tmp_path / "lost.ts", len(whole) // 2 // 188 * 188
    for lost in (1, 3, 20):
        path.write_bytes(whole[:middle] + whole[middle + lost * 188 :])
        assert refusal(path).startswith(("undecodable: ", "gap: "))


@pytest.mark.parametrize(
    ("suffix", "coder"),
    [
        *(("wma", "wmav2"), ("flv", "aac"), ("avi", "libmp3lame"), ("mpg", "mp2"), ("mka", "ac3")),
        *(("mov", "pcm_s24be"), ("m2ts", "aac"), ("opus", "libopus"), ("ogg", "libvorbis")),
        *(("webm", "libopus"), ("m4a", "alac"), ("m4a", "aac"), ("mp3", "libmp3lame")),
        *(("tta", "tta"), ("wv", "wavpack"), ("au", "pcm_s16be"), ("flac", "flac")),
    ],
)
def test_tracks_are_what_ffmpeg_decodes(tmp_path: Path, suffix: str, coder: str) -> None:
    path = tmp_path / f"a.{suffix}"
    ffmpeg("-i", write_wav(tmp_path / "source.wav", noise(12, RATE)), "-c:a", coder, path)
    wanted = np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-"), np.float32).reshape(-1, 2)
    read = stereo(read_sound(path, RATE))
    padding = len(read) - len(wanted)  # behind the end of the edit list, in the last frame of AAC
    assert 0 <= padding < (1024 if suffix == "m4a" else 1) and len(wanted) > 0.98 * RATE
    np.testing.assert_allclose(read[: len(wanted)], wanted, rtol=0, atol=1e-6)
    assert sound_seconds(path) == pytest.approx(len(read) / RATE, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_default_track_is_read(tmp_path: Path, suffix: str) -> None:
    """Stereo behind mono, which is no error, and mono behind stereo, which is one."""
    one, two = (write_wav(tmp_path / f"{n}.wav", noise(13, RATE, n)) for n in (1, 2))
    path = tmp_path / f"a.{suffix}"
    for default, tracks in ((1, (one, two)), (0, (two, one))):
        marks = [f"-disposition:a:{default}", "default", f"-disposition:a:{1 - default}", 0]
        ffmpeg("-i", tracks[0], "-i", tracks[1], "-map", 0, "-map", 1, "-c:a", "aac", *marks, path)
        wanted = ffmpeg("-i", path, "-map", f"0:a:{default}", "-f", "f32le", "-")
        heard = np.frombuffer(wanted, np.float32).reshape(-1, 2)
        read = stereo(read_sound(path, RATE))[: len(heard)]
        np.testing.assert_allclose(read, heard, rtol=0, atol=1e-6)
    ffmpeg("-i", two, "-i", one, "-map", 0, "-map", 1, "-c:a", "aac", "-disposition:a:0", 0,
           "-disposition:a:1", "default", path)  # fmt: skip
    assert refusal(path).startswith("mono: mono; wanted stereo")
