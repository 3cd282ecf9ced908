"""Paths of a list stay inside the data set's folder."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avsc.features.recording import read_recording
from avsc.manifests.clips import inside, located, missing_reason
from avsc.manifests.errors import ManifestError


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("audio/a\0.wav", "holds a NUL"),
        ("audio\\a.wav", "holds a backslash"),
        ("C:a.wav", "begins with a drive letter"),
        ("c:/audio/a.wav", "begins with a drive letter"),
        ("file:///audio/a.wav", "is an address"),
        ("file:audio/a.wav", "is an address"),
        ("s3://bucket/a.wav", "is an address"),
        ("/audio/a.wav", "is absolute"),
        ("//host/a.wav", "is absolute"),
        ("../a.wav", "leaves the data set's folder"),
        ("audio/../../a.wav", "leaves the data set's folder"),
        ("audio/..", "leaves the data set's folder"),
        (".", "names no file"),
    ],
)
def test_refused_paths(path: str, reason: str) -> None:
    with pytest.raises(ManifestError) as error:
        inside(path, "list.csv, line 3, clip 'a'")
    assert str(error.value).startswith(f"list.csv, line 3, clip 'a': path {path!r} {reason};")


@pytest.mark.parametrize("path", ["a.wav", "audio/..a.wav", "a..wav", "10:30.wav", "ä/ б.wav"])
def test_plain_paths_are_kept(path: str) -> None:
    assert inside(path, "list") == path


@given(st.lists(st.sampled_from(["a", "..", ".", "", "/", "C:", "\\", "b c", "\0"]), max_size=6))
def test_what_is_accepted_lies_inside(parts: list[str]) -> None:
    root = "/data/set"
    try:
        path = inside("/".join(parts), "list")
    except ManifestError:
        return
    reached = os.path.normpath(os.path.join(root, "/".join(parts)))  # noqa: PTH118
    assert reached.startswith(f"{root}/")
    assert reached == f"{root}/{path}"
    assert inside(path, "list") == path


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("folder", ["NFC", "NFD"])
@pytest.mark.parametrize("file", ["NFC", "NFD"])
def test_files_are_found_in_either_form(
    tmp_path: Path, listed: str, folder: str, file: str
) -> None:
    names = "áudio", "Ç 中 n\u0303.wav"
    place = tmp_path / unicodedata.normalize(folder, names[0])
    place.mkdir()
    (place / unicodedata.normalize(file, names[1])).write_text("this")
    path = unicodedata.normalize(listed, "/".join(names))
    assert located(tmp_path, path).read_text() == "this"
    other = unicodedata.normalize(listed, "áudio/ñ.wav")
    assert located(tmp_path, other) == tmp_path / other  # missing under the name that is listed
    assert located(tmp_path, "a/b.wav") == tmp_path / "a/b.wav"


def test_of_two_files_the_one_that_is_written_so_is_taken(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "é")).write_text(form)
    for form in ("NFC", "NFD"):
        assert located(tmp_path, unicodedata.normalize(form, "é")).read_text() == form


def test_names_that_no_file_can_have_are_not_there(tmp_path: Path) -> None:
    """A name that is too long, or a folder that may not be read, is the one clip's fault."""
    for name in ("ä" * 200 + ".wav", "é/" + 300 * "a"):
        (tmp_path / "é").mkdir(exist_ok=True)
        path = located(tmp_path, name)
        assert path == tmp_path / name
        assert read_recording(path).fault.code == "unreadable"  # type: ignore[union-attr]


def test_missing_reason_names_a_broken_links_target(tmp_path: Path) -> None:
    assert missing_reason(tmp_path / "a.wav") == "no such file"
    (tmp_path / "audio").symlink_to("/scratch/gone")
    reason = missing_reason(tmp_path / "audio/a.wav")
    assert reason == f"{tmp_path}/audio is a link to /scratch/gone, which is not there"
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    assert missing_reason(tmp_path / "linked/a.wav") == "no such file"
