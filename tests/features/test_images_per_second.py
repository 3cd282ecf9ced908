"""Several images a second: the frames on show at (k + 0.5) / N s, wherever they are chosen."""

from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
import pytest
from live_media import write_av
from media import noise, write_wav
from videos import drawn, write_video

from avsc.features.clip import make_clip
from avsc.features.images import REPEATED, frames_on_show
from avsc.features.limits import Limits
from avsc.features.live.address import parse_addresses
from avsc.features.live.feed import Feed, FeedSettings
from avsc.features.live.hop import Hop, HopSpec
from avsc.features.piecewise import PieceRequest, pieces
from avsc.features.specs import ImageSpec, ScalogramSpec

RATE = 25
FRAMES = 2 * RATE + 15
END = Fraction(FRAMES, RATE)
"""2.6 s: of three images a second, the last is at 2.5 s; of two, at 2.25 s."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 25 frames a second, with frames that refer to later ones."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    frames = drawn(FRAMES, np.random.default_rng(0), 48, 64)
    return write_video(path, frames, rate=RATE, options={"bf": "2", "g": "20"})


@pytest.mark.parametrize("per_second", [1, 2, 3, 25, 30])
def test_frames_are_those_of_a_plain_decode_at_the_stated_times(
    video: Path, per_second: int
) -> None:
    with av.open(video) as file:
        every = sorted(file.decode(video=0), key=lambda frame: frame.pts or 0)
    begin = every[0].pts * every[0].time_base
    remarks: list[str] = []
    found = list(frames_on_show(video, None, None, remarks, ImageSpec(per_second=per_second)))
    instants = [Fraction(2 * k + 1, 2 * per_second) for k in range(3 * per_second)]
    instants = [instant for instant in instants if instant < END]
    assert [k for k, _ in found] == list(range(len(instants)))
    for instant, (_, frame) in zip(instants, found, strict=True):
        wanted = [other for other in every if other.pts * other.time_base - begin <= instant][-1]
        assert isinstance(frame, av.VideoFrame)
        np.testing.assert_array_equal(frame.to_ndarray(), wanted.to_ndarray())
    assert remarks == ([REPEATED] if per_second > RATE else [])


@pytest.mark.parametrize("length", [2.4, 2.5, 2.6, 3.0])
@pytest.mark.parametrize("per_second", [2, 3, 30])
def test_a_clip_has_the_same_seconds_at_any_rate(length: float, per_second: int) -> None:
    count = ImageSpec(per_second=per_second).count(length)
    assert ceil(count / per_second) == ImageSpec().count(length) == ceil(length - 0.5)
    assert all(ImageSpec(per_second=per_second).instant(k) < length for k in range(count))


def test_pieces_and_failures_are_those_of_the_whole_clip(tmp_path: Path) -> None:
    """The sound lasts for 12.6 s, the video for 11.5 s."""
    path, sound = tmp_path / "a.mp4", write_wav(tmp_path / "a.wav", noise(0, round(12.6 * 48_000)))
    write_video(path, drawn(46, np.random.default_rng(0), 48, 64), rate=4)
    spec = ImageSpec(short_side=32, per_second=2)
    made = make_clip("a", sound, path, {"images": spec})
    assert [key for key, _ in made.records["images"]] == list(range(23))
    assert [f.key for f in made.failures] == [23, 24]
    assert [f.image({"images": spec}) for f in made.failures] == [
        "image 23 (11.75 s)", "image 24 (12.25 s)",
    ]  # fmt: skip
    found = list(pieces(PieceRequest("a", sound, path, None, spec, Limits())))
    assert [list(piece.images or ()) for piece in found] == [list(range(20)), [20, 21, 22]]
    assert [list(piece.lost) for piece in found] == [[], [23, 24]]
    joined = {key: data for piece in found for key, data in (piece.images or {}).items()}
    assert all(data.tobytes() == joined[key].tobytes() for key, data in made.records["images"])


def test_a_live_source_has_those_of_extraction(tmp_path: Path) -> None:
    path, acoustic = write_av(tmp_path / "a.ts", 2.7), ScalogramSpec()
    spec = ImageSpec(per_second=2)
    images = dict(make_clip("a", path, path, {"images": spec}).records["images"])
    assert list(images) == list(range(5))
    for wanted in (HopSpec(acoustic, spec, strict=False), HopSpec(None, spec)):
        with Feed(parse_addresses(str(path)), wanted, FeedSettings(pace=None)) as feed:
            hops = [item for item in feed if isinstance(item, Hop)]
        assert [hop.start for hop in hops] == [0, 1, 2]
        seen = [image.tobytes() for hop in hops for image in hop.images]
        assert seen == [image.tobytes() for image in images.values()]
        for k, hop in enumerate(hops):
            if hop.view is not None:
                centre = wanted.frames(k)[: len(hop.view)] * 2736 + 4096
                assert (hop.view == centre * 2 // 16_000 - 2 * k).all()
