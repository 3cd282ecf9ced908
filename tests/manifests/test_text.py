"""Text that users give: encodings, tables, and names that are one to a reader."""

import unicodedata
from pathlib import Path

import pytest

from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError, SettingError
from avsc.manifests.table import name_warnings, shared_locations
from avsc.manifests.text import alike, read_text, table_rows, trimmed

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
CAFE = "caf\u00e9"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_that_says_what_it_is(tmp_path: Path, encoding: str) -> None:
    path, text = tmp_path / "list", f"id,scene\r\na,{CAFE} 中\n"
    path.write_bytes(text.encode(encoding))
    assert read_text(path) == text
    if encoding == "utf-16":
        path.write_bytes(b"\xfe\xff" + text.encode("utf-16-be"))
        assert read_text(path) == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id\n1\ncaf\xe9\n", ", line 3: not UTF-8 text; save it as UTF-8."),
        ("id".encode("utf-16-le"), ": UTF-16 text without a byte order mark; save it as UTF-8."),
        ("id".encode("utf-16-be"), ": UTF-16 text without a byte order mark; save it as UTF-8."),
        (b"\xff\xfea", ": not whole UTF-16 text; save it as UTF-8."),
    ],
)
def test_what_is_no_such_text(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    for kind in (ManifestError, SettingError):
        with pytest.raises(kind) as fault:
            read_text(path, kind)
        assert str(fault.value) == f"{path}{message}"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_a_device_without_end_is_not_read_for_ever(device: str) -> None:
    with pytest.raises(ManifestError, match=rf"^{device}: not a file, and more than 64 MB .* N"):
        read_text(Path(device))
    assert read_text(Path("/dev/null")) == ""


def test_a_huge_cell_is_no_table() -> None:
    text = "a\tb\n" + "x" * 200_000 + "\t1\n"
    with pytest.raises(ManifestError, match=r"^list, line 2: not CSV: field larger than field lim"):
        list(table_rows(Path("list"), text, "\t"))


def test_what_is_alike_and_what_is_not() -> None:
    decomposed = unicodedata.normalize("NFD", CAFE)
    for one, other in (
        ("park", "Park"), ("park", " park\u00a0"), ("a  b", "a b"), (CAFE, decomposed),
        ("park", "pa\u200brk"), ("Straße", "STRASSE"), ("ｐark", "park"), ("ΐ", "ΐ".upper()),
    ):  # fmt: skip
        assert alike(one) == alike(other), (one, other)
    assert alike(CAFE) != alike("cafe") and alike("a b") != alike("ab")
    assert trimmed("\u3000\ufeff park \u200b\n") == "park" and trimmed("a b") == "a b"


def clip(number: int, **values: str) -> Clip:
    given = {"id": f"c{number}", "scene": "park", "audio": "a.wav", "video": None}
    return Clip(**{**given, **values})  # type: ignore[arg-type]


def test_nothing_is_doubted_in_a_list_as_it_should_be() -> None:
    clips = [
        clip(n, scene=scene, city="Lyon", location=f"lyon-{n}", fold="train")
        for n, scene in enumerate(("bus", "park", CAFE))
    ]
    assert name_warnings(clips) == [] and shared_locations(clips) == []


def test_doubts_name_what_was_found() -> None:
    clips = [
        clip(0, id="a", scene="Park", city="x ", location="x-1", fold="train"),
        clip(1, id="A", scene="park", city="x", location="x-1", fold="test"),
        clip(2, scene=CAFE, location="x-2", fold="train"),
        clip(3, scene=unicodedata.normalize("NFD", CAFE), location="x-3", fold="test"),
    ]
    alone = "differ by blanks, capitals or Unicode form alone"
    assert name_warnings(clips) == [
        f"scenes that {alone}: 'Park' and 'park'; 'cafe\\u0301' and 'caf\\xe9'; they count as "
        "different.",
        f"cities that {alone}: 'x' and 'x '; they count as different.",
        "cities with blanks at their ends: 'x '.",
        f"ids that {alone}: 'A' and 'a'; they count as different.",
        "1 location in both the training fold and the test fold: 'x-1'; figures on the test fold "
        "will be too good.",
    ]


def test_many_doubts_are_counted() -> None:
    both = [clip(n, location=f"x-{n // 2}", fold=("train", "test")[n % 2]) for n in range(10)]
    assert name_warnings(both) == [
        "5 locations in both the training fold and the test fold: 'x-0'; 'x-1'; 'x-2'; and 2 more; "
        "figures on the test fold will be too good."
    ]
