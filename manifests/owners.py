"""The process that owns a temporary file or a claim, and whether it is gone.

Temporary files and claims name their owner, and their modification time is its heartbeat. An owner
is gone when it ran in this PID namespace and there is no such process, or when its heartbeat is ten
minutes away from now, before or after: a clock that was set back must not keep a dead owner's files
for ever. The judgement may err (a host that slept, clocks that differ); what rests on it must
therefore be harmless when it is wrong.

A PID namespace, here, is one boot of one kernel and one namespace of process numbers in it. The
host's name does not identify it: containers on several machines may share one.
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
def this_namespace() -> str:
    """Return this process's PID namespace, eight hexadecimal digits; empty if unknown."""
    try:
        namespace = f"{_BOOT.read_text()} {_NAMESPACE.readlink()}"
    except OSError:
        return ""
    return hashlib.sha256(namespace.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Owner:
    """A process in a PID namespace.

    Attributes:
        pid: its number there.
        namespace: see `this_namespace`; empty if unknown.
    """

    host: str
    pid: int
    namespace: str = ""

    @classmethod
    def this(cls) -> Self:
        """Return the calling process."""
        return cls(socket.gethostname(), os.getpid(), this_namespace())

    @classmethod
    def parse(cls, token: str) -> Self | None:
        """Return the owner that a token names, or None if it names none.

        >>> Owner.parse("4711@node-3.example+0a1b2c3d")
        Owner(host='node-3.example', pid=4711, namespace='0a1b2c3d')
        """
        match = _TOKEN.fullmatch(token)
        return cls(match[2], int(match[1]), match[3] or "") if match else None

    @property
    def token(self) -> str:
        """The owner as part of a file's name, without ``~`` and ``/``."""
        return f"{self.pid}@{self.host}" + (f"+{self.namespace}" if self.namespace else "")

    @property
    def is_here(self) -> bool:
        """Whether its process can be looked up from this one."""
        if self.namespace and this_namespace():
            return self.namespace == this_namespace()
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def is_gone(
    owner: Owner | None, heartbeat: float, now: float | None = None, bound: float = GONE_AFTER
) -> bool:
    """Return whether an owner is gone.

    Args:
        owner: None if unknown; the heartbeat alone then decides.
        heartbeat: seconds since 1970 of its last sign of life, such as a file's `st_mtime`.
        now: seconds since 1970; the present if None.
        bound: seconds without a heartbeat after which it is gone.
    """
    now = time.time() if now is None else now
    if abs(now - heartbeat) > bound:
        return True
    return owner is not None and owner.is_here and not _runs(owner.pid)


def age(pid: int) -> float | None:
    """Return for how many seconds a process of this namespace has run; None if unknown."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return None


def _runs(pid: int) -> bool:
    """Return whether there is such a process on this host; a zombie does not count."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
