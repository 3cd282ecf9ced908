"""Atomic writes of folders: one that is published has all its files, or is not there."""

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avsc.manifests.errors import AvscError
from avsc.manifests.files import (
    REMEDIES,
    REMEDY,
    TEMPORARY,
    flush_folder,
    make_folder,
    reason_of,
    temporary_name,
)
from avsc.manifests.owners import Owner, is_gone


@contextmanager
def publish_folder(path: Path) -> Iterator[Path]:
    """Make a folder under a temporary name beside `path`; rename it to that when the body ends.

    Nothing is left of it after an exception. What killed processes left of the same folder is
    removed first.

    Args:
        path: the folder, which must not exist.

    Raises:
        AvscError: it exists, or cannot be made.
    """
    path = path.absolute()
    _refuse(path)
    temporary = temporary_name(path)
    try:
        _remove_stale(path)
        make_folder(path.parent)
        temporary.mkdir()
        yield temporary
        flush_folder(temporary)
        _refuse(path)  # an empty folder would be replaced
        temporary.rename(path)
        flush_folder(path.parent)
    except OSError as fault:
        raise AvscError(
            f"{path}: could not be made ({reason_of(fault)}). "
            f"{REMEDIES.get(fault.errno or 0, REMEDY)}, and run the command again."
        ) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise AvscError(f"{path}: exists, and is not overwritten. Remove it, or name another.")


def _remove_stale(path: Path) -> None:
    for other in path.parent.glob(f"{TEMPORARY}*~{path.name}"):
        token = other.name.removeprefix(TEMPORARY).partition("~")[0]
        with contextlib.suppress(OSError):
            if is_gone(Owner.parse(token), other.stat().st_mtime):
                shutil.rmtree(other, ignore_errors=True)
