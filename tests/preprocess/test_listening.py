"""On one machine, a run listens on the loopback device alone and answers nobody but itself."""

from pathlib import Path

import psutil
import pytest
from distributed.security import Security
from strangers import is_answered, listening

from avsc.preprocess.workers.local import local_workers


@pytest.mark.parametrize("dashboard", [False, True])
def test_only_the_runs_own_processes_are_answered(tmp_path: Path, dashboard: bool) -> None:
    before = set(listening(psutil.Process()))
    with local_workers(1, None, dashboard) as workers:
        client = workers.client
        found = set(listening(psutil.Process())) - before
        assert {ip for ip, _ in found} == {"127.0.0.1"} and len(found) >= 3 + dashboard
        scheduler = client.scheduler.address
        worker = next(iter(client.scheduler_info()["workers"]))
        for address in (scheduler, worker):
            kind, _, host_port = address.partition("://")
            host, _, port = host_port.partition(":")
            at = (host, int(port))
            assert kind == "tls" and at in found
            assert is_answered(at, tmp_path, client.security)
            assert not is_answered(at, tmp_path)
            assert not is_answered(at, tmp_path, Security.temporary())
        assert workers.dashboard.startswith("http://127.0.0.1:") == dashboard
    assert set(listening(psutil.Process())) <= before
