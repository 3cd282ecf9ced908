"""Fixtures for the tests of training and scoring."""

import os
import signal

import pytest
import torch
from commands import run_fit
from systems import make_home

from avsc.features.store.reader import Records


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Compute alike wherever the tests run, also what a module's tests share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def nothing_set_around(monkeypatch):
    """No settings from outside; the way of ending as it was before the test."""
    for name in list(os.environ):
        if name.startswith("AVSC_"):
            monkeypatch.delenv(name)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def fit(monkeypatch, capsys):
    """Run avsc-fit in this process: exit status, standard output, standard error."""
    return lambda *arguments: run_fit(monkeypatch, capsys, *arguments)


@pytest.fixture
def touched(monkeypatch):
    """The records that are read from now on: (product, row of the clip)."""
    found = set()
    check = Records._check

    def count(self, record, data, got):
        found.add((self.product, int(self.clip[record])))
        check(self, record, data, got)

    monkeypatch.setattr(Records, "_check", count)
    return found


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """What `make_home` makes, once for all tests, which leave it as it is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = make_home(tmp_path_factory.mktemp("home"))
    torch.set_num_threads(threads)
    return folder
