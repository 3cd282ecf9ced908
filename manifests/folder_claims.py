"""Claims on whole folders, for work that only one process at a time may do in them.

The claim is the file ``claim`` in the folder (`avsc.manifests.claims`); a thread touches it. For an
owner on another machine, another heartbeat is waited for before it counts as alive.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from avsc.manifests.claims import Claim, Claimant, ClaimedError
from avsc.manifests.errors import AvscError
from avsc.manifests.files import REMEDIES, REMEDY, Piece, publish_all, reason_of

NAME = "claim"
BEAT = 20.0  # seconds between two heartbeats
LAPSE = 180.0  # seconds without a heartbeat after which a claim is taken over
LOOK = 1.0  # seconds between two looks at a claim that is waited for


@contextlib.contextmanager
def claimed(
    folder: Path,
    doing: str,
    remedy: str,
    say: Callable[[str], None],
    *,
    wait: bool = False,
    keep_on: Callable[[], None] = lambda: None,
    option: str = "--out",
) -> Iterator[Claim]:
    """Claim a folder while the body runs.

    Args:
        folder: created if missing, and removed at the end if empty.
        doing: the work, for messages, such as ``"is being trained"``.
        remedy: what to do when another process has it, for messages.
        say: called with a message when it must wait.
        wait: wait until the other process is done, instead of raising.
        keep_on: called while waiting; what it raises ends the wait.
        option: that names another folder, for messages.

    Raises:
        ClaimedError: another process has it.
        AvscError: it cannot be written to.
    """
    claim = Claim(folder / NAME, LAPSE)
    try:
        _obtain(claim, doing, remedy, say, wait, keep_on)
    except OSError as fault:
        raise AvscError(
            f"{folder}: could not be written to ({reason_of(fault)}). "
            f"{REMEDIES.get(fault.errno or 0, REMEDY)}, by {option} say, and run the command again."
        ) from fault
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(claim, done), daemon=True)
    beating.start()
    try:
        yield claim
    finally:
        done.set()
        beating.join()
        claim.give_up()


def publish_together(folder: Path, files: Mapping[str, Piece]) -> None:
    """Write a folder's files as `publish_all`, never interleaved with another process.

    Raises:
        AvscError: a file cannot be written.
    """
    with claimed(folder, "files are written here", "", lambda text: None, wait=True) as claim:
        publish_all(folder, files, claim.check)


def _beat(claim: Claim, done: threading.Event) -> None:
    while not done.wait(BEAT):
        claim.beat()


def _obtain(
    claim: Claim,
    doing: str,
    remedy: str,
    say: Callable[[str], None],
    wait: bool,
    keep_on: Callable[[], None],
) -> None:
    """Take a claim as soon as its holder is gone, or done if `wait`."""
    seen: Claimant | None = None
    since = time.monotonic()
    while (other := claim.take()) is not None:
        lives = (seen is not None and seen != other) or (
            other.owner is not None and other.owner.is_here
        )
        if lives and not wait:
            text = f"{claim.path.parent}: {doing} by {other.at_length}. {remedy}"
            raise ClaimedError(str(other), text)
        if seen is None:
            until = "its end" if wait else f"a sign of life, {LAPSE:.0f} s at most"
            say(f"{claim.path.parent}: {doing} by {other.at_length}; waiting for {until}")
        if seen != other:
            seen, since = other, time.monotonic()
        elif time.monotonic() - since > LAPSE:
            claim.remove(other)
        keep_on()
        time.sleep(LOOK)
