"""Where the blocks are worked on: Dask workers, one thread and one decoder each.

Only a few tasks more than there are workers are handed out at a time, and each result is released
as it arrives, so that nothing held by a lost worker is ever computed again. A worker that dies
costs its block's time; a block that lost two is worked on clip by clip, each in a process of its
own.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import dask
from distributed import Client, LocalCluster, as_completed
from distributed.scheduler import KilledWorker

from avsc.manifests.errors import AvscError
from avsc.preprocess.block import Summary, work
from avsc.preprocess.plan import Task

ATTEMPTS = 10
SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 1,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.admin.tick.limit": "60s",
}


@contextmanager
def local_workers(count: int, dashboard: bool) -> Iterator[Client]:
    """Start worker processes on this machine, reachable from this machine alone."""
    with dask.config.set(SETTINGS):
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        with (
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0" if dashboard else None,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def run(
    client: Client,
    tasks: Sequence[Task],
    window: int,
    done: Callable[[Summary], None],
    say: Callable[[str], None],
) -> None:
    """Work on all tasks.

    Args:
        client: of a Dask cluster whose workers see the same files.
        tasks: the blocks.
        window: how many blocks to have out at a time.
        done: called for each block that is done.
        say: called with a line that the user should read.

    Raises:
        AvscError: a file could not be written, or a block lost too many workers.
    """
    waiting = list(reversed(tasks))
    attempts: Counter[int] = Counter()
    arrivals = as_completed()
    out = {}

    def submit(task: Task) -> None:
        key = f"block-{task.block:05d}-{attempts[task.block]}"
        future = client.submit(work, task, key=key, pure=False)
        out[future.key] = task
        arrivals.add(future)

    for _ in range(min(window, len(waiting))):
        submit(waiting.pop())
    for future in arrivals:
        task = out.pop(future.key)
        fault = future.exception()
        if fault is None:
            done(future.result())
        elif isinstance(fault, KilledWorker):
            attempts[task.block] += 1
            if attempts[task.block] >= ATTEMPTS:
                raise AvscError(
                    f"block {task.block} (from clip {task.clips[0].id}) lost its worker "
                    f"{ATTEMPTS} times. Look at the memory of the workers; what is done is kept."
                )
            say(f"block {task.block} lost its workers; going on with it clip by clip.")
            waiting.append(replace(task, isolate=True))
        else:
            raise fault
        future.release()
        if waiting:
            submit(waiting.pop())
