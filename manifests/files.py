"""Atomic file writes: a file is whole or absent.

A file is written under a temporary name in its own folder, flushed to the disk and renamed; the
folder is flushed last, and so is the parent of any folder that had to be made. A reader therefore
never sees half a file, whatever kills the writer, and two writers of the same file do no harm: the
last rename wins. Nothing is locked. Temporary names carry the host and the process, so that their
owner is known, and a random number, so that no two threads share one, nor two containers whose
hosts and processes are numbered alike. A temporary file is stale when its owner is gone.
"""

import contextlib
import csv
import errno
import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from avsc.manifests.errors import AvscError
from avsc.manifests.owners import Owner, is_gone

Piece: TypeAlias = bytes | memoryview

TEMPORARY = ".tmp-"
ENOTSUPP = 524  # the kernel's own "not supported", which some file systems let out
NO_FLUSH = (errno.ENOSYS, errno.ENOTSUP, ENOTSUPP, errno.EINVAL, errno.EBADF)
"""Errors of file systems that cannot flush a folder: it needs none, or they promise nothing."""

# Errors of a write that are no bug: a full disk, a limit, missing permission.
REMEDIES = {
    errno.ENOSPC: "Make room, or name another disk",
    errno.EDQUOT: "Make room within your quota, or name another disk",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f), or take smaller blocks",
    errno.EEXIST: "A file is in the way: name another folder",
    errno.ENOTDIR: "A file is in the way: name another folder",
    errno.EROFS: "Name a folder that may be written to",
    errno.EACCES: "Fix the permissions, or name another folder",
    errno.EPERM: "Fix the permissions, or name another folder",
}
REMEDY = "Look at the file system (`avsc-prep doctor` tries it out), or name another folder"


def temporary_name(path: Path) -> Path:
    """Return a new name, at each call, to write `path` under until it is whole."""
    return path.with_name(f"{TEMPORARY}{Owner.this().token}~{secrets.token_hex(4)}~{path.name}")


def occupied(folder: Path) -> bool:
    """Return whether a folder holds anything but temporary files."""
    return folder.is_dir() and any(not p.name.startswith(TEMPORARY) for p in folder.iterdir())


def publish(path: Path, *pieces: Piece, before: Callable[[], None] = lambda: None) -> None:
    """Write pieces, in order, so that the file is whole or, after an error, unchanged.

    Args:
        pieces: its content.
        before: called when all is written, before the rename; if it raises, the file is unchanged.

    Raises:
        AvscError: the file could not be written; names it and the reason.
    """
    temporary = temporary_name(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # A rename would put a file in the place of a device or a pipe, such as /dev/stdout.
            raise AvscError(f"{path}: could not be written: not a regular file. Name one.")
        make_folder(path.parent)
        with temporary.open("xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        before()
        temporary.replace(path)
        flush_folder(path.parent)
    except (OSError, AvscError) as fault:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(fault, AvscError):
            raise
        reason = reason_of(fault)
        if fault.filename not in (None, str(temporary), str(path)):
            reason += f": {fault.filename}"
        raise AvscError(
            f"{path}: could not be written ({reason}). "
            f"{REMEDIES.get(fault.errno or 0, REMEDY)}, and run the command again; what is already "
            "there is kept."
        ) from fault


def reason_of(fault: OSError) -> str:
    """Return the operating system's text for an error."""
    return os.strerror(fault.errno) if fault.errno else str(fault)


def publish_all(
    folder: Path, files: Mapping[str, Piece], before: Callable[[], None] = lambda: None
) -> None:
    """Write a folder's files in order, and remove stale temporary files of the same names.

    Args:
        files: name -> content.
        before: as in `publish`, for each.

    Raises:
        AvscError: a file could not be written; those before it are written.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.name.rpartition("~")[2] in files:
            _remove_if_stale(path)
    for name, data in files.items():
        publish(folder / name, data, before=before)


def csv_bytes(rows: Iterable[Iterable[object]], delimiter: str = ",") -> bytes:
    r"""Return rows as CSV in UTF-8, a newline after each; None is an empty cell.

    >>> csv_bytes([["id", "loss"], ["a, b", 0.5], ["c", None]])
    b'id,loss\n"a, b",0.5\nc,\n'
    """
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, so that each survives a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def remove(path: Path) -> None:
    """Remove a file, if it exists, so that it does not come back after a power cut."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as fault:
        if fault.errno not in NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


def files_under(folder: Path) -> Iterator[Path]:
    """Yield all files under a folder; unlike `rglob`, folders may vanish meanwhile."""
    for inner, _, names in os.walk(folder):
        yield from (Path(inner, name) for name in names)


def remove_stale_files(folder: Path) -> int:
    """Remove stale temporary files under a folder; return how many there were.

    A live writer that is mistaken for gone loses the file that it is writing, and reports it;
    published files are never touched.
    """
    return sum(map(_remove_if_stale, files_under(folder)))


def _remove_if_stale(path: Path) -> bool:
    """Remove a file if it is temporary and its owner is gone; return whether it was."""
    if not path.name.startswith(TEMPORARY):
        return False
    token = path.name.removeprefix(TEMPORARY).partition("~")[0]
    with contextlib.suppress(OSError):
        if is_gone(Owner.parse(token), path.stat().st_mtime):
            path.unlink()
            return True
    return False
