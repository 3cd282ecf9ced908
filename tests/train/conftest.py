"""Fixtures for the tests of the systems."""

import pytest
import torch
from systems import make_home

from avsc.features.store.reader import Records


@pytest.fixture
def one_thread():
    """Compute alike wherever the tests run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def touched(monkeypatch):
    """The records that are read from now on: (product, row of the clip)."""
    found = set()
    fill = Records._fill

    def count(self, record, data):
        found.add((self.product, int(self.clip[record])))
        fill(self, record, data)

    monkeypatch.setattr(Records, "_fill", count)
    return found


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """What `make_home` makes, once for all tests, which leave it as it is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = make_home(tmp_path_factory.mktemp("home"))
    torch.set_num_threads(threads)
    return folder
