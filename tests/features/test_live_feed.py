"""Live sources on loopback, sent by a second process: answered at once, found again, given up."""

import gc
import socket
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from live_media import free_port, sent, write_av, write_long
from videos import remuxed

from avsc.features.live import connection as live_connection
from avsc.features.live import feed as live_feed
from avsc.features.live.address import parse_addresses
from avsc.features.live.feed import TOO_SLOW, Feed, FeedSettings, Note, _Queue, too_slow
from avsc.features.live.hop import Gap, Hop, HopSpec
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.manifests.errors import MediaError

SOUND, IMAGES = ScalogramSpec(), ImageSpec()
BOTH = HopSpec(SOUND, IMAGES)
LATE = 0.5
"""Seconds after the end of a second by which its hop is there, at best: whatever else the machine
does comes on top."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_av(tmp_path_factory.mktemp("live") / "a.ts", 9)


def watched(
    address: str, settings: FeedSettings, count: int = 1000
) -> tuple[list[Hop | Gap | Note], list[float], str]:
    """Return what comes of a source, how late each hop came, and the error it ended with."""
    items: list[Hop | Gap | Note] = []
    late: list[float] = []
    with Feed(parse_addresses(address), BOTH, settings) as feed:
        try:
            for item in feed:
                items.append(item)
                if isinstance(item, Hop):
                    late.append(time.monotonic() - item.due)
                    count -= 1
                if not count:
                    break
        except MediaError as fault:
            return items, late, str(fault)
    return items, late, ""


@pytest.mark.parametrize("protocol", ["http", "udp"])
def test_a_stream_is_answered_as_it_comes(protocol: str, recording: Path) -> None:
    with sent(protocol, recording, [(0, 9, 0, 0)]) as address:
        items, late, fault = watched(address, FeedSettings(), count=3)
    assert fault == ""
    assert [item.start for item in items if isinstance(item, Hop)] == [0, 1, 2]
    assert min(late) < LATE


def test_a_stream_that_breaks_off_is_connected_again(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "PAUSES", (1, 1000))  # the second is more than is waited for
    pieces = [(0.0, 2.0, 0.0, 0.0), (3.0, 5.0, 7.0, 0.0)]
    with sent("http", recording, pieces, pace=2) as address:
        items, _, fault = watched(address, FeedSettings(give_up=600))
    hops = [item for item in items if isinstance(item, Hop)]
    (gap,) = (item for item in items if isinstance(item, Gap) and "broke off" in item.reason)
    notes = [item.text for item in items if isinstance(item, Note)]
    assert [hop.start for hop in hops[:2]] == [0, 1]
    assert len(hops) == 4
    assert gap.start == 2
    assert [hop.start for hop in hops[2:]] == pytest.approx([gap.end, gap.end + 1])
    assert 2.9 < gap.end < 20  # the pause of 1 s, and what was waited for
    assert notes[0].endswith("broke off (input/output error); connecting again in 1 s.")
    assert "server returned 5xx" in fault and "at most 600 (--give-up)" in fault
    with sent("http", recording, [(0, 2, 0, 0)], pace=4) as address:
        _, _, fault = watched(address, FeedSettings(reconnect=False))
    assert "broke off" in fault


def test_a_clock_that_begins_anew(recording: Path) -> None:
    pieces = [(0.0, 2.0, 1000.0, 0.0), (4.0, 7.0, 0.0, 0.0)]
    with sent("udp", recording, pieces, pace=2) as address:
        items, _, _ = watched(address, FeedSettings(), count=4)
    hops = [item for item in items if isinstance(item, Hop)]
    gaps = [item for item in items if isinstance(item, Gap)]
    assert [hop.start for hop in hops[:2]] == [0, 1] and len(hops) == 4
    assert gaps and gaps[0].start == 2 and gaps[0].end < 10
    assert hops[2].start >= gaps[0].end


def test_a_source_that_never_starts(recording: Path) -> None:
    began = time.monotonic()
    _, _, fault = watched(f"udp://127.0.0.1:{free_port()}", FeedSettings(timeout=1))
    assert "nothing that can be decoded came within 1 s (--timeout); wanted a source" in fault
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        _, _, fault = watched(f"http://127.0.0.1:{taken.getsockname()[1]}/a.ts", FeedSettings())
        assert "connection refused; wanted a source that is running" in fault
        taken.listen()
        _, _, fault = watched(
            f"http://127.0.0.1:{taken.getsockname()[1]}/a.ts", FeedSettings(timeout=1)
        )
    assert "nothing that can be decoded came within 1 s" in fault
    assert time.monotonic() - began < 60


def test_unsuitable_sources(tmp_path: Path) -> None:
    mono = write_av(tmp_path / "mono.ts", 1.2, channels=1)
    with sent("http", mono, [(0, 9, 0, 0)]) as address:
        assert "mono; wanted stereo" in watched(address, FeedSettings())[2]
    _, _, fault = watched(str(mono), FeedSettings(pace=None))
    assert fault.startswith(f"{mono}: mono; wanted stereo")
    text = tmp_path / "text.ts"
    text.write_text("no recording")
    assert "invalid data found" in watched(str(text), FeedSettings(pace=None))[2]
    whole = write_av(tmp_path / "a.mkv", 3)
    avi = write_av(tmp_path / "a.avi", 1.2, codecs=("mpeg4", "aac"))
    fault = watched(str(avi), FeedSettings(pace=None))[2]
    assert fault.startswith(f"{avi}: AVI does not say when its video frames are on show; put it")
    silent = remuxed(whole, tmp_path / "silent.mkv")
    fault = watched(str(silent), FeedSettings(pace=None))[2]
    assert fault == f"{silent}: holds video, no sound; the model was trained on sound."


def test_a_file_is_read_at_its_pace(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_feed, "PATIENCE", 60.0)  # however slow the machine, nothing is dropped
    began = time.monotonic()
    items, late, fault = watched(str(recording), FeedSettings(pace=4))
    assert fault == "" and [item.start for item in items if isinstance(item, Hop)] == list(range(9))
    assert 2.0 < time.monotonic() - began < 9
    assert min(late) < LATE


def test_a_file_that_is_cut_off_is_answered_up_to_there(recording: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(write_av(tmp_path / "a.mkv", 4).read_bytes()[:60_000])
    items, _, _ = watched(str(cut), FeedSettings(pace=None))
    assert 1 <= sum(isinstance(item, Hop) for item in items) < 4


def hop(start: float) -> Hop:
    return Hop(start, start + 1, 1.0, 0.0, np.zeros((2, 8192), np.float32))


def test_whoever_is_too_slow_misses_whole_hops_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(live_feed.time, "monotonic", lambda: now)
    queue = _Queue(blocking=False)
    for start in range(7):
        now = float(start)
        queue.put(hop(start))
        if start == 2:
            queue.put(Gap(3, 3.5, "lost"))
    queue.put(too_slow(hop(7)))
    queue.close()
    now = 7.5
    items: list[Hop | Gap | Note] = []
    while (item := queue.get()) is not None:
        items.append(item)
    spans = [(i.start, i.end, i.reason) for i in items if isinstance(i, Gap)]
    assert spans == [(0, 3, TOO_SLOW), (3, 3.5, "lost"), (3, 5, TOO_SLOW), (7, 8, TOO_SLOW)]
    assert [i.start for i in items if isinstance(i, Hop)] == [5, 6]


def test_a_burst_is_answered_whole_and_never_more_is_held() -> None:
    queue = _Queue(blocking=False)
    for start in range(100):
        queue.put(hop(start))
    queue.close()
    items = [queue.get() for _ in range(1 + live_feed.MOST)]
    assert items[0] == Gap(0, 100 - live_feed.MOST, TOO_SLOW)
    assert all(isinstance(item, Hop) for item in items[1:]) and queue.get() is None


def test_nothing_is_dropped_where_the_reader_waits() -> None:
    queue = _Queue(blocking=True)
    writer = threading.Thread(target=lambda: [queue.put(hop(start)) for start in range(9)])
    writer.start()
    starts = []
    for _ in range(9):
        item = queue.get()
        assert isinstance(item, Hop)
        starts.append(item.start)
    writer.join()
    assert starts == list(range(9))


def test_slow_answers_never_lag_without_bound(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "PATIENCE", 0.4)
    items: list[Hop | Gap | Note] = []
    late = []
    with Feed(parse_addresses(str(recording)), BOTH, FeedSettings(pace=6)) as feed:
        for item in feed:
            items.append(item)
            if isinstance(item, Hop):
                late.append(time.monotonic() - item.due)
                time.sleep(0.5)  # three seconds of the source
    spans = [(item.start, item.start + 1) for item in items if isinstance(item, Hop)]
    spans += [(item.start, item.end) for item in items if isinstance(item, Gap)]
    assert any(isinstance(item, Gap) and item.reason == TOO_SLOW for item in items)
    assert sum(end - start for start, end in spans) == 9  # every second is answered or counted
    assert max(late) < 2.5  # and 3 s, were each second answered


def test_a_file_that_cannot_be_decoded_at_its_pace(recording: Path) -> None:
    """At ten thousand times its pace the decoder is late at once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live_feed, "PATIENCE", 0.0)
        items, _, _ = watched(str(recording), FeedSettings(pace=10_000))
    assert all(isinstance(item, Gap) and item.reason == TOO_SLOW for item in items)
    assert sum(item.end - item.start for item in items if isinstance(item, Gap)) == 9


def test_a_decoder_that_never_waits_for_data_is_told(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "BUSY", 0.5)
    monkeypatch.setattr(live_connection, "IDLE", 1e9)
    with sent("http", recording, [(0, 9, 0, 0)], pace=2) as address:
        _, _, fault = watched(address, FeedSettings(give_up=0))
    assert "decoding takes longer than the source" in fault


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """One second is 360 kB when decoded; nothing waits for the collector of cycles."""
    path = write_long(tmp_path / "long.ts", turns=12)
    process, used = psutil.Process(), []
    gc.disable()
    try:
        with Feed(parse_addresses(str(path)), BOTH, FeedSettings(pace=None)) as feed:
            for item in feed:
                assert isinstance(item, Hop)
                used.append(process.memory_info().rss)
    finally:
        gc.enable()
    assert len(used) == 192
    assert min(used[150:]) - used[40] < 5_000_000
