"""Labels that change within a clip: read from a manifest, written back, and faults named."""

import doctest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avsc.features.store.identity import clips_digest
from avsc.manifests import label_spans
from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError
from avsc.manifests.label_spans import LabelSpan, encode_spans, parse_spans
from avsc.manifests.table import encode_table, name_warnings, read_rows, read_table

LABELS = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=";"), min_size=1)
TIMES = st.lists(st.integers(1, 10**9), min_size=1, max_size=5, unique=True).map(sorted)


def test_doctests() -> None:
    assert doctest.testmod(label_spans).failed == 0


@given(st.data(), TIMES)
def test_round_trip(data: st.DataObject, times: list[int]) -> None:
    """Whole microseconds are kept exactly."""
    ends = [time / 10**6 for time in times]
    names = data.draw(st.lists(LABELS, min_size=len(ends), max_size=len(ends)))
    names = [name.strip() or "x" for name in names]
    spans = tuple(map(LabelSpan, [0.0, *ends], ends, names))
    assert parse_spans(encode_spans(spans), "here") == spans


def test_a_manifest_needs_no_scenes_where_it_has_segments(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("id,audio,segments\nb,b.wav,0-4 quiet; 4-9.5 tram;\na,a.wav,0-10 quiet\n")
    found = read_table(path, tmp_path)
    assert found.classes == ("quiet", "tram")
    assert found.clips[1] == Clip(
        "b", None, "b.wav", None, segments=(LabelSpan(0, 4, "quiet"), LabelSpan(4, 9.5, "tram"))
    )
    assert [clip.labels for clip in found.clips] == [("quiet",), ("quiet", "tram")]
    path.write_bytes(encode_table(found.clips))
    assert tuple(read_rows(path)) == found.clips


def test_tables_and_digests_without_segments_are_as_before(tmp_path: Path) -> None:
    plain = Clip("a", "park", "a.wav", None)
    timed = Clip("b", None, "b.wav", None, segments=(LabelSpan(0, 1, "park"),))
    assert encode_table([plain]).splitlines()[0] == b"id,scene,audio,video,fold,city,location"
    path = tmp_path / "list.csv"
    path.write_bytes(encode_table([plain, timed]))
    assert read_rows(path) == [plain, timed]
    assert clips_digest(["park"], [plain]) == (
        "574c1d045679a0e718d35ac93aa7045650552293ae5bb6da165a5e9ac249af0a"
    )
    longer = Clip("b", None, "b.wav", None, segments=(LabelSpan(0, 2, "park"),))
    assert clips_digest(["park"], [timed]) != clips_digest(["park"], [longer])


@pytest.mark.parametrize(
    ("scene", "segments", "message"),
    [
        ("", "", "line 2: no id or no scene"),
        ("park", "0-4 park", "clip 'a' has a scene and segments, '0-4 park'; leave one of them"),
        ("", "park", "line 2, clip 'a': segment 'park' is not START-END LABEL, as in"),
        ("", "0-4", "segment '0-4' is not START-END LABEL"),
        ("", "0-4 park;; 4-5 tram", "segment '' is not START-END LABEL"),
        ("", "-1-4 park", "segment '-1-4 park' is not START-END LABEL"),
        ("", "0-4 park; 4-4 tram", "segment '4-4 tram' does not end after it begins"),
        ("", "0-4 park; 3.5-5 tram", "segment '3.5-5 tram' begins before .* ends, at 4 s"),
        ("", "0-4 park; 5-6 tram", "no segment covers 4 to 5 s"),
        ("", "1-4 park", "no segment covers 0 to 1 s"),
    ],
)
def test_faults(tmp_path: Path, scene: str, segments: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"id,scene,audio,segments\na,{scene},a.wav,{segments}\n")
    with pytest.raises(ManifestError, match=message):
        read_rows(path)


def test_labels_that_look_alike_are_pointed_out() -> None:
    spans = parse_spans("0-1 Tram; 1-2 tram", "here")
    (warning,) = name_warnings([Clip("a", None, "a.wav", None, segments=spans)])
    assert "'Tram' and 'tram'" in warning


def test_the_seconds_of_a_span_are_those_whose_middle_it_holds() -> None:
    cases = [(0, 1), (0.5, 1.5), (0.51, 2), (0.6, 1.4), (3.5, 3.6)]
    found = [(LabelSpan(*case, "x").first, LabelSpan(*case, "x").last) for case in cases]
    assert found == [(0, 1), (0, 1), (1, 2), (1, 1), (3, 4)]
