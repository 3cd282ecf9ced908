"""Files that are either whole or absent.

A file is written under a temporary name in its own folder, flushed to the disk and renamed; the
folder is flushed last. A reader therefore never sees half a file, whatever kills the writer, and
two writers of the same file do no harm: the last rename wins. Temporary names carry the host and
the process, so that they are unique on a shared file system and their owner can be told.
"""

import os
import socket
from pathlib import Path

from avsc.manifests.errors import AvscError

TEMPORARY = ".tmp-"


def temporary_name(path: Path) -> Path:
    """Return the name that this process writes `path` under before it is whole."""
    return path.with_name(f"{TEMPORARY}{socket.gethostname()}-{os.getpid()}-{path.name}")


def occupied(folder: Path) -> bool:
    """Return whether a folder holds anything but files that a killed writer left unfinished."""
    return folder.is_dir() and any(not p.name.startswith(TEMPORARY) for p in folder.iterdir())


def publish(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that the file is whole or, after any fault, as it was before.

    Raises:
        AvscError: the file could not be written; names it and the reason.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as fault:
        temporary.unlink(missing_ok=True) if os.access(path.parent, os.W_OK) else None
        raise AvscError(
            f"{path}: could not be written ({fault.strerror or fault}). Make room or mend the "
            "permissions and run the command again; what is already there is kept."
        ) from fault


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
