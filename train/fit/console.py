"""Progress and log messages of a run.

Every message also goes to the run's log.txt, with the time.
"""

import time
from pathlib import Path

from avsc.manifests import escape
from avsc.manifests.display import Display

PLAIN_SECONDS = 60.0


class Console(Display):
    """Prints messages, keeps them in a log, and shows the progress of an epoch.

    Args:
        plain_seconds: seconds between two lines of progress where there is no terminal.
        silent: print and log nothing, as one of several processes that train together.
    """

    def __init__(self, plain_seconds: float = PLAIN_SECONDS, *, silent: bool = False) -> None:
        super().__init__(plain_seconds)
        self._silent = silent
        self._log: Path | None = None
        self._unlogged: list[str] = []

    def log_to(self, path: Path) -> None:
        """Append all messages to a file, earlier ones too."""
        if self._silent:
            return
        self._log = path
        self._write()

    def say(self, text: str) -> None:
        """Print one line and log it."""
        if self._silent:
            return
        super().say(text)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._unlogged.append(f"{stamp} {escape.terminal(text)}\n")
        self._write()

    def due(self) -> bool:
        """Whether to show progress again; finding out how far a run is may be costly."""
        return not self._silent and super().due()

    def show(self, text: str, done: int, total: int) -> None:
        """Show that `done` of `total` batches are done."""
        self.draw(text, done, total, f"{done}/{total}", f"{text}, batch {done} of {total}")

    def _write(self) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.writelines(self._unlogged)
            self._unlogged.clear()
