"""Edit lists of MP4: pieces that are skipped, repeated, put before others, or empty."""

import struct

import pytest
from painted import encode, shown

from avsc.manifests.errors import MediaError

EMPTY = None
LISTS = {
    "twice": ([(2, 0), (2, 0)], [12, 37, 12, 37]),
    "skip": ([(1, 0), (2, 50)], [12, 62, 87]),
    "gap": ([(1, 0), (1, EMPTY), (2, 25)], [12, 12, 37, 62]),
}


@pytest.fixture(scope="module", params=[0, 2], ids=["no-b", "b"])
def plain(request, tmp_path_factory):
    """Return four seconds without an edit list of their own, and the delay of their times."""
    bframes = request.param
    folder = tmp_path_factory.mktemp("plain")
    coder = "-c:v", "libx264", "-bf", bframes, "-g", 25, "-video_track_timescale", 25
    return encode(folder / "v.mp4", *coder, count=100), 2 if bframes else 0


def edited(plain, path, pieces, room=100_000):
    """Give a file an edit list of (seconds, first frame) and `room` bytes (14496-12, 8.6.6)."""
    source, delay = plain
    data = source.read_bytes()
    at = data.index(b"elst") - 4
    size = int.from_bytes(data[at : at + 4])
    edits = b"".join(
        struct.pack(">IiHH", 1000 * seconds, -1 if first is EMPTY else first + delay, 1, 0)
        for seconds, first in pieces
    )
    box = struct.pack(">I4sII", 16 + len(edits), b"elst", 0, len(pieces)) + edits
    new = bytearray(data[:at] + box + data[at + size :])
    for name in (b"edts", b"trak", b"moov"):
        outer = data.index(name) - 4
        length = int.from_bytes(data[outer : outer + 4]) + len(box) - size
        new[outer : outer + 4] = length.to_bytes(4)
    path.write_bytes(new + struct.pack(">I4s", 8 + room, b"free") + bytes(room))
    return path


@pytest.mark.parametrize("name", LISTS)
def test_pieces_are_shown_as_the_list_has_them(name, plain, tmp_path):
    pieces, wanted = LISTS[name]
    got = shown(edited(plain, tmp_path / "v.mp4", pieces))
    if name == "gap" and plain[1]:  # FFmpeg is two frames late behind a gap where there are B's
        wanted = [12, 12, 35, 60]
    assert got == wanted


def test_more_bytes_than_the_file_has_are_refused_by_name(plain, tmp_path):
    path = edited(plain, tmp_path / "v.mp4", [(4, 0)] * 30, room=0)
    with pytest.raises(MediaError, match="an edit list that shows a piece again"):
        shown(path)
