"""Validation splits: whole locations, shares, seeds, and what is refused."""

import csv
import io
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.label_spans import parse_spans
from avsc.manifests.tau2021 import read_tau2021
from avsc.train.fit.held_out import validation_rows
from avsc.train.settings.validation import Validation


def some_clips(sizes: dict[str, list[int]]) -> tuple[Clip, ...]:
    """Return clips of the training fold, by scene and numbers of clips of its locations."""
    return tuple(
        Clip(f"{scene}-{place}-{n:03}", scene, "a.wav", None, "train", "city", f"{scene}-{place}")
        for scene, counts in sorted(sizes.items())
        for place, count in enumerate(counts)
        for n in range(count)
    )


CLIPS = some_clips({"bus": [9, 3, 14, 7, 20, 8], "park": [5] * 12, "tram": [40, 2, 2, 30]})
ROWS = range(len(CLIPS))


@pytest.mark.parametrize("method", ["random", "location"])
def test_seeded_and_independent_of_order(method: Validation) -> None:
    train, held = validation_rows(CLIPS, ROWS, method, seed=3)
    assert sorted(train + held) == list(ROWS) and train == sorted(train) and held == sorted(held)
    assert validation_rows(CLIPS, list(reversed(ROWS)), method, seed=3) == (train, held)
    order = np.random.default_rng(0).permutation(len(CLIPS)).tolist()
    shuffled = [CLIPS[row] for row in order]
    _, other = validation_rows(shuffled, ROWS, method, seed=3)
    assert {shuffled[row].id for row in other} == {CLIPS[row].id for row in held}
    assert any(validation_rows(CLIPS, ROWS, method, seed=s)[1] != held for s in (4, 5))


def test_random_takes_the_fraction() -> None:
    for fraction in (0.1, 0.25):
        held = validation_rows(CLIPS, ROWS, "random", fraction)[1]
        assert len(held) == round(fraction * len(CLIPS))


@pytest.mark.parametrize("seed", range(10))
def test_where_labels_change_whole_locations_of_the_set_are_held_out(seed: int) -> None:
    """Label c occurs at two of ten locations only; both parts have some of it."""
    texts = ("0-2 a; 2-3 b", "0-3 b", "0-1 b; 1-3 a", "0-1 c; 1-3 a")
    clips = [
        Clip(f"{place}-{take}", None, "a.wav", None, None, None, f"p{place}",
             parse_spans(texts[3 if place in (4, 7) else (place + take) % 3], "here"))
        for place in range(10) for take in range(3)
    ]  # fmt: skip
    train, held = validation_rows(clips, range(30), "location", 0.3, seed)
    assert sorted(train + held) == list(range(30)) and len(held) == 9
    assert not {clips[row].location for row in train} & {clips[row].location for row in held}
    for part in (train, held):
        assert {label for row in part for label in clips[row].labels} == {"a", "b", "c"}


@settings(deadline=None)
@given(
    sizes=st.dictionaries(
        st.sampled_from(["bus", "park", "tram"]),
        st.lists(st.integers(1, 30), min_size=2, max_size=12),
        min_size=1,
    ),
    fraction=st.floats(0.02, 0.9),
    seed=st.integers(0, 9),
)
def test_locations_stay_whole_and_every_scene_is_in_both_parts(
    sizes: dict[str, list[int]], fraction: float, seed: int
) -> None:
    clips = some_clips(sizes)
    train, held = validation_rows(clips, range(len(clips)), "location", fraction, seed)
    assert sorted(train + held) == list(range(len(clips)))
    assert not {clips[row].location for row in train} & {clips[row].location for row in held}
    for part in (train, held):
        assert {clips[row].scene for row in part} == set(sizes)
    # Of each scene the share is off by at most its largest location.
    taken = Counter(clips[row].scene for row in held)
    for scene, counts in sizes.items():
        assert abs(taken[scene] - fraction * sum(counts)) <= max(counts)


def test_none_keeps_everything_for_training() -> None:
    assert validation_rows(CLIPS, [3, 1, 2], "none", fraction=0) == ([1, 2, 3], [])


def test_only_the_rows_given_are_divided() -> None:
    rows = [row for row in ROWS if CLIPS[row].scene != "park"]
    for method in ("random", "location"):
        train, held = validation_rows(CLIPS, rows, method)
        assert sorted(train + held) == rows


@pytest.mark.parametrize(
    "text",
    [
        "park-0-000\npark-0-001\n",
        "id\r\npark-0-001\r\npark-0-000\r\n\r\n",
        "filename_audio\tfilename_video\naudio/park-0-000.wav\tx\naudio/park-0-001.wav\tx\n",
        "\ufefffilename_audio,scene\naudio/park-0-000.wav,park\naudio/park-0-001.wav,park\n",
    ],
)
def test_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "val.csv").write_bytes(text.encode())
    _, held = validation_rows(CLIPS, ROWS, "file", file=tmp_path / "val.csv")
    assert {CLIPS[row].id for row in held} == {"park-0-000", "park-0-001"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_file_in_any_encoding_and_form(tmp_path: Path, encoding: str, form: str) -> None:
    names = ["café-1", "Ångström\u2028x", 'a,"b"']
    clips = [
        Clip(unicodedata.normalize(other, name), "bus", "a.wav", None, "train")
        for name, other in zip([*names, "d"], ("NFC", "NFD", "NFC", "NFC"), strict=True)
    ]
    text = io.StringIO()
    csv.writer(text).writerows([[unicodedata.normalize(form, name)] for name in ["id", *names]])
    (tmp_path / "val.csv").write_bytes(text.getvalue().encode(encoding))
    kept, held = validation_rows(clips, range(4), "file", file=tmp_path / "val.csv")
    assert (kept, held) == ([3], [0, 1, 2])


def test_file_in_an_encoding_that_does_not_say_so(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_bytes(b"id\ncaf\xe9-1\n")
    with pytest.raises(ManifestError, match=r"val\.csv, line 2: not UTF-8 text; save it as UTF-8"):
        validation_rows(CLIPS, ROWS, "file", file=tmp_path / "val.csv")


def test_faulty_file(tmp_path: Path) -> None:
    rows = [row for row in ROWS if CLIPS[row].id != "park-0-000"]
    path = tmp_path / "val.csv"
    path.write_text("id\npark-0-001\npark-0-000\n")
    with pytest.raises(ManifestError, match="line 3: 'park-0-000' is not of the training fold"):
        validation_rows(CLIPS, rows, "file", file=path)
    path.write_text("park-0-001\nother.wav\n")
    with pytest.raises(ManifestError, match=r"line 2: 'other\.wav' is no clip of this set"):
        validation_rows(CLIPS, rows, "file", file=path)
    path.write_text("id\n")
    with pytest.raises(SettingError, match="'file': 0 of 194 clips are for validation"):
        validation_rows(CLIPS, rows, "file", file=path)
    with pytest.raises(ManifestError, match=r"absent: cannot be read \(No such file"):
        validation_rows(CLIPS, rows, "file", file=tmp_path / "absent")
    with pytest.raises(SettingError, match="name the list with --validation-file"):
        validation_rows(CLIPS, rows, "file")


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([Clip("a", "bus", "a.wav", None)], "clip 'a' has no location. Choose --validation random"),
        (some_clips({"bus": [3, 4], "park": [5]}), "scene 'park' has the one location 'park-0'"),
        (
            [
                Clip(name, None, name, None, location="x", segments=parse_spans("0-1 bus", name))
                for name in "ab"
            ],
            "all clips have the one location 'x', so all would be missing from one part. Choose",
        ),
        (
            [
                Clip("a", "bus", "a.wav", None, location="x-1"),
                Clip("b", "park", "b.wav", None, location="x-1"),
            ],
            "location 'x-1' has the scenes 'bus' and 'park'",
        ),
    ],
)
def test_sets_that_cannot_be_split_by_location(clips: list[Clip], message: str) -> None:
    with pytest.raises(SettingError) as error:
        validation_rows(clips, range(len(clips)), "location")
    assert message in str(error.value)


def test_faulty_fraction() -> None:
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(SettingError, match="wanted between 0 and 1"):
            validation_rows(CLIPS, ROWS, "random", fraction)
    with pytest.raises(SettingError, match="'random': 0 of 195 clips"):
        validation_rows(CLIPS, ROWS, "random", 0.001)


@pytest.mark.real
def test_locations_of_the_real_lists(real_data: Path) -> None:
    clips = read_tau2021(real_data / "tau2021_meta").clips
    rows = [row for row, clip in enumerate(clips) if clip.fold == "train"]
    of_scene = Counter(clips[row].scene for row in rows)
    for seed in range(10):
        train, held = validation_rows(clips, rows, "location", seed=seed)
        assert sorted(train + held) == rows
        assert not {clips[row].location for row in train} & {clips[row].location for row in held}
        assert 0.08 < len(held) / len(rows) < 0.12
        taken = Counter(clips[row].scene for row in held)
        assert all(0.08 < taken[scene] / count < 0.12 for scene, count in of_scene.items())
    leaking = validation_rows(clips, rows, "random")
    assert {clips[row].location for row in leaking[0]} & {clips[row].location for row in leaking[1]}
