"""Ctrl-C: once to stop cleanly, twice to leave at once; workers leave it to their driver."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from avsc.manifests.shell import INTERRUPTED

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


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C in a worker, which gets it too when it shares the driver's terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
