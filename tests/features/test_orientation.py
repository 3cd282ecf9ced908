"""The way up of images, against ffmpeg's own."""

import itertools
import struct

import numpy as np
import pytest
from painted import encode, ffmpeg, shown

from avsc.features.images import frames_on_show, rgb
from avsc.manifests.errors import MediaError

ONE = 1 << 16
EIGHT = [(a, 0, 0, d) for a, d in itertools.product((-1, 1), repeat=2)]
EIGHT += [(0, b, c, 0) for b, c in itertools.product((-1, 1), repeat=2)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a video of odd proportions whose images look different from all sides."""
    folder = tmp_path_factory.mktemp("plain")
    return encode(folder / "v.mp4", "-c:v", "libx264", count=26, first=0x137, size=(66, 98))


def with_matrix(plain, path, a, b, c, d):
    """Write a display matrix into the track header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(plain.read_bytes())
    header = data.index(b"tkhd")
    assert data[header + 4] == 0  # version 0: the matrix is 44 bytes after its name
    matrix = (a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    data[header + 44 : header + 80] = struct.pack(">9i", *(int(x) for x in matrix))
    path.write_bytes(data)
    return path


def seen_by_ffmpeg(path, *size):
    raw = ffmpeg("-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    return np.frombuffer(raw, np.uint8).reshape(size)


@pytest.mark.parametrize("matrix", EIGHT)
def test_all_eight_orientations(matrix, plain, tmp_path):
    path = with_matrix(plain, tmp_path / "w.mp4", *matrix)
    (_, frame), *_ = frames_on_show(path, 1, start=-0.5)
    image = rgb(frame)
    wanted = seen_by_ffmpeg(path, *image.shape[:2])
    assert np.abs(image.mean(-1) - wanted).mean() < 14  # limited range, and RGB
    others = [np.flipud(wanted), np.fliplr(wanted), np.rot90(wanted, 2)]
    assert all(np.abs(image.mean(-1) - other).mean() > 40 for other in others)


def test_scaling_comes_before_turning(plain, tmp_path):
    (_, frame), *_ = frames_on_show(with_matrix(plain, tmp_path / "w.mp4", 0, 1, 1, 0), 1)
    (_, same), *_ = frames_on_show(plain, 1)
    assert np.array_equal(rgb(frame, 33), rgb(same, 33).swapaxes(0, 1))


def test_almost_a_quarter_turn_is_one_and_an_eighth_is_refused(plain, tmp_path):
    assert len(shown(with_matrix(plain, tmp_path / "a.mp4", 0.01, 1, -1, 0.01))) == 1
    eighth = np.sqrt(0.5)
    with pytest.raises(MediaError, match="only quarter turns"):
        shown(with_matrix(plain, tmp_path / "b.mp4", eighth, eighth, -eighth, eighth))


def test_a_matrix_of_zeros_turns_nothing(plain, tmp_path):
    assert shown(with_matrix(plain, tmp_path / "z.mp4", 0, 0, 0, 0)) == shown(plain)
