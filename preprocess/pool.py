"""Submitting blocks to Dask and collecting their outcomes.

Everything that Dask says arrives in its own thread; here it is put in one queue, which the driver
alone reads. A result is fetched and released in that thread as soon as it is there, whatever the
driver is busy with: one that is lost with the worker that holds it has to be computed again.
"""

import queue
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from dask.typing import Key
from distributed import Client, Future
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from avsc.manifests.errors import AvscError
from avsc.preprocess.block import BlockSummary, make_block
from avsc.preprocess.plan import BlockTask


@dataclass(frozen=True)
class Done:
    """A block is made."""

    task: BlockTask
    summary: BlockSummary


@dataclass(frozen=True)
class Lost:
    """A block lost so many workers that Dask gave it up."""

    task: BlockTask


@dataclass(frozen=True)
class Failed:
    """A block ended in an exception."""

    task: BlockTask
    fault: BaseException


@dataclass(frozen=True)
class Notice:
    """Something happened to a worker.

    Attributes:
        event: ``worker-joined``, ``worker-lost``, ``worker-retired`` or ``worker-over-memory``.
        worker: its address.
        blocks: those it was working on.
        memory: bytes that it had, of one that went over its limit.
    """

    event: str
    worker: str
    blocks: tuple[int, ...] = ()
    memory: int = 0


Outcome = Done | Lost | Failed | Notice
GONE = "the Dask scheduler is gone; run the command again, it does only what is missing."


def _call(make: Callable[[BlockTask], BlockSummary], task: BlockTask) -> BlockSummary:
    """Make a block on a worker."""
    try:
        return make(task)
    except RecursionError as fault:  # its thousand frames would never arrive, nor the fault
        raise fault.with_traceback(None) from None


class Pool:
    """Blocks that are out.

    Args:
        client: of a Dask cluster whose workers see the same files.

    Attributes:
        out: the blocks that are out, by the keys that Dask knows them by.
    """

    def __init__(self, client: Client) -> None:
        self._client: Any = client  # Dask's client has few annotations
        self._run, self._count = uuid.uuid4().hex[:8], 0
        self._queue: queue.SimpleQueue[tuple[Key | None, Outcome]] = queue.SimpleQueue()
        self.out: dict[Key, BlockTask] = {}

    def __enter__(self) -> Self:
        self._client.subscribe_topic("all", self._on_event)
        self._client.subscribe_topic("worker-restart-memory", self._on_memory_event)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client.status == "running":
            self._client.unsubscribe_topic("all")
            self._client.unsubscribe_topic("worker-restart-memory")

    def submit(self, task: BlockTask) -> None:
        """Hand out a block."""
        key = f"block-{self._run}-{self._count}"
        self._count += 1
        self.out[key] = task
        future = self._client.submit(_call, make_block, task, key=key, pure=False)
        self._client.loop.add_callback(self._fetch, task, future)

    def wait(self, seconds: float) -> Iterator[Outcome]:
        """Yield what has happened; wait so long for the first."""
        try:
            yield self._take(*self._queue.get(timeout=seconds))
            while True:
                yield self._take(*self._queue.get_nowait())
        except queue.Empty:
            return

    def _take(self, key: Key | None, outcome: Outcome) -> Outcome:
        if key is not None:
            del self.out[key]
        return outcome

    async def _fetch(self, task: BlockTask, future: Future[BlockSummary]) -> None:
        """Wait for a block's end; called in Dask's thread."""
        outcome: Outcome
        try:
            outcome = Done(task, await self._client.gather(future))
        except KilledWorker:
            outcome = Lost(task)
        except (FutureCancelledError, CommClosedError):
            outcome = Failed(task, AvscError(GONE))
        except Exception as fault:
            outcome = Failed(task, fault)
        future.release()
        self._queue.put((future.key, outcome))

    def _on_event(self, event: tuple[float, Any]) -> None:
        """Take note of workers that come and go; called in Dask's thread."""
        said = event[1]
        action = said.get("action") if isinstance(said, dict) else None
        if action == "add-worker":
            self._put(Notice("worker-joined", said["worker"]))
        elif action == "remove-worker":
            keys = said["processing-tasks"]
            blocks = tuple(task.block for key in keys if (task := self.out.get(key)))
            kind = "worker-retired" if said["expected"] else "worker-lost"
            self._put(Notice(kind, said["worker"], blocks))

    def _on_memory_event(self, event: tuple[float, Any]) -> None:
        said = event[1]
        self._put(Notice("worker-over-memory", said["worker"], memory=said["rss"]))

    def _put(self, notice: Notice) -> None:
        self._queue.put((None, notice))
