"""Who made a file that is not finished, and whether they are gone.

Temporary files and claims on blocks carry their owner, a process on a host, and show that it lives
by their time of last change (the heartbeat). An owner is gone when it ran on this host and there is
no such process, or when its heartbeat is ten minutes away from now, before or after: a clock that
was set back must not keep a dead owner's things for ever. The judgement may err (a host that slept,
clocks that differ); what rests on it must therefore be harmless when it is wrong.
"""

import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Self

GONE_AFTER = 600.0  # seconds without a heartbeat
HEARTBEAT = 60.0  # seconds between two heartbeats of an owner that lives
_TOKEN = re.compile(r"(\d+)@([^~/]+)")


@dataclass(frozen=True)
class Owner:
    """A process on a host.

    Attributes:
        host: name of the host.
        pid: number of the process there.
    """

    host: str
    pid: int

    @classmethod
    def this(cls) -> Self:
        """Return the process that asks."""
        return cls(socket.gethostname(), os.getpid())

    @classmethod
    def parse(cls, token: str) -> Self | None:
        """Return the owner that a token names, or None when it is none.

        >>> Owner.parse("4711@node-3.example")
        Owner(host='node-3.example', pid=4711)
        """
        found = _TOKEN.fullmatch(token)
        return cls(found[2], int(found[1])) if found else None

    @property
    def token(self) -> str:
        """The owner as a piece of a file's name, without ``~`` and ``/``."""
        return f"{self.pid}@{self.host}"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def is_gone(owner: Owner | None, heartbeat: float, now: float | None = None) -> bool:
    """Tell whether an owner is gone.

    Args:
        owner: None when it is not known; the heartbeat alone then decides.
        heartbeat: seconds since 1970 of its last sign of life, such as a file's `st_mtime`.
        now: seconds since 1970; the present when None.
    """
    now = time.time() if now is None else now
    if abs(now - heartbeat) > GONE_AFTER:
        return True
    return owner is not None and owner.host == socket.gethostname() and not _runs(owner.pid)


def _runs(pid: int) -> bool:
    """Tell whether there is such a process on this host; one that ended unreaped is none."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
