"""A clip in pieces is the clip as a whole."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from media import noise, write_track, write_wav
from videos import drawn, write_video

from avsc.features.clip import make_clip
from avsc.features.limits import Limits
from avsc.features.piecewise import SECONDS, Piece, PieceRequest, pieces, pieces_in_time
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.manifests.errors import MediaError

SCALOGRAM, IMAGES = ScalogramSpec(), ImageSpec(short_side=32)


def make(audio, video, acoustic=SCALOGRAM, images=IMAGES, **limits) -> list[Piece]:
    return list(pieces(PieceRequest("a", audio, video, acoustic, images, Limits(**limits))))


@pytest.mark.parametrize(
    ("rate", "seconds", "suffix"),
    [(48_000, 31.3, "wav"), (44_100, 20.0, "flac"), (16_000, 12.7, "wav"), (48_000, 23.4, "mkv")],
)
def test_frames_are_those_of_the_whole_clip(tmp_path, rate, seconds, suffix):
    path = tmp_path / f"a.{suffix}"
    sound = noise(0, round(seconds * rate))
    write_track(path, sound, rate) if suffix == "mkv" else write_wav(path, sound, rate)
    whole = make_clip("a", path, None, {"scalogram": SCALOGRAM}).records["scalogram"][0][1]
    found = make(path, None, images=None)
    np.testing.assert_array_equal(np.concatenate([piece.frames for piece in found]), whole)
    first = 0
    for number, piece in enumerate(found):
        assert (piece.first_frame, piece.last) == (first, number == len(found) - 1)
        centres = (first + np.arange(len(piece.frames))) * 2736 + 4096
        assert (centres // (SECONDS * 16_000) == number).all()
        first += len(piece.frames)


def test_images_are_those_of_the_whole_clip(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, drawn(94, np.random.default_rng(0), 48, 64), rate=4)
    whole = make_clip("a", path, path, {"images": IMAGES}).records["images"]
    found = make(path, path, acoustic=None)
    assert [list(piece.images) for piece in found] == [
        list(range(10)), list(range(10, 20)), list(range(20, 23)),
    ]  # fmt: skip
    joined = {key: data for piece in found for key, data in piece.images.items()}
    assert [key for key, _ in whole] == list(joined)
    assert all(data.tobytes() == joined[key].tobytes() for key, data in whole)


def test_the_shorter_modality_has_nothing_at_the_end(tmp_path):
    sound = write_wav(tmp_path / "a.wav", noise(0, 25 * 48_000))
    write_video(tmp_path / "a.mp4", drawn(24, np.random.default_rng(0), 48, 64), rate=2)
    found = make(sound, tmp_path / "a.mp4")
    assert [len(piece.images) for piece in found] == [10, 2, 0]
    assert [sorted(piece.lost) for piece in found] == [[], list(range(12, 20)), list(range(20, 25))]
    assert all(len(piece.frames) for piece in found)
    silent = make(write_wav(tmp_path / "b.wav", np.zeros((48_000, 2))), tmp_path / "a.mp4")
    assert "digital silence" in silent[-1].warnings[0]


@pytest.mark.parametrize(
    ("code", "make_file"),
    [
        ("mono", lambda path: write_wav(path, noise(0, 48_000, 1))),
        ("too-short", lambda path: write_wav(path, noise(0, 10_000))),
        ("missing", lambda path: path),
        ("too-long", lambda path: write_wav(path, noise(0, 16 * 48_000))),
    ],
)
def test_faults_are_those_of_the_whole_clip(tmp_path, code, make_file):
    path, limits = make_file(tmp_path / "a.wav"), {"seconds": 15}
    (whole,) = make_clip("a", path, None, {"scalogram": SCALOGRAM}, Limits(**limits)).failures
    with pytest.raises(MediaError) as fault:
        make(path, None, images=None, **limits)
    assert (fault.value.code, str(fault.value)) == (code, whole.message)
    assert whole.code == code


def test_what_nobody_foresaw_is_a_fault_of_the_clip(tmp_path):
    sound = write_wav(tmp_path / "a.wav", noise(0, 48_000))
    odd = PieceRequest("a", sound, None, "no spec", None, Limits())  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="defect of avsc") as fault:
        list(pieces_in_time(odd))
    assert fault.value.code == "unforeseen"


def test_sound_that_starts_late(tmp_path):
    path = tmp_path / "a.mkv"
    write_track(path, noise(0, 11 * 48_000), 48_000, start=Fraction(1, 2))
    whole = make_clip("a", path, None, {"scalogram": SCALOGRAM}).records["scalogram"][0][1]
    found = make(path, None, images=None)
    np.testing.assert_array_equal(np.concatenate([piece.frames for piece in found]), whole)


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Six minutes at 48 kHz are 138 MB as float32, and 46 MB at 16 kHz."""
    code = (
        "import sys; from pathlib import Path; from avsc.features.piecewise import *;"
        "from avsc.features.specs import ScalogramSpec; path = Path(sys.argv[1]);"
        "wanted = PieceRequest('a', path, None, ScalogramSpec(), None, Limits(seconds=9000));"
        "print(sum(len(piece.frames) for piece in pieces(wanted)));"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    found = []
    for minutes in (1, 6):
        path = tmp_path / f"{minutes}.flac"
        write_wav(path, np.zeros((minutes * 60 * 48_000, 2), np.int16), subtype="PCM_16")
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        found.append([int(line) for line in done.stdout.split()])
    assert found[1][0] > 5 * found[0][0]
    assert found[1][1] - found[0][1] < 30_000, found  # KB
