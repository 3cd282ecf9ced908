"""Results whose workers are lost: before the driver looks at them, and while they are sent."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from avsc.preprocess import pool as module
from avsc.preprocess.plan import BlockTask
from avsc.preprocess.pool import Done, Failed, Notice, Outcome, Pool
from avsc.preprocess.workers.local import local_workers

TASK = BlockTask(Path("store"), Path("root"), 7, (), {}, {})


class Deadly:
    """A result that ends the worker that sends it, the first time."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        if not self.mark.exists():
            self.mark.touch()
            os._exit(1)
        return str, ("sent",)


def test_a_worker_lost_before_the_driver_looks_at_its_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setattr(module, "make_block", lambda task: mark.write_text("made"))
    with local_workers(1, None, False) as workers, Pool(workers.client) as pool:
        pool.submit(TASK)
        wait_until(mark.exists)
        wait_until(lambda: not any(workers.client.processing().values()))
        end(workers.client)
        assert last(pool) == Done(TASK, 4)


def test_a_worker_lost_while_it_sends_its_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setattr(module, "make_block", lambda task: Deadly(mark))
    with local_workers(1, None, False) as workers, Pool(workers.client) as pool:
        pool.submit(TASK)
        assert last(pool) == Done(TASK, "sent")
    assert mark.exists()


def test_a_block_that_ends_in_a_deep_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's client never gets to read it."""

    def deep(task: BlockTask) -> Any:
        return deep(task)

    monkeypatch.setattr(module, "make_block", deep)
    with local_workers(1, None, False) as workers, Pool(workers.client) as pool:
        pool.submit(TASK)
        outcome = last(pool)
    assert isinstance(outcome, Failed) and isinstance(outcome.fault, RecursionError)


def wait_until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 600
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def end(client: Client) -> None:
    """End all workers; wait until the scheduler knows."""
    processes = client.run(os.getpid)
    for process in processes.values():
        os.kill(process, 9)
    wait_until(lambda: not set(client.scheduler_info()["workers"]) & set(processes))


def last(pool: Pool) -> Outcome:
    """Return what has become of the block that was handed out."""
    outcomes: list[Outcome] = []
    wait_until(lambda: outcomes.extend(pool.wait(1)) or not pool.out)
    (outcome,) = (outcome for outcome in outcomes if not isinstance(outcome, Notice))
    return outcome
