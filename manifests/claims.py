"""Claims: who is at work on something in a shared folder, so that no two do the same or collide.

A claim is a small file that names its owner, since when, and a random number, and is touched while
the owner lives. It is made where there is none, and taken from an owner who is gone
(`avsc.manifests.owners`); of several who try at once, one has it. What is published under a claim
should look first whether the claim still `holds`: it is lost when its owner slept past the bound
and another took it, or when the folder was renamed or removed.

Whether an owner elsewhere lives is judged by the clock of the file system, which stamps the
heartbeats, and not by comparing the clocks of hosts. Folders are claimed by `folder_claims`.
"""

import contextlib
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
    """Somebody else is at work there.

    Attributes:
        who: has it, in words.
    """

    def __init__(self, who: str, message: str) -> None:
        super().__init__(message)
        self.who = who


@dataclass(frozen=True)
class Claimant:
    """Who has a claim.

    Attributes:
        text: what the file holds.
        heartbeat: when it was last touched, by the file system's clock, seconds since 1970.
    """

    text: str
    heartbeat: float

    @property
    def owner(self) -> Owner | None:
        """The owner; None when it cannot be read."""
        return Owner.parse(self.text.partition(" ")[0])

    def __str__(self) -> str:
        return str(self.owner or "an unknown process")

    @property
    def at_length(self) -> str:
        """Who it is, and since when."""
        since = self.text.split(" ")[2:]
        return f"{self}, since {since[0]}" if since else str(self)

    def is_gone(self, folder: Path, bound: float) -> bool:
        """Tell whether the owner is gone; a folder of the file system is asked for its time."""
        now = _clock(folder)
        return self._is_younger(now) or (
            is_gone(self.owner, self.heartbeat, None, bound)
            and is_gone(self.owner, self.heartbeat, now, bound)
        )

    def _is_younger(self, now: float) -> bool:
        """Tell whether the owner's process began after the last heartbeat, so is another.

        A container that is started again may number its processes, and the kernel the container's
        namespace of process numbers, as before.
        """
        if self.owner is None or not self.owner.is_here:
            return False
        lived = age(self.owner.pid)
        return lived is not None and now - lived > self.heartbeat + ROUNDING


def read_claim(path: Path) -> Claimant | None:
    """Return who has a claim, gone or not; None when nobody has."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:  # asks an NFS server anew
            return Claimant(file.read(), os.fstat(file.fileno()).st_mtime)
    except OSError:
        return None


class Claim:
    """One claim of this process.

    Args:
        path: its file.
        bound: seconds without a heartbeat after which the claim of another is taken over.
    """

    def __init__(self, path: Path, bound: float = GONE_AFTER) -> None:
        self.path, self._bound = path, bound
        since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._text = f"{Owner.this().token} {secrets.token_hex(8)} {since}"
        self._made: list[Path] = []

    def take(self) -> Claimant | None:
        """Take the claim, from one who is gone too; return None, or who has it.

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
        """Whether it is still this process's."""
        for wait in (0.0, 0.1, 0.5):  # another who took it for a dead one's puts it back at once
            time.sleep(wait)
            found = read_claim(self.path)
            if found is not None:
                return found.text == self._text
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
        """Claim the folder anew after it was renamed, and give up the one that it is now.

        Raises:
            ClaimedError: another was quicker.
        """
        if other := self.take():
            raise ClaimedError(
                str(other), f"{self.path.parent}: begun meanwhile by {other.at_length}."
            )
        (aside / self.path.name).unlink(missing_ok=True)

    def beat(self) -> None:
        """Show that its owner lives."""
        found = read_claim(self.path)
        if found is not None and found.text == self._text:
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def give_up(self) -> None:
        """Take it away, and the folders that were made for it and are empty."""
        if self.holds():
            with contextlib.suppress(OSError):
                self.path.unlink()
                for folder in self._made:
                    folder.rmdir()

    def remove(self, other: Claimant) -> None:
        """Take away the claim of one who is gone, unless somebody else's is there by now."""
        aside = temporary_name(self.path)
        with contextlib.suppress(OSError):
            self.path.rename(aside)
            found = read_claim(aside)
            if found is not None and found.text != other.text and not self.path.exists():
                aside.rename(self.path)
            else:
                aside.unlink()

    def _create(self) -> bool:
        """Write the file where there is none; tell whether that was so."""
        folder = self.path.parent
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.path.open("x", encoding="utf-8") as file:
                file.write(self._text)
        except (FileExistsError, FileNotFoundError):  # the folder may just be tidied away
            return False
        self._made = made
        return True


def _clock(folder: Path) -> float:
    """Return what the file system's clock says; this host's where that cannot be asked."""
    probe = temporary_name(folder / "clock")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        return time.time()
    return now
