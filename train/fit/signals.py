"""Being asked to stop: by a cluster (SIGTERM, SIGUSR1) or at the keyboard (SIGINT).

The first signal is only noted; the loop finishes its step, saves and exits with a status that says
that the run can be resumed. From then on signals have their usual effect, so that a second one ends
the program at once; files are written atomically, so that nothing is lost by that.
"""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from avsc.manifests.errors import AvscError

RESUMABLE = 75  # EX_TEMPFAIL: try again
STATUS = {signal.SIGTERM: RESUMABLE, signal.SIGUSR1: RESUMABLE, signal.SIGINT: 130}


class StoppedError(AvscError):
    """A signal asked to stop before there was anything of a run to save."""


class StopRequest:
    """Notes the first signal that asks to stop, while used as a context manager.

    Signals reach the main thread alone; the context must be entered there.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._note) for number in STATUS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def __bool__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    @property
    def status(self) -> int:
        """Exit status of a program that stopped for this reason."""
        return 0 if self.signal is None else STATUS[self.signal]

    @property
    def signal_name(self) -> str:
        """Name of the signal that came, such as ``"SIGTERM"``."""
        return "no signal" if self.signal is None else self.signal.name

    def check(self, where: str) -> None:
        """Raise a `StoppedError` if a signal came.

        Args:
            where: what was stopped and what is kept, for its text.
        """
        if self:
            fault = StoppedError(
                f"stopped by {self.signal_name} {where}. The same command resumes."
            )
            fault.exit_code = self.status
            raise fault

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()
        # Written past Python's streams, which the signal may have interrupted in mid-write.
        os.write(2, f"{self.signal_name}: stopping after this step; again: at once.\n".encode())

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
