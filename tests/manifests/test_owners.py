"""Owners of unfinished files: who is gone, judged against processes that really live and end."""

import os
import subprocess
import sys
import time

import pytest

from avsc.manifests.owners import GONE_AFTER, Owner, is_gone


@pytest.fixture
def child() -> subprocess.Popen[bytes]:
    """A process that lives until its input is closed."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_process_of_this_host_is_gone_when_it_has_ended(child: subprocess.Popen[bytes]) -> None:
    owner, now = Owner(Owner.this().host, child.pid), time.time()
    assert not is_gone(owner, now)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(owner, now), "ended, and nobody has asked for its status yet"
    child.communicate()
    assert is_gone(owner, now)


def test_a_process_of_another_host_is_gone_without_heartbeat(
    child: subprocess.Popen[bytes],
) -> None:
    owner, now = Owner("elsewhere", child.pid), time.time()
    child.communicate(b"\n")
    assert not is_gone(owner, now)
    assert not is_gone(owner, now, now + GONE_AFTER - 1)
    assert is_gone(owner, now, now + GONE_AFTER + 1)


def test_heartbeat_from_the_future_of_a_clock_set_back() -> None:
    now = time.time()
    assert is_gone(Owner("elsewhere", 1), now + GONE_AFTER + 1, now)


def test_unknown_owner_is_judged_by_its_heartbeat() -> None:
    now = time.time()
    assert not is_gone(None, now)
    assert is_gone(None, now - GONE_AFTER - 1)


def test_this_process_lives() -> None:
    assert not is_gone(Owner.this(), time.time())


@pytest.mark.parametrize("token", ["", "4711", "x@node", "12@", "12@a~b", "12@a/b", "-3@a"])
def test_what_is_no_token(token: str) -> None:
    assert Owner.parse(token) is None


def test_token_names_its_owner() -> None:
    owner = Owner("node-12-34.cluster", 4711)
    assert Owner.parse(owner.token) == owner
