"""Workers of this machine come back, however slowly, and when their keepers gave them up."""

import os

import dask
from distributed import Client

from avsc.preprocess.workers.local import Workers, local_workers


def process(client: Client) -> int:
    """Return the process that works now; a lost one's call is made again."""
    return int(client.submit(os.getpid, pure=False).result(timeout=600))


def test_a_worker_comes_back_that_is_slow_to_start() -> None:
    """Dask is told to give workers up at once, and is told otherwise by us."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}),
        local_workers(1, None, False) as workers,
    ):
        first = process(workers.client)
        os.kill(first, 9)
        assert process(workers.client) != first


def test_a_worker_whose_keeper_gave_up_is_replaced() -> None:
    with local_workers(1, None, False) as workers:
        first, cluster = process(workers.client), workers.client.cluster
        assert look(workers) == []
        cluster.sync(cluster.workers[0].close)
        assert look(workers) == [
            "a worker could not be started again; another is started in its place."
        ]
        assert process(workers.client) != first


def test_a_worker_has_our_settings_of_dask() -> None:
    """Dask's own would take a tenth of the decoder's speed, and keep a thousand blocks a worker."""

    def found() -> tuple[object, ...]:
        names = ("distributed.worker.profile.enabled", "distributed.admin.tick.interval")
        return os.environ.get("MALLOC_TRIM_THRESHOLD_"), *map(dask.config.get, names)

    with local_workers(1, None, False) as workers:
        found_there = workers.client.submit(found).result(timeout=600)
        to_workers = workers.client.cluster.scheduler.stream_comms.values()
        assert [sender.recent_message_log.maxlen for sender in to_workers] == [10]
    assert found_there == (None, False, "500ms")


def look(workers: Workers) -> list[str]:
    """Let the workers be looked after; return what the user is told."""
    said: list[str] = []
    workers.check(lambda event, **values: None, said.append)
    return said
