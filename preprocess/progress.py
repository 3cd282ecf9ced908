"""Progress of extraction and download: how much is done, the rate, failures, the time left."""

import time

from avsc.manifests.display import Display

PLAIN_SECONDS = 30.0


class Reporter(Display):
    """Shows progress on standard error; a context manager.

    Args:
        total: how much is to be done.
        unit: what is counted, for the reader.
        scale: how many units one of `total` is, such as 1e-9 for bytes shown as GB.
    """

    def __init__(
        self, total: int, title: str = "extract", unit: str = "clips", scale: float = 1
    ) -> None:
        super().__init__(PLAIN_SECONDS, stderr=True)
        self.total, self.done, self.failures = total, 0, 0
        self._title, self._unit, self._scale, self._first = title, unit, scale, -1
        self._begin = time.monotonic()

    def advance(self, done: int, failures: int) -> None:
        """Count what was done since the last call."""
        self._first = max(self._first, 0)
        self.failures += failures
        self.reach(self.done + done)

    def reach(self, done: int) -> None:
        """Set how much is done; what the first call finds done already is no part of the rate."""
        self._first = done if self._first < 0 else self._first
        self.done = done
        if not self.due() and done != self.total:
            return
        now = time.monotonic()
        count = f"{self._count()}, {self._rate(now)}"
        seconds = (now - self._begin) / max(done - self._first, 1) * (self.total - done)
        line = f"{count}, {seconds / 60:.0f} min left"
        self.draw(self._title, done, self.total, count, line)

    def leave(self, clips: int) -> None:
        """No longer count clips that another run makes."""
        self.total -= clips

    def _count(self) -> str:
        digits = 0 if self._scale == 1 else 2
        done, total = (f"{self._scale * n:.{digits}f}" for n in (self.done, self.total))
        return f"{done}/{total} {self._unit}"

    def _rate(self, now: float) -> str:
        rate = self._scale * (self.done - self._first) / max(now - self._begin, 1e-9)
        failed = f", {self.failures} failures" if self.failures else ""
        return f"{rate:.2f} {self._unit}/s{failed}"
