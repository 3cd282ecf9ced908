"""Ctrl-C: once to stop cleanly, twice to exit at once; workers leave it to their driver."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

from avsc.manifests.errors import INTERRUPTED

NOTE = b"Stopping; what is made is kept. Ctrl-C again leaves at once.\n"


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first Ctrl-C unwind the `with` blocks inside, and the second end the process."""

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, second)
        os.write(2, NOTE)
        raise KeyboardInterrupt

    def second(number: int, frame: FrameType | None) -> None:
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Keep Ctrl-C from all threads that are started meanwhile, and so from their processes.

    A terminal sends it to every process of the group. Workers leave it to their driver, which ends
    them; they would each print where they were.
    """
    resource_tracker.ensure_running()  # later, in one of those threads, this would undo it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
