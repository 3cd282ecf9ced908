"""What a run says while it works: lines, and where it is in its epoch.

On a terminal a live bar shows the epoch; elsewhere it is one plain line a minute, without carriage
returns, fit for a batch job's log. Every line also goes to the run's log.txt, with the time.
"""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from avsc.manifests import escape

LIVE, PLAIN = 0.5, 60.0
"""Seconds between two looks at the epoch, on a terminal and elsewhere."""


class Console:
    """Says lines and shows progress; a context manager.

    Args:
        plain_seconds: seconds between two lines of progress where there is no terminal.
        silent: say and log nothing, as one of several processes that train together.
    """

    def __init__(self, plain_seconds: float = PLAIN, *, silent: bool = False) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            transient=True,
            auto_refresh=False,
        )
        self._live = self._bar.console.is_terminal
        self._seconds = LIVE if self._live else plain_seconds
        self._silent = silent
        self._task: TaskID | None = None
        self._shown = time.monotonic()
        self._log: Path | None = None
        self._unlogged: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._bar.stop()

    def log_to(self, path: Path) -> None:
        """Append to a file what was and will be said."""
        if self._silent:
            return
        self._log = path
        self._write()

    def say(self, text: str) -> None:
        """Say one line."""
        if self._silent:
            return
        text = escape.terminal(text)
        if self._live:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text)
        self._unlogged.append(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")
        self._write()

    def due(self) -> bool:
        """Whether it is time to show progress again; to find out how far a run is may be costly."""
        return not self._silent and time.monotonic() - self._shown >= self._seconds

    def show(self, text: str, done: int, total: int) -> None:
        """Show that `done` of `total` batches are done."""
        self._shown = time.monotonic()
        if not self._live:
            self.say(f"{text}, batch {done} of {total}")
            return
        if self._task is None:
            self._task = self._bar.add_task(text, total=total)
            self._bar.start()
        self._bar.update(self._task, description=text, completed=done, total=total, refresh=True)

    def _write(self) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.writelines(self._unlogged)
            self._unlogged.clear()
