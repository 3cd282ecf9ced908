"""Hops of a running source: equal to extraction, whole, and never across a gap."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from live_media import write_av
from videos import remuxed

from avsc.features.clip import make_clip
from avsc.features.filterbank import FilterBank, acoustic_filters
from avsc.features.framing import magnitude
from avsc.features.live import live_images
from avsc.features.live.address import parse_addresses
from avsc.features.live.connection import AudioChunk
from avsc.features.live.feed import Feed, FeedSettings
from avsc.features.live.hop import Gap, Hop, HopSpec
from avsc.features.live.hop_maker import HopMaker
from avsc.features.live.video_decoder import TimedFrame
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.manifests.errors import MediaError, SettingError

SOUND, IMAGES = ScalogramSpec(), ImageSpec()
RATE = SOUND.sample_rate
BANK = FilterBank(acoustic_filters(SOUND))


def hops_of(path: Path, wanted: HopSpec) -> list[Hop]:
    """Return the hops of a file, which has no gaps."""
    with Feed(parse_addresses(str(path)), wanted, FeedSettings(pace=None)) as feed:
        items = list(feed)
    assert all(isinstance(item, Hop) for item in items)
    return [item for item in items if isinstance(item, Hop)]


@pytest.mark.parametrize(
    ("name", "codecs", "rate"),
    [
        ("a.ts", ("libx264", "aac"), 48_000),
        ("b.mp4", ("libx264", "aac"), 44_100),
        ("c.mkv", ("mpeg4", "pcm_f32le"), 32_000),
        ("d.mkv", ("libx264", "pcm_f32le"), 16_000),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_features_are_those_of_extraction(
    tmp_path: Path, name: str, codecs: tuple[str, str], rate: int, strict: bool
) -> None:
    path = write_av(tmp_path / name, 3.7, codecs=codecs, rate=rate)
    made = make_clip("clip", path, path, {"scalogram": SOUND, "images": IMAGES})
    assert not made.failures
    (_, frames), images = made.records["scalogram"][0], dict(made.records["images"])
    wanted = HopSpec(SOUND, IMAGES, strict)
    hops = hops_of(path, wanted)
    assert [hop.start for hop in hops] == list(images) == [0, 1, 2, 3]
    for k, hop in enumerate(hops):
        numbers = wanted.frames(k)
        numbers = numbers[numbers < len(frames)]
        assert hop.samples is not None and hop.view is not None
        found = BANK.log(magnitude(hop.samples, SOUND), SOUND.floor)
        np.testing.assert_array_equal(found, frames[numbers])
        assert hop.view.tolist() == [0] * len(numbers)
        (image,) = hop.images
        np.testing.assert_array_equal(image, images[k])


def test_hops_closer_together_than_their_windows_are_long(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.ts", 4.3)
    made = make_clip("clip", path, path, {"scalogram": SOUND, "images": IMAGES})
    (_, frames), images = made.records["scalogram"][0], dict(made.records["images"])
    wanted = HopSpec(SOUND, IMAGES, True, Fraction(3, 2), Fraction(1, 2))
    hops = hops_of(path, wanted)
    assert [(hop.start, hop.end) for hop in hops] == [(j / 2, j / 2 + 1.5) for j in range(7)]
    for j, hop in enumerate(hops):
        numbers = wanted.frames(j)
        numbers = numbers[numbers < len(frames)]
        assert hop.samples is not None and hop.view is not None
        found = BANK.log(magnitude(hop.samples, SOUND), SOUND.floor)
        np.testing.assert_array_equal(found, frames[numbers])
        seconds = (numbers * SOUND.hop + SOUND.window // 2) // RATE
        for second, row in zip(seconds.tolist(), hop.view.tolist(), strict=True):
            if second in images:
                np.testing.assert_array_equal(hop.images[row], images[second])
            else:
                assert row == -1


def test_a_model_of_one_modality(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.ts", 3.2)
    seen = hops_of(path, HopSpec(None, IMAGES))
    heard = hops_of(path, HopSpec(SOUND, None))
    both = hops_of(path, HopSpec(SOUND, IMAGES))
    assert [len(hops) for hops in (seen, heard, both)] == [3, 3, 3]
    for one, other, whole in zip(seen, heard, both, strict=True):
        assert one.samples is None and other.images == ()
        np.testing.assert_array_equal(one.images[0], whole.images[0])
        np.testing.assert_array_equal(other.samples, whole.samples)


def test_images_without_sound_are_their_own_clock(tmp_path: Path) -> None:
    both = write_av(tmp_path / "a.mp4", 3.2)
    silent = remuxed(both, tmp_path / "silent.mp4")
    made = make_clip("clip", None, silent, {"images": IMAGES})
    hops = hops_of(silent, HopSpec(None, IMAGES))
    assert [hop.start for hop in hops] == [key for key, _ in made.records["images"]] == [0, 1, 2]
    for hop, (_, image) in zip(hops, made.records["images"], strict=True):
        np.testing.assert_array_equal(hop.images[0], image)


class Source:
    """Sound and images put into a `HopMaker` by hand, and a wall clock."""

    def __init__(self, wanted: HopSpec, rate: int = RATE) -> None:
        self.items: list[Hop | Gap] = []
        self.wall = 100.0
        self.rate = rate
        self.maker = HopMaker(wanted, self.items.append, "cam", now=lambda: self.wall)

    def sound(self, start: float, seconds: float, lost: str = "", clock: float = 1.0) -> None:
        """Send sound in pieces of 0.1 s; the source's clock runs `clock` times as fast."""
        n = self.rate // 10
        for i in range(round(10 * seconds)):
            time = Fraction(start).limit_denominator(1000) + Fraction(i, 10) * Fraction(clock)
            self.wall += 0.1
            chunk = np.zeros((2, n), np.float32)
            self.maker.add_audio(AudioChunk(time, self.rate, chunk, lost if i == 0 else ""))

    def image(self, time: float, colour: int = 0, *, right: bool = True) -> None:
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), colour, np.uint8), format="rgb24")
        shown = Fraction(time).limit_denominator(1000)
        self.maker.add_frame(TimedFrame(shown, Fraction(0), frame if right else None))

    @property
    def gaps(self) -> list[tuple[float, float, str]]:
        return [(g.start, g.end, g.reason) for g in self.items if isinstance(g, Gap)]

    @property
    def starts(self) -> list[float]:
        return [item.start for item in self.items if isinstance(item, Hop)]


@pytest.fixture
def heard() -> Source:
    return Source(HopSpec(SOUND, None))


def test_an_answer_waits_for_no_more_than_its_frames() -> None:
    for strict, more in ((True, 0.0), (False, 0.2)):
        source = Source(HopSpec(SOUND, None, strict))
        source.sound(0, 0.9 + more)
        assert source.starts == []
        source.sound(0.9 + more, 0.1)
        assert source.starts == [0]


def test_a_gap_is_said_and_not_bridged(heard: Source) -> None:
    heard.sound(5, 2.5)
    heard.sound(9, 2.5)
    assert heard.starts == [0, 1, 4, 5]
    assert heard.gaps == [(2, 4, "its clock goes from 7.500 s to 9.000 s")]


def test_the_last_second_is_there_when_its_middle_is(heard: Source) -> None:
    heard.sound(0, 2.6)
    heard.maker.end_stretch("the end")
    assert heard.starts == [0, 1, 2]
    heard.wall += 4
    heard.sound(100, 1)  # its clock went on by far more than the wall's
    assert heard.gaps == [(3, pytest.approx(6.7, abs=1e-3), "the end")]


@pytest.mark.parametrize("to", [0.0, 500.0])
def test_a_clock_that_is_reset_is_a_gap_by_the_wall_clock(heard: Source, to: float) -> None:
    heard.sound(60, 2.5)
    heard.wall += 3
    heard.sound(to, 1)
    ((start, end, reason),) = heard.gaps
    assert (start, reason) == (2, f"its clock goes from 62.500 s to {to:.3f} s")
    assert end == pytest.approx(5.6, abs=1e-3)
    assert heard.starts == [0, 1, pytest.approx(5.6, abs=1e-3)]


def test_lost_sound_is_a_gap_however_little(heard: Source) -> None:
    heard.sound(0, 2)
    heard.sound(2.02, 2, lost="a part of its sound was lost on the way")
    assert heard.gaps == [(2, 2.02, "a part of its sound was lost on the way")]


def test_losses_that_add_up_are_a_gap_and_a_drifting_clock_is_none(heard: Source) -> None:
    heard.sound(0, 200, clock=1.0005)  # 0.1 s in 200 s, which two clocks may do
    assert heard.gaps == [] and len(heard.starts) == 200
    lossy = Source(HopSpec(SOUND, None))
    for i in range(4):
        lossy.sound(i * 2.02, 2)
    assert (
        len(lossy.gaps) == 1 and "its samples and its clock differ by 0.060 s" in lossy.gaps[0][2]
    )


def test_images_follow_a_drifting_clock() -> None:
    source = Source(HopSpec(SOUND, IMAGES))
    for second in range(300):  # an image 0.4 s after each second of the drifting clock
        source.image(second * 1.0005 + 0.4, second % 200)
        source.sound(second * 1.0005, 1, clock=1.0005)
    hops = [item for item in source.items if isinstance(item, Hop)]
    assert len(hops) > 290 and source.gaps == []
    images = [hop.images[0].tobytes() for hop in hops]
    assert len(set(images[:199])) > 190  # each second has its own, and none comes twice in a row
    assert all(one != other for one, other in pairwise(images))


def test_a_change_of_rate_is_a_gap(heard: Source) -> None:
    heard.sound(0, 2)
    heard.rate = 32_000
    heard.sound(2, 2)
    assert heard.gaps == [(2, 2, "its rate changed from 16000 to 32000 Hz")]
    assert heard.starts == [0, 1, 2, 3][: len(heard.starts)] and len(heard.starts) >= 3


def test_damaged_and_missing_images() -> None:
    source = Source(HopSpec(SOUND, IMAGES))
    for time in (0.0, 1.0):
        source.image(time)
    source.image(2.2, right=False)
    source.image(3.2)
    source.image(3.9)
    source.sound(0, 7)
    assert source.starts == [0, 1, 3]
    assert source.gaps == [(2, 3, "damaged image"), (4, 5, "no image in time")]


def test_a_frame_that_cannot_be_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise MediaError("undecodable", "the frame is to be turned by 45 degrees")

    monkeypatch.setattr(live_images, "rgb", refused)
    source = Source(HopSpec(SOUND, IMAGES))
    for time in (0.0, 1.2, 2.4):
        source.image(time)
    source.sound(0, 2)
    turned = "the frame is to be turned by 45 degrees"
    assert source.gaps == [(0, 1, turned), (1, 2, turned)]


def test_images_that_begin_late() -> None:
    source = Source(HopSpec(SOUND, IMAGES))
    source.sound(0, 1)
    for time in (1.2, 2.4, 3.4):
        source.image(time)
    source.sound(1, 2)
    assert source.gaps == [(0, 1, "no image")] and source.starts == [1, 2]


@pytest.mark.parametrize("first", ["sound", "pictures"])
def test_a_recording_that_is_played_again_and_again(first: str) -> None:
    """Its clock goes back by less than the limit of a reset of sound and images together."""
    source = Source(HopSpec(SOUND, IMAGES))

    def images(begin: float, count: int, colour: int) -> None:
        for i in range(count):
            source.image(begin + 0.2 * i, colour)

    images(0, 15, 10)
    source.sound(0, 3)
    if first == "sound":
        source.sound(0, 0.5)
        images(3, 2, 20)  # still of the first round
        images(0, 15, 30)
        source.sound(0.5, 2.5)
    else:
        images(3, 2, 20)
        images(0, 15, 30)
        source.sound(0, 3)
    source.maker.end_stretch("the end")
    hops = [item for item in source.items if isinstance(item, Hop)]
    assert [reason for _, _, reason in source.gaps if "clock goes from 3.000 s to 0" in reason]
    assert source.starts[:3] == [0, 1, 2]
    assert len(hops) >= 5
    old, new = hops[0].images[0].tobytes(), hops[-1].images[0].tobytes()
    assert old != new
    assert [hop.images[0].tobytes() == new for hop in hops] == [False] * 3 + [True] * (
        len(hops) - 3
    )


def test_sound_that_stops_while_images_go_on() -> None:
    source = Source(HopSpec(SOUND, IMAGES))
    source.sound(0, 1)
    with pytest.raises(MediaError, match="no sound for 10 s"):
        for i in range(200):
            source.image(i / 10)


@pytest.fixture
def either() -> Source:
    """Of a model that takes missing modalities."""
    return Source(HopSpec(SOUND, IMAGES, takes_missing=True))


def kinds(source: Source) -> list[tuple[float, bool, bool]]:
    """Return where each hop starts, and whether it has sound and images."""
    return [
        (item.start, item.samples is not None, bool(item.images))
        for item in source.items
        if isinstance(item, Hop)
    ]


def test_sound_that_stops_is_missing_until_it_comes_again(either: Source) -> None:
    for fifth in range(5 * 24):
        either.image(fifth / 5, fifth // 5)
        if not 12 <= fifth < 70:
            either.sound(fifth / 5, 0.2)
    assert kinds(either)[:2] == [(0, True, True), (1, True, True)]
    alone = [(second, False, True) for second in range(2, 14)]  # 0.4 s have no acoustic frame
    assert kinds(either)[2:14] == alone
    assert kinds(either)[14:18] == [(second, True, True) for second in range(14, 18)]
    assert either.gaps == [(14, 14, "its sound came again")]
    images = [item.images[0].tobytes() for item in either.items if isinstance(item, Hop)]
    assert len(set(images)) == len(images)  # each second has its own


def test_a_second_whose_sound_stops_within_it_has_what_came(either: Source) -> None:
    either.sound(0, 1.7)
    for i in range(40):
        either.image(i / 5)
    wanted = [(0, True, True), (1, True, True), *((k, False, True) for k in range(2, 11))]
    assert kinds(either) == wanted[:4]  # that of the fifth second may be late by so much
    either.sound(3.9, 0.1)  # of a time that was answered for
    assert kinds(either) == wanted[:4] and either.gaps == []
    for i in range(40, 60):
        either.image(i / 5)
    assert kinds(either) == wanted[:8]
    either.sound(11.3, 0.7)
    assert kinds(either) == wanted
    assert either.gaps == [(11, pytest.approx(11.3), "its sound came again")]
    for i in range(60, 70):
        either.image(i / 5)
    either.sound(12, 1)
    assert kinds(either)[11:] == [(pytest.approx(11.3), True, True)]


def test_a_source_of_both_that_sends_no_sound(either: Source) -> None:
    for i in range(50):
        either.image(i / 5)
    assert kinds(either) == [(second, False, True) for second in range(3)]
    either.sound(10, 4)
    seen = [(sound, image) for _, sound, image in kinds(either)]
    assert set(seen[3:]) == {(False, True), (True, False)}  # its images stop in turn
    assert seen == sorted(seen)


def test_images_that_stop_are_missing(either: Source) -> None:
    for second in range(10):
        if not 3 <= second < 6:
            for i in range(5):
                either.image(second + i / 5)
        either.sound(second, 1)
    # The last image before stays on show; that it did comes too late for the first second.
    assert kinds(either) == [(second, True, second != 3) for second in range(10)]
    assert either.gaps == []


@pytest.mark.parametrize(("to", "silent", "end"), [(0.0, 3.2, 5.4), (500.0, 502.2, 4.4)])
def test_a_clock_that_is_reset_and_sound_that_does_not_follow(
    either: Source, to: float, silent: float, end: float
) -> None:
    for i in range(10):
        either.image(100 + i / 5)
    either.sound(100, 2)
    for i in range(50):
        either.wall += 0.2
        either.image(to + i / 5)
    reason = f"its clock goes from 102.000 s to {silent:.3f} s"
    assert either.gaps == [(2, pytest.approx(end), reason)]  # by the wall clock
    assert kinds(either)[:2] == [(0, True, True), (1, True, True)]
    after = kinds(either)[2:]
    assert len(after) >= 3
    assert after == [(pytest.approx(end + k), False, True) for k in range(len(after))]


def test_images_beyond_the_end_of_the_sound_are_no_part_of_its_last_second() -> None:
    source = Source(HopSpec(None, ImageSpec(per_second=2)))
    for i in range(16):
        source.image(i / 5, i)
    source.sound(0, 2.6)
    source.maker.end_stretch("the end")
    assert [len(item.images) for item in source.items if isinstance(item, Hop)] == [2, 2, 1]


def test_a_clock_of_images_that_is_reset() -> None:
    source = Source(HopSpec(None, IMAGES))
    for second in (*range(4), *range(500, 504)):
        for i in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            source.wall += 0.2
            shown = Fraction(second) + Fraction(i, 5)
            source.maker.add_frame(TimedFrame(shown, Fraction(1, 5), frame), clocked=True)
    assert source.starts[:4] == [0, 1, 2, 3][: len(source.starts)]
    assert [reason for *_, reason in source.gaps] == ["its clock goes from 3.800 s to 500.000 s"]
    assert max(source.starts) < 9  # the gap is as long as the wall clock says


def test_what_is_held_is_bounded(heard: Source) -> None:
    source = Source(HopSpec(SOUND, IMAGES))
    for second in range(400):
        for i in range(10):
            source.image(second + i / 10)
        source.sound(second, 1)
        source.items.clear()
    maker = source.maker
    assert maker._images is not None and maker._stretch is not None
    assert len(maker._images._held) <= 2 and len(maker._images._ready) <= 3
    sound = maker._stretch.audio
    assert sound is not None and sound._samples.shape[1] < 4 * RATE


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: HopSpec(None, None), "hears, sees or both"),
        (lambda: HopSpec(SOUND, None, step=Fraction(1, 100)), "hop is 0.01 s; 0.1 to 60 s"),
        (lambda: HopSpec(SOUND, None, length=Fraction(0)), "window is 0 s; 0.1 to 60 s"),
    ],
)
def test_wrong_hops(make: Callable[[], HopSpec], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        make()
