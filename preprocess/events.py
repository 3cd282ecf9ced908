"""events.jsonl: what happened in one run, one JSON object a line, written by its driver alone.

``STORE/events/<day>/<time>-<pid>@<host>.jsonl`` (UTC). Every line has `time` (ISO 8601, UTC) and
`event`, which is one of

    started         program's version, options, clips and blocks to do
    begun           block: handed to the workers
    done            block, clips, failures, seconds, peak_memory (bytes, of its worker so far)
    retried         block, why: handed out again
    left            block, to: another run is making it
    worker-joined, worker-lost, worker-retired    worker; of the last two, the blocks it had
    worker-over-memory    worker, memory (bytes)
    job-submitted, job-refused, job-gone          job, or what the batch system said
    closed          fingerprint
    ended           why: done, or the fault that ended the run

A file that a crash cut short may end in half a line.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from avsc.manifests.owners import Owner

FOLDER = "events"


class Events:
    """The record of one run.

    A record that cannot be written does not stop the run: `fault` then says why.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path) -> None:
        begin = datetime.now(UTC)
        owner = Owner.this()
        name = f"{begin:%H%M%S}-{owner.pid}@{owner.host}.jsonl"
        self.path = store / FOLDER / f"{begin:%Y-%m-%d}" / name
        self.fault: str | None = None
        self._file = -1

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as fault:
            self.fault = f"{self.path}: {fault.strerror}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.write("ended", why="done" if kind is None else f"{kind.__name__}: {fault}")
        if self._file >= 0:
            os.close(self._file)

    def write(self, event: str, **values: Any) -> None:
        """Append one line."""
        if self.fault is not None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **values}) + "\n"
        try:
            os.write(self._file, line.encode())
        except OSError as fault:
            self.fault = f"{self.path}: {fault.strerror}"
