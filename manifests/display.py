"""Messages and progress of both programs: a live bar on a terminal, plain lines elsewhere.

Plain lines come at intervals and without carriage returns, fit for the log of a batch job.
"""

import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from avsc.manifests import escape

LIVE_SECONDS = 0.5


class Display:
    """Prints messages and shows how far the work is; a context manager.

    Args:
        plain_seconds: seconds between two lines of progress where there is no terminal.
        stderr: print to standard error instead of standard output.
    """

    def __init__(self, plain_seconds: float, *, stderr: bool = False) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=stderr),
            transient=True,
            auto_refresh=False,
        )
        self._live = self._bar.console.is_terminal
        self._seconds = LIVE_SECONDS if self._live else plain_seconds
        self._stderr = stderr
        self._task: TaskID | None = None
        self._shown = time.monotonic()

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

    def say(self, text: str) -> None:
        """Print one line, above the bar if there is one."""
        text = escape.terminal(text)
        if self._live:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text, err=self._stderr)

    def due(self) -> bool:
        """Whether to show progress again; finding out how far the work is may be costly."""
        return time.monotonic() - self._shown >= self._seconds

    def draw(self, title: str, done: float, total: float, count: str, line: str) -> None:
        """Show that `done` of `total` is done.

        Args:
            title: in front of the bar.
            done: length of the bar.
            total: its full length.
            count: behind the bar, such as ``"3/7"``.
            line: printed instead of the bar where there is no terminal.
        """
        self._shown = time.monotonic()
        if not self._live:
            self.say(line)
            return
        if self._task is None:
            self._task = self._bar.add_task(title, total=total, count=count)
            self._bar.start()
        self._bar.update(
            self._task, description=title, completed=done, total=total, count=count, refresh=True
        )
