"""Where the checks of extraction are tried."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """Where things are tried.

    Attributes:
        out: the store's folder, which need not exist yet.
        folder: a folder of our own on the file system of `out`.
        root: folder of the data set, or None when none was named.
        cluster: kind of batch system, or None when none was named.
    """

    out: Path
    folder: Path
    root: Path | None = None
    cluster: str | None = None


@contextmanager
def trial_folder(out: Path) -> Iterator[Path]:
    """Make a folder on the file system of `out`, in the nearest folder that exists; remove it.

    Raises:
        OSError: none can be made there.
    """
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.is_dir())
    prefix = f".avsc-doctor-{socket.gethostname()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(dir=place, prefix=prefix, ignore_cleanup_errors=True) as name:
        yield Path(name)
