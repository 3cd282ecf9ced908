"""Publishing a file: whole or as it was before, whatever the file system answers."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stale import stale_file

from avsc.manifests.errors import AvscError
from avsc.manifests.files import publish, publish_all, remove_stale_files, temporary_name
from avsc.manifests.owners import GONE_AFTER, Owner

ERRORS = ("EIO", "ENOLCK", "ENOSYS", "ENOTSUP", "EAGAIN", "ENOSPC", "ESTALE")
FILE, FOLDER = "part.h5", "store"

PUBLISH = """
import errno, json, os, sys
from pathlib import Path
from avsc.manifests.errors import AvscError
from avsc.manifests.files import publish
path = Path(sys.argv[1])
found = {}
for rule in json.loads(sys.argv[2]):
    os.environ["FAILING"] = ""
    publish(path, b"before")
    os.environ["FAILING"] = rule
    try:
        publish(path, b"after" * 1000)
        said = ""
    except AvscError as fault:
        said = str(fault)
    os.environ["FAILING"] = ""
    found[rule] = said, path.read_bytes() == b"after" * 1000, os.listdir(path.parent)
print(json.dumps(found))
"""


def test_every_call_may_fail_in_every_way(
    failing: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """A file is written, or an error says why and the old one stays; nothing is left behind."""
    path = tmp_path / FOLDER / FILE
    numbers = {name: getattr(errno, name) for name in ERRORS}
    rules = {
        (call, name): f"{call}:{FOLDER}:{number}"
        for call in ("flock", "write", "fsync", "fsyncdir", "rename")
        for name, number in numbers.items()
    }
    rules |= {("write", "short"): f"write:{FOLDER}:short"}
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH, str(path), json.dumps(list(rules.values()))],
        env=failing(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    for (call, name), rule in rules.items():
        said, written, names = found[rule]
        harmless = call == "flock" or name == "short"
        harmless |= call == "fsyncdir" and name in ("ENOSYS", "ENOTSUP")
        assert names == [FILE], rule
        if harmless:
            assert (said, written) == ("", True), rule
        else:
            assert f"{path}: could not be written ({os.strerror(numbers[name])})" in said, rule
            assert "run the command again; what is already there is kept." in said
            assert written == (call == "fsyncdir"), rule  # renamed already, and whole


def test_threads_and_processes_never_share_a_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / FILE
    names = {temporary_name(path) for _ in range(1000)}
    assert len(names) == 1000
    faults = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                publish(path, bytes([number]) * 10_000)
        except AvscError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    assert len(set(path.read_bytes())) == 1


def test_stale_files_go_with_their_owner(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    host = Owner.this().host
    owners = {
        "living": f".tmp-{os.getpid()}@{host}~1~part.h5",
        "gone": f".tmp-{child.pid}@{host}~2~part.h5",
        "elsewhere": ".tmp-1@elsewhere~3~part.h5",
        "elsewhere and silent": ".tmp-1@elsewhere~4~part.h5",
        "unreadable": ".tmp-what",
    }
    folder = tmp_path / "images" / "000"
    folder.mkdir(parents=True)
    for name in owners.values():
        (folder / name).write_bytes(b"half")
    (folder / FILE).write_bytes(b"whole")
    past = time.time() - GONE_AFTER - 1
    os.utime(folder / owners["elsewhere and silent"], (past, past))
    assert remove_stale_files(tmp_path) == 2
    kept = {owners["living"], owners["elsewhere"], owners["unreadable"], FILE}
    assert {path.name for path in folder.iterdir()} == kept


def test_a_reports_files_take_the_place_of_what_a_killed_writer_left(tmp_path: Path) -> None:
    mine, theirs = stale_file(tmp_path, "report.md"), stale_file(tmp_path, "notes.md")
    files = {"metrics.csv": b"numbers", "report.md": b"words"}
    publish_all(tmp_path, files)
    assert not mine.exists() and theirs.exists()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p != theirs} == files


def test_folders_may_vanish_while_stale_files_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the folder of claims does, which another run removes when its last claim is given up."""
    (tmp_path / "claims").mkdir()
    real = os.scandir

    def scandir(folder: str) -> object:
        if Path(folder).name == "claims":
            Path(folder).rmdir()
        return real(folder)

    monkeypatch.setattr("os.scandir", scandir)
    assert remove_stale_files(tmp_path) == 0 and not (tmp_path / "claims").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AvscError, match=r"part\.h5: could not be written \(File exists: .*/file\)"):
        publish(tmp_path / "file" / FILE, b"")


def test_a_name_that_no_file_can_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(AvscError, match=r"a\.csv: could not be written \(.*too long\)\. Look"):
        publish(tmp_path / (300 * "a" + ".csv"), b"")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As root, a rename would put a file in the place of /dev/stdout."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(AvscError, match="could not be written: not a regular file"):
            publish(path, b"x")
    assert stat.S_ISFIFO(pipe.lstat().st_mode) and link.is_symlink()
    assert len(list(tmp_path.iterdir())) == 2
