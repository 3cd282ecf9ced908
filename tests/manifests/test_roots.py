"""Paths of a list stay inside the data set's folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avsc.manifests.errors import ManifestError
from avsc.manifests.roots import inside, missing_reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("audio/a\0.wav", "holds a NUL"),
        ("audio\\a.wav", "holds a backslash"),
        ("C:a.wav", "begins with a drive letter"),
        ("c:/audio/a.wav", "begins with a drive letter"),
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


def test_missing_reason_names_a_broken_links_target(tmp_path: Path) -> None:
    assert missing_reason(tmp_path / "a.wav") == "no such file"
    (tmp_path / "audio").symlink_to("/scratch/gone")
    reason = missing_reason(tmp_path / "audio/a.wav")
    assert reason == f"{tmp_path}/audio is a link to /scratch/gone, which is not there"
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    assert missing_reason(tmp_path / "linked/a.wav") == "no such file"
