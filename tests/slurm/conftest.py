"""A Slurm for the tests of this folder, one for all of them."""

import os
from collections.abc import Iterator

import pytest
from slurm_service import Slurm, missing, slurm


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A running Slurm; skipped where there can be none, unless AVSC_REQUIRE_SLURM is 1."""
    if reason := missing():
        if os.environ.get("AVSC_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with slurm(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def queue(service: Slurm) -> Iterator[Slurm]:
    """The same Slurm; nothing may be left in its queue."""
    yield service
    service.wait_empty()
