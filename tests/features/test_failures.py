"""failures.csv: whatever is written is read again, and a message is one line of bounded length."""

import csv
from contextlib import nullcontext
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import pytest
from media import noise, write_wav
from stores import small_store
from videos import drawn, write_video

from avsc.features.clip import make_clip
from avsc.features.recording import read_recording
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.features.store.failures import Failure, encode_failures, read_failures
from avsc.features.store.index import read_index, write_index
from avsc.features.store.layout import failures_file, read_description
from avsc.features.store.reader import Store
from avsc.features.store.verify import verify
from avsc.manifests.errors import MAX_MESSAGE, DamagedError


def failure(message: str) -> Failure:
    return Failure("clip", "images", None, "pictures", "too-short", message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        'v.mp4: "quoted", with commas; and a semicolon',
        "two\nlines\r\nand a\rthird, \x00 and \x1b[31m",
        "a file name that is no UTF-8: \udcff\udcfe.wav",
        "long " * 100_000,
        "=1+1",
        "métro, 地下鉄, \u2028 and \x85",
    ],
)
def test_what_is_written_is_read(tmp_path: Path, message: str) -> None:
    path, written = tmp_path / "failures.csv", (failure(message), failure("another"))
    path.write_bytes(encode_failures(written))
    assert read_failures(path) == written
    kept = written[0].message
    assert len(kept) <= MAX_MESSAGE and kept.count("\n") == 0 and kept == failure(kept).message


def test_a_long_message_keeps_what_failed_and_what_to_do() -> None:
    kept = failure("v.mp4: " + "x" * 10**6 + "; leave it out.").message
    assert len(kept) == MAX_MESSAGE
    assert kept.startswith("v.mp4: xxx") and kept.endswith("xxx; leave it out.") and " … " in kept


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Return a store whose messages hold a file, as version 0.1.0 wrote it."""
    store = small_store(tmp_path / "store", failed=(3,))
    rows = [astuple(each) for each in Store.open(store).failures]
    tables = read_index(store).tables
    long = [(*row[:-1], f"{bytes(100_000)!r}: ends before 0.5 s; leave it out.") for row in rows]
    with failures_file(store).open("w", newline="") as file:
        csv.writer(file).writerows([[each.name for each in fields(Failure)], *long])
    write_index(store, read_description(store), tables)
    return store


def test_a_store_whose_messages_held_a_file_opens(spoilt: Path) -> None:
    """They are beyond the 131,072 characters that csv reads on its own."""
    opened = Store.open(spoilt)
    assert {each.clip for each in opened.failures} == {opened.clips[3].id}
    for each in opened.failures:
        assert len(each.message) == MAX_MESSAGE
        assert each.message.endswith("ends before 0.5 s; leave it out.")
    assert verify(spoilt).problems == ()
    assert csv.field_size_limit() == 131_072


def test_verify_opens_what_readers_open(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no reader can open is not sound."""
    monkeypatch.setattr("avsc.features.store.failures._cells_of_any_length", nullcontext)
    for read in (Store.open, verify):
        with pytest.raises(DamagedError, match=r"failures.csv: damaged .* extract` again"):
            read(spoilt)


def test_a_clip_too_short_for_anything_is_named_not_printed(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", noise(1, 19_200))
    rng = np.random.default_rng(1)
    video = write_video(tmp_path / "v.mp4", drawn(4, rng), rate=10)
    other = write_video(tmp_path / "w.mp4", drawn(20, rng), rate=10)
    specs = {"scalogram": ScalogramSpec(), "images": ImageSpec()}
    short = "ends before 0.5 s, where its first image would be; leave it out."
    for images in (video, other):
        assert [each.message for each in make_clip("a", sound, images, specs).failures] == [
            f"{sound}: 0.400 s of sound; one window needs 0.512 s. Nothing is padded: leave the "
            "clip out.",
            f"{images}: the clip {short}",
        ]
    (alone,) = make_clip("a", None, video, {"images": ImageSpec()}).failures
    assert alone.message == f"{video}: the clip {short}"


def test_a_recording_in_a_message_is_short(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", noise(2, 480_000))
    text = f"{read_recording(path)}"
    assert str(path) in text and len(text) < 500
