"""How far the work is: a live bar on a terminal, one plain line every so often elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_SECONDS = 30.0


class Reporter:
    """Shows what is done, rate, time left and failures, on standard error.

    Args:
        total: how much is to be done.
        title: of the bar.
        unit: what is counted, for the reader.
        scale: how many units one of `total` is, such as 1e-9 for bytes shown as GB.
    """

    def __init__(
        self, total: int, title: str = "extract", unit: str = "clips", scale: float = 1
    ) -> None:
        self.total, self.done, self.failures = total, 0, 0
        self._unit, self._scale, self._first = unit, scale, -1
        self._begin = time.monotonic()
        self._said = self._begin
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            counts = (TextColumn(f"{{task.fields[{name}]}}") for name in ("count", "rate"))
            columns = (TextColumn("{task.description}"), BarColumn(), *counts)
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task(title, total=total, count="", rate="")

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

    def advance(self, done: int, failures: int) -> None:
        """Count what is done since the last call."""
        self._first = max(self._first, 0)
        self.failures += failures
        self.reach(self.done + done)

    def reach(self, done: int) -> None:
        """Say how much is done; what the first call finds done already is no part of the rate."""
        self._first = done if self._first < 0 else self._first
        self.done = done
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=done, count=self._count(), rate=self._rate(now))
        elif now - self._said >= EVERY_SECONDS or self.done == self.total:
            self._said = now
            seconds = (now - self._begin) / max(done - self._first, 1) * (self.total - done)
            line = f"{self._count()}, {self._rate(now)}, {seconds / 60:.0f} min left"
            print(line, file=sys.stderr, flush=True)

    def leave(self, clips: int) -> None:
        """Count clips no more: another run makes them."""
        self.total -= clips
        if self._bar:
            self._bar.update(self._task, total=self.total)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _count(self) -> str:
        digits = 0 if self._scale == 1 else 2
        done, total = (f"{self._scale * n:.{digits}f}" for n in (self.done, self.total))
        return f"{done}/{total} {self._unit}"

    def _rate(self, now: float) -> str:
        rate = self._scale * (self.done - self._first) / max(now - self._begin, 1e-9)
        failed = f", {self.failures} failures" if self.failures else ""
        return f"{rate:.2f} {self._unit}/s{failed}"
