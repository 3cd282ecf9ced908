"""A check: one thing that is tried, and what to do when it fails.

A check's function returns what it found, in words; it raises when the thing tried does not work.
The remedy is the check's own, so that every failure has one.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avsc.manifests.errors import AvscError

# What a trial may meet on a machine that is not as it should be.
FAULTS = (
    *(OSError, ImportError, ValueError, LookupError, RuntimeError),
    *(subprocess.SubprocessError, AvscError),
)


class UnwellError(Exception):
    """What was tried works, but not as extraction needs it."""


@dataclass(frozen=True)
class Patient:
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


@dataclass(frozen=True)
class Check:
    """One thing that is tried.

    Attributes:
        name: a word or two.
        attempt: tries it.
        remedy: what to do when it fails.
        needed: whether extraction depends on it; otherwise a failure is only told.
    """

    name: str
    attempt: Callable[[Patient], str]
    remedy: str
    needed: bool = True


@dataclass(frozen=True)
class Finding:
    """How a check went.

    Attributes:
        check: the check.
        works: whether what was tried works.
        text: what was found.
    """

    check: Check
    works: bool
    text: str

    @property
    def grave(self) -> bool:
        """Whether extraction would fail of it."""
        return self.check.needed and not self.works

    def __str__(self) -> str:
        mark = "ok  " if self.works else "FAIL" if self.check.needed else "note"
        remedy = "" if self.works else f" {self.check.remedy}"
        return f"{mark}  {self.check.name}: {' '.join(self.text.split())}.{remedy}"


def examine(patient: Patient, checks: Sequence[Check]) -> Iterator[Finding]:
    """Yield how each check goes; a check that fails keeps no other from being tried."""
    for check in checks:
        try:
            yield Finding(check, True, check.attempt(patient))
        except (UnwellError, *FAULTS) as fault:
            text = fault.strerror if isinstance(fault, OSError) else None
            yield Finding(check, False, (text or str(fault)).rstrip("."))


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
