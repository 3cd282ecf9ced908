"""Claims: which block is being made by which run, so that two runs do not do the same work.

A claim is a small file, ``STORE/claims/<group>/<block>``, that names its owner and is touched
while the owner lives. Claims only advise: making a block twice is harmless, because a part is
published by a rename and equal inputs give equal bytes. A claim that cannot be written therefore
stops nothing, and one whose owner is gone (`avsc.manifests.owners`) is taken over.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from avsc.features.store.layout import group
from avsc.manifests.errors import AvscError
from avsc.manifests.owners import HEARTBEAT, Owner, is_gone
from avsc.manifests.publish import files_under, publish

FOLDER = "claims"


def claim_file(store: Path, block: int) -> Path:
    """Return the path of a block's claim."""
    return store / FOLDER / group(block) / f"{block:05d}"


def claimant(store: Path, block: int) -> str | None:
    """Return who is making a block, in words, or None when nobody who lives is."""
    path = claim_file(store, block)
    try:
        heartbeat, owner = path.stat().st_mtime, Owner.parse(path.read_text())
    except OSError:
        return None
    return None if is_gone(owner, heartbeat) else str(owner or "an unknown process")


def claimed(store: Path) -> dict[int, str]:
    """Return who is making which block of a store, in words, of those who live."""
    return {block: maker for block in _blocks(store) if (maker := claimant(store, block))}


def remove_dead(store: Path) -> None:
    """Take away the claims of runs that are gone, and the folders that are empty then."""
    for block in _blocks(store):
        if claimant(store, block) is None:
            _remove(store, block)


def _blocks(store: Path) -> list[int]:
    """Return the blocks that are claimed, by the living or the dead."""
    names = (path.name for path in files_under(store / FOLDER))
    return sorted(int(name) for name in names if name.isdigit())


def _remove(store: Path, block: int) -> None:
    path = claim_file(store, block)
    with suppress(OSError):
        path.unlink()
        for folder in path.relative_to(store).parents[:-1]:
            (store / folder).rmdir()


class Claims:
    """The claims of one run; leaving the `with` block gives all of them up.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._store, self._owner = store, Owner.this()
        self._held: set[int] = set()
        self._beaten = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for block in tuple(self._held):
            self.give_up(block)

    def take(self, block: int) -> str | None:
        """Claim a block; return None, or who has it."""
        path = claim_file(self._store, block)
        with suppress(FileNotFoundError):  # its folder was just tidied away by another run
            if not self._create(path):
                if other := self._other(block):
                    return other
                with suppress(AvscError):
                    publish(path, self._owner.token.encode())
        self._held.add(block)
        return None

    def give_up(self, block: int) -> None:
        """Take a claim away, and the folders that are empty then."""
        self._held.discard(block)
        _remove(self._store, block)

    def beat(self) -> None:
        """Show that this run lives; to be called every few seconds."""
        if time.monotonic() - self._beaten < HEARTBEAT:
            return
        self._beaten = time.monotonic()
        for block in self._held:
            with suppress(OSError):
                os.utime(claim_file(self._store, block))

    def _create(self, path: Path) -> bool:
        """Write a claim where there is none; tell whether the block is free to be worked on."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(self._owner.token)
        except (FileExistsError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True

    def _other(self, block: int) -> str | None:
        other = claimant(self._store, block)
        return None if other == str(self._owner) else other
