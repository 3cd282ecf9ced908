"""Folders that are published whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from avsc.manifests.errors import AvscError
from avsc.manifests.files import temporary_name
from avsc.manifests.folders import publish_folder


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with publish_folder(tmp_path / "new" / "a") as folder:
        (folder / "file").write_text("1")
        assert not (tmp_path / "new" / "a").exists()
    assert (tmp_path / "new" / "a" / "file").read_text() == "1"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def test_nothing_is_left_after_a_fault(tmp_path: Path) -> None:
    with pytest.raises(KeyError), publish_folder(tmp_path / "a") as folder:
        (folder / "file").write_text("1")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AvscError, match=r"a: could not be made .No space left.*Make room"):  # noqa: SIM117
        with publish_folder(tmp_path / "a"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_exists_is_kept(tmp_path: Path, when: str) -> None:
    if when == "before":
        (tmp_path / "a").mkdir()
    with pytest.raises(AvscError, match="a: exists, and is not overwritten"):  # noqa: SIM117
        with publish_folder(tmp_path / "a") as folder:
            (folder / "file").write_text("1")
            (tmp_path / "a").mkdir()
    assert list((tmp_path / "a").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    mine = temporary_name(tmp_path / "a")
    theirs = tmp_path / mine.name.replace(f"{os.getpid()}@", "4194304@")  # above every pid
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "file").write_text("1")
    with publish_folder(tmp_path / "a"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([mine, tmp_path / "a"])
