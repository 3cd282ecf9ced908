"""Claims on blocks: which block is being made by which run, so that two do not do the same work.

A block is claimed by ``STORE/claims/<group>/<block>`` (`avsc.manifests.claims`). These claims only
advise: making a block twice is harmless, because a part is published by a rename and equal inputs
give equal bytes. A claim that cannot be written therefore stops nothing.
"""

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from avsc.features.store.layout import group
from avsc.manifests.claims import Claim, read_claim
from avsc.manifests.files import files_under
from avsc.manifests.owners import GONE_AFTER, HEARTBEAT

FOLDER = "claims"


def claim_file(store: Path, block: int) -> Path:
    """Return the path of a block's claim."""
    return store / FOLDER / group(block) / f"{block:05d}"


def claim_holder(store: Path, block: int) -> str | None:
    """Return who is making a block, in words, or None when nobody who lives is."""
    path = claim_file(store, block)
    claim = read_claim(path)
    return None if claim is None or claim.is_gone(path.parent, GONE_AFTER) else str(claim)


def claimed_blocks(store: Path) -> dict[int, str]:
    """Return who is making which block of a store, in words, of those who live."""
    return {block: maker for block in _blocks(store) if (maker := claim_holder(store, block))}


def remove_dead(store: Path) -> None:
    """Take away the claims of runs that are gone, and the folders that are empty then."""
    for block in _blocks(store):
        path = claim_file(store, block)
        claim = read_claim(path)
        if claim is not None and claim.is_gone(path.parent, GONE_AFTER):
            Claim(path).remove(claim)
            _tidy(store, block)


def _blocks(store: Path) -> list[int]:
    """Return the blocks that are claimed, by the living or the dead."""
    names = (path.name for path in files_under(store / FOLDER))
    return sorted(int(name) for name in names if name.isdigit())


def _tidy(store: Path, block: int) -> None:
    """Remove the folders of a claim that are empty."""
    for folder in claim_file(store, block).relative_to(store).parents[:-1]:
        with suppress(OSError):
            (store / folder).rmdir()


class BlockClaims:
    """The claims of one run; leaving the `with` block gives all of them up.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._held: dict[int, Claim] = {}
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
        claim = self._held.get(block) or Claim(claim_file(self._store, block))
        with suppress(OSError):
            if other := claim.take():
                return str(other)
            self._held[block] = claim
        return None

    def give_up(self, block: int) -> None:
        """Take a claim away, and the folders that are empty then."""
        claim = self._held.pop(block, None)
        if claim is not None:
            claim.give_up()
            _tidy(self._store, block)

    def beat(self) -> None:
        """Show that this run lives; to be called every few seconds."""
        if time.monotonic() - self._beaten < HEARTBEAT:
            return
        self._beaten = time.monotonic()
        for claim in self._held.values():
            claim.beat()
