"""What the store's file system must do, and what it may do."""

import fcntl
import os
import time
from pathlib import Path

import numpy as np

from avsc.features.specs import ImageSpec
from avsc.features.store.part import Record, read_part, write_part
from avsc.manifests.checks import CheckFailed
from avsc.manifests.files import flush_folder
from avsc.manifests.owners import GONE_AFTER
from avsc.preprocess.doctor.target import Target

LEAST_BYTES = 1 << 30
LEAST_FILES = 10_000
FLUSHED_BYTES = 8 << 20


def rename(target: Target) -> str:
    """Let a new file take an old one's place."""
    old, new = target.folder / "old", target.folder / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    new.replace(old)
    if new.exists() or old.read_bytes() != b"new":
        raise CheckFailed("a file was renamed over another, and the other is still there")
    return "a file takes another's place"


def flush(target: Target) -> str:
    """Flush a file and its folder to the disk."""
    begin = time.monotonic()
    with (target.folder / "flushed").open("wb") as file:
        file.write(bytes(FLUSHED_BYTES))
        file.flush()
        os.fsync(file.fileno())
    flush_folder(target.folder)
    seconds = time.monotonic() - begin
    return f"{FLUSHED_BYTES >> 20} MiB and their folder flushed in {seconds:.2f} s"


def part(target: Target) -> str:
    """Write a part of a store, and read it back."""
    data = np.arange(1000, dtype=np.uint8)
    path = target.folder / "000" / "part-00000.h5"
    write_part(path, ImageSpec(), ["clip"], [Record(0, 0, data)], np.empty(0, np.uint8))
    found = read_part(path)
    with path.open("rb") as file:
        file.seek(found.data_offset)
        if file.read(data.nbytes) != data.tobytes():
            raise CheckFailed("a part read back is not what was written")
    return "an HDF5 part is published and read back, without locks"


def locks(target: Target) -> str:
    """Lock a file in both of the usual ways."""
    with (target.folder / "locked").open("wb") as file:
        for lock in (fcntl.flock, fcntl.lockf):
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "files can be locked (nothing depends on it)"


def room(target: Target) -> str:
    """Ask for the room that is left."""
    left = os.statvfs(target.folder)
    free = left.f_bavail * left.f_frsize
    counted = left.f_files > 0  # some file systems have no bound
    text = f"{free / 1e9:.1f} GB free, " + (f"{left.f_favail} files" if counted else "any files")
    if free < LEAST_BYTES or (counted and left.f_favail < LEAST_FILES):
        raise CheckFailed(text)
    return f"{text} (your quota may be less)"


def clock(target: Target) -> str:
    """Compare the file system's clock with this machine's."""
    path = target.folder / "now"
    before = time.time()
    path.write_bytes(b"")
    ahead = path.stat().st_mtime - before
    text = f"the file system's clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) > GONE_AFTER / 10:
        raise CheckFailed(text)
    return text if abs(ahead) >= 1 else "the file system's clock agrees"


def data_set(target: Target) -> str:
    """Read the beginning of a recording, or of any file, under the data set's root."""
    assert target.root is not None, "only tried when a root was named"
    for folder, _, names in os.walk(target.root, onerror=_raise, followlinks=True):
        for name in names:
            with Path(folder, name).open("rb") as file:
                file.read(1 << 16)
            return f"{name} in {folder} can be read"
    raise CheckFailed(f"{target.root} holds no file")


def _raise(fault: OSError) -> None:
    raise fault
