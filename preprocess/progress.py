"""How far the work is: a live bar on a terminal, one plain line every so often elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_SECONDS = 30.0


class Reporter:
    """Shows clips done, rate, time left and failures, on standard error.

    Args:
        total: number of clips to be worked on.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failures = total, 0, 0
        self._begin = time.monotonic()
        self._said = self._begin
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "clips")
            shown = [TextColumn(c) if isinstance(c, str) else c for c in columns]
            rate = TextColumn("{task.fields[rate]}")
            self._bar = Progress(*shown, rate, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task("extract", total=total, rate="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, clips: int, failures: int) -> None:
        """Count a block that is done."""
        self.done += clips
        self.failures += failures
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=self._rate(now))
        elif now - self._said >= EVERY_SECONDS or self.done == self.total:
            self._said = now
            left = (now - self._begin) / max(self.done, 1) * (self.total - self.done)
            line = f"{self.done}/{self.total} clips, {self._rate(now)}, {left / 60:.0f} min left"
            print(line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _rate(self, now: float) -> str:
        rate = self.done / max(now - self._begin, 1e-9)
        failed = f", {self.failures} failures" if self.failures else ""
        return f"{rate:.2f} clips/s{failed}"
