"""Claims: which process works on something in a shared folder, so that no two collide.

A claim is a small file that names its owner, its start time and a random number, and is touched
while the owner lives. It is created where there is none, and taken over from an owner who is gone
(`avsc.manifests.owners`); if several try at once, one gets it. Before publishing under a claim,
check that it still `holds`: it is lost when its owner slept past the bound and another took it, or
when the folder was renamed or removed.

Whether an owner on another machine lives is judged by the clock of the file system, which stamps
the heartbeats, and not by comparing the clocks of hosts. Folders are claimed by `folder_claims`.
"""

import contextlib
import fcntl
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from avsc.manifests.errors import AvscError
from avsc.manifests.files import temporary_name
from avsc.manifests.owners import GONE_AFTER, Owner, age, is_gone

ATTEMPTS = 5
ROUNDING = 2.0  # seconds by which the time of a file may be off, as FAT's are


class ClaimedError(AvscError):
    """Another process is at work there.

    Attributes:
        who: that process, for the reader.
    """

    def __init__(self, who: str, message: str) -> None:
        super().__init__(message)
        self.who = who


@dataclass(frozen=True)
class Claimant:
    """The holder of a claim.

    Attributes:
        text: content of the file.
        heartbeat: when it was last touched, by the file system's clock, seconds since 1970.
    """

    text: str
    heartbeat: float

    @property
    def owner(self) -> Owner | None:
        """The owner; None if it cannot be read."""
        return Owner.parse(self.text.partition(" ")[0])

    def __str__(self) -> str:
        return str(self.owner or "an unknown process")

    @property
    def at_length(self) -> str:
        """The owner, and since when."""
        since = self.text.split(" ")[2:]
        return f"{self}, since {since[0]}" if since else str(self)

    def is_gone(self, folder: Path, bound: float) -> bool:
        """Return whether the owner is gone, by the clock of the file system of a folder."""
        now = _clock(folder)
        return self._is_younger(now) or (
            is_gone(self.owner, self.heartbeat, None, bound)
            and is_gone(self.owner, self.heartbeat, now, bound)
        )

    def _is_younger(self, now: float) -> bool:
        """Return whether the owner's process started after the last heartbeat, so is another.

        A restarted container may number its processes, and the kernel the container's PID
        namespace, as before.
        """
        if self.owner is None or not self.owner.is_here:
            return False
        lived = age(self.owner.pid)
        return lived is not None and now - lived > self.heartbeat + ROUNDING


def read_claim(path: Path) -> Claimant | None:
    """Return the holder of a claim, gone or not; None if there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:  # makes NFS ask the server
            return Claimant(file.read(), os.fstat(file.fileno()).st_mtime)
    except OSError:
        return None


class Claim:
    """One claim of this process.

    Args:
        bound: seconds without a heartbeat after which the claim of another is taken over.
    """

    def __init__(self, path: Path, bound: float = GONE_AFTER) -> None:
        self.path, self._bound = path, bound
        since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._text = f"{Owner.this().token} {secrets.token_hex(8)} {since}"
        self._made: list[Path] = []

    def take(self) -> Claimant | None:
        """Take the claim, also from an owner who is gone; return None, or the other holder.

        Raises:
            OSError: the file cannot be written.
        """
        other = None
        for _ in range(ATTEMPTS):
            if self._create():
                return None
            other = read_claim(self.path)
            if other is None:
                continue
            if other.text == self._text:
                return None
            if not other.is_gone(self.path.parent, self._bound):
                return other
            self.remove(other)
        return other or Claimant("", time.time())

    def holds(self) -> bool:
        """Whether this process still has it."""
        for wait in (0.0, 0.1, 0.5):  # a process that removed it by mistake puts it back at once
            time.sleep(wait)
            holder = read_claim(self.path)
            if holder is not None:
                return holder.text == self._text
        return False

    def check(self) -> None:
        """Raise an `AvscError` unless the claim holds."""
        if self.holds():
            return
        other = read_claim(self.path)
        why = f"it is claimed by {other.at_length}" if other else "its claim is gone"
        raise AvscError(
            f"{self.path.parent}: no longer this process's ({why}): it was renamed or removed, or "
            f"this process slept for more than {self._bound:.0f} s and another took over. Nothing "
            "more is written there; what was saved before is kept."
        )

    def follow(self, aside: Path) -> None:
        """Claim the folder's old path again after it was renamed to `aside`; give that one up.

        Raises:
            ClaimedError: another process was faster.
        """
        if other := self.take():
            raise ClaimedError(
                str(other), f"{self.path.parent}: started meanwhile by {other.at_length}."
            )
        (aside / self.path.name).unlink(missing_ok=True)

    def beat(self) -> None:
        """Update the heartbeat."""
        holder = read_claim(self.path)
        if holder is not None and holder.text == self._text:
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def give_up(self) -> None:
        """Remove the claim, and the folders that were made for it if they are empty."""
        if self.holds():
            with contextlib.suppress(OSError):
                self.path.unlink()
                for folder in self._made:
                    folder.rmdir()

    def remove(self, other: Claimant) -> None:
        """Remove the claim of an owner who is gone, unless another has taken it by now."""
        mode = "r+" if os.access(self.path, os.W_OK) else "r"  # NFS locks what may be written only
        with (
            contextlib.suppress(OSError),
            self.path.open(mode, encoding="utf-8", errors="replace") as file,
        ):
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)  # those who want to remove it do so in turn
            there = os.path.samestat(os.fstat(file.fileno()), self.path.stat())
            if there and file.read() == other.text:
                self._remove(other)

    def _remove(self, other: Claimant) -> None:
        aside = temporary_name(self.path)
        self.path.rename(aside)
        holder = read_claim(aside)
        if holder is not None and holder.text != other.text and not self.path.exists():
            aside.rename(self.path)
        else:
            aside.unlink()

    def _create(self) -> bool:
        """Create the file; return False if there is one."""
        folder = self.path.parent
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # another process has just removed one of the folders
            return False
        try:
            with self.path.open("x", encoding="utf-8") as file:
                file.write(self._text)
        except (FileExistsError, FileNotFoundError):  # the folder likewise
            return False
        self._made = made
        return True


def _clock(folder: Path) -> float:
    """Return the time of the file system's clock; this host's if that fails."""
    probe = temporary_name(folder / "clock")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        return time.time()
    return now
