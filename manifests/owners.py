"""Who made a file that is not finished, and whether they are gone.

Temporary files and claims carry their owner, a process at a place, and show that it lives by their
time of last change (the heartbeat). An owner is gone when it ran at this place and there is no such
process, or when its heartbeat is ten minutes away from now, before or after: a clock that was set
back must not keep a dead owner's things for ever. The judgement may err (a host that slept, clocks
that differ); what rests on it must therefore be harmless when it is wrong.

A place is where process numbers mean the same: one start of one kernel, and in it one namespace of
process numbers. A host's name does not tell it: containers on several machines may share one.
"""

import functools
import hashlib
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

GONE_AFTER = 600.0  # seconds without a heartbeat
HEARTBEAT = 60.0  # seconds between two heartbeats of an owner that lives
_TOKEN = re.compile(r"(\d+)@([^~/+]+)(?:\+([0-9a-f]+))?")
_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


@functools.cache
def here() -> str:
    """Return the place of this process, eight hexadecimal digits; empty where none can be told."""
    try:
        place = f"{_BOOT.read_text()} {_NAMESPACE.readlink()}"
    except OSError:
        return ""
    return hashlib.sha256(place.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Owner:
    """A process at a place.

    Attributes:
        host: name of the host.
        pid: number of the process there.
        place: as `here` gives it; empty when it is not known.
    """

    host: str
    pid: int
    place: str = ""

    @classmethod
    def this(cls) -> Self:
        """Return the process that asks."""
        return cls(socket.gethostname(), os.getpid(), here())

    @classmethod
    def parse(cls, token: str) -> Self | None:
        """Return the owner that a token names, or None when it is none.

        >>> Owner.parse("4711@node-3.example+0a1b2c3d")
        Owner(host='node-3.example', pid=4711, place='0a1b2c3d')
        """
        found = _TOKEN.fullmatch(token)
        return cls(found[2], int(found[1]), found[3] or "") if found else None

    @property
    def token(self) -> str:
        """The owner as a piece of a file's name, without ``~`` and ``/``."""
        return f"{self.pid}@{self.host}" + (f"+{self.place}" if self.place else "")

    @property
    def is_here(self) -> bool:
        """Whether its number means a process that can be looked for from here."""
        if self.place and here():
            return self.place == here()
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def is_gone(
    owner: Owner | None, heartbeat: float, now: float | None = None, bound: float = GONE_AFTER
) -> bool:
    """Tell whether an owner is gone.

    Args:
        owner: None when it is not known; the heartbeat alone then decides.
        heartbeat: seconds since 1970 of its last sign of life, such as a file's `st_mtime`.
        now: seconds since 1970; the present when None.
        bound: seconds without a heartbeat after which it is gone.
    """
    now = time.time() if now is None else now
    if abs(now - heartbeat) > bound:
        return True
    return owner is not None and owner.is_here and not _runs(owner.pid)


def age(pid: int) -> float | None:
    """Return for how many seconds a process of this place has run; None where that is not known."""
    try:
        begun = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(begun) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return None


def _runs(pid: int) -> bool:
    """Tell whether there is such a process on this host; one that ended unreaped is none."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
