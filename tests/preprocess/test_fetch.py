"""Fetching one file from a real server that misbehaves."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import servers
from servers import Server

from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.tau2021 import Archive
from avsc.preprocess.download.fetch import ArchiveError, Listener, RetryPolicy, Stopped, fetch

DATA = np.random.default_rng(0).bytes(1_500_000)
ARCHIVE = Archive("audio.1", "a.zip", len(DATA), hashlib.md5(DATA).hexdigest())
QUICK = RetryPolicy(attempts=3, delay=0.001, longest=0.01, timeout=600.0)


class Transfer:
    """A server with one file, and a folder that it is fetched into."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.said: list[str] = []
        self.positions: list[int] = []
        self.stop = threading.Event()
        self.faults: list[servers.Fault] = []
        server.files["/a.zip"] = DATA
        server.faults["/a.zip"] = self.faults

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked, _ in self.server.requests]

    def fetch(self, retries: RetryPolicy = QUICK) -> Path:
        listener = Listener(self.at, self.said.append, self.stop)
        return fetch(f"{self.server.url}/a.zip", ARCHIVE, self.folder, listener, retries)

    def at(self, position: int) -> None:
        self.positions.append(position)

    def part(self, data: bytes) -> None:
        (self.folder / "a.zip.part").write_bytes(data)


@pytest.fixture
def transfer(tmp_path: Path) -> Iterator[Transfer]:
    with Server() as server:
        yield Transfer(server, tmp_path)


def check(transfer: Transfer, path: Path) -> None:
    assert path.read_bytes() == DATA
    assert [p.name for p in transfer.folder.iterdir()] == ["a.zip"]
    assert transfer.positions[-1] == len(DATA)


def test_a_file_is_fetched_once(transfer: Transfer) -> None:
    check(transfer, transfer.fetch())
    assert transfer.ranges == [None]
    transfer.fetch()
    assert transfer.ranges == [None], "one that is whole is not asked for again"


def test_body_that_breaks_off_is_gone_on_with(transfer: Transfer) -> None:
    transfer.faults += [servers.breaking_after(400_000)] * 3
    check(transfer, transfer.fetch())
    assert transfer.ranges == [None, "bytes=400000-", "bytes=800000-", "bytes=1200000-"]
    conditions = {condition for _, _, condition in transfer.server.requests}
    assert conditions == {None, f'"{hashlib.sha256(DATA).hexdigest()}"'}


def test_part_of_an_earlier_run_is_gone_on_with(transfer: Transfer) -> None:
    transfer.part(DATA[:1_000_000])
    check(transfer, transfer.fetch())
    assert transfer.ranges == ["bytes=1000000-"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (servers.status(503), "status 503 (Service Unavailable)"),
        (servers.status(429), "status 429 (Too Many Requests)"),
        (servers.status(500), "status 500"),
        (servers.saying_length(1000), "has 1501000 bytes; wanted 1500000"),
        (servers.saying_length(-1000), "has 1499000 bytes; wanted 1500000"),
        (servers.too_much, "more than the 1500000 bytes"),
        (servers.another_range, "the server sends bytes 1-1499999/1500000"),
        (servers.breaking_after(0), "connection was lost"),
    ],
)
def test_fault_that_passes_is_put_up_with(
    transfer: Transfer, fault: servers.Fault, said: str
) -> None:
    transfer.faults += [fault] * 2
    check(transfer, transfer.fetch())
    assert len(transfer.said) == 2 and all(said in line for line in transfer.said)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (servers.status(503), ArchiveError, "status 503 .Service Unavailable., 3 times in a row"),
        (
            servers.saying_length(7),
            ArchiveError,
            r"has 1500007 bytes; wanted 1500000, 3 times in a row\. Either the record was "
            r"repacked .*unpack its archives by hand .*--url",
        ),
        (servers.breaking_after(0), AvscError, "was lost, 3 times in a row"),
        (servers.ignoring_ranges_and_breaking_after(900_000), AvscError, "was lost, 3 times"),
        (servers.another_range, ArchiveError, "requested bytes from 0 on"),
    ],
)
def test_fault_that_stays_ends_the_transfer(
    transfer: Transfer, fault: servers.Fault, kind: type[Exception], said: str
) -> None:
    transfer.faults += [fault] * 50
    with pytest.raises(kind, match=said):
        transfer.fetch()
    assert len(transfer.server.requests) <= 4
    assert not (transfer.folder / "a.zip").exists()


def test_slow_progress_is_progress(transfer: Transfer) -> None:
    """Attempts are counted since the last new byte."""
    transfer.faults += [servers.breaking_after(200_000), servers.status(503)] * 7
    check(transfer, transfer.fetch(RetryPolicy(attempts=2, delay=0.001)))


def test_server_that_ignores_ranges_gives_the_file_from_its_beginning(transfer: Transfer) -> None:
    transfer.part(b"x" * 1_000_000)
    transfer.faults.append(servers.ignoring_ranges)
    check(transfer, transfer.fetch())
    assert transfer.said == []


def test_changed_file_is_begun_anew(transfer: Transfer) -> None:
    """The part is of another file, whose tag is kept beside it; If-Range tells the server."""
    transfer.part(b"x" * 1_000_000)
    (transfer.folder / "a.zip.etag").write_text('"another"')
    check(transfer, transfer.fetch())
    assert transfer.server.requests == [("/a.zip", "bytes=1000000-", '"another"')]


def test_changed_file_of_a_server_that_ignores_the_condition(transfer: Transfer) -> None:
    transfer.part(b"x" * 1_000_000)
    (transfer.folder / "a.zip.etag").write_text('"another"')

    def ignoring(handler: servers.Handler, data: bytes) -> None:
        said = f"bytes 1000000-{len(data) - 1}/{len(data)}"
        handler.answer(206, data[1_000_000:], Content_Range=said, ETag=handler.tag(data))

    transfer.faults.append(ignoring)
    check(transfer, transfer.fetch())
    assert "changed; starting over" in transfer.said[0] and transfer.ranges[1] is None


def test_weak_tag_is_no_condition(transfer: Transfer) -> None:
    def weak(handler: servers.Handler, data: bytes) -> None:
        handler.answer(200, data[:9], ETag='W/"1"', Content_Length=len(data))
        handler.drop()

    transfer.faults.append(weak)
    check(transfer, transfer.fetch())
    assert transfer.server.requests[1] == ("/a.zip", "bytes=9-", None)


def test_range_that_the_server_does_not_have(transfer: Transfer) -> None:
    """Status 416: the server's file was shorter when asked; the part is given up."""
    transfer.part(b"x" * 1_000_000)
    transfer.faults.append(servers.status(416))
    check(transfer, transfer.fetch())
    assert transfer.ranges == ["bytes=1000000-", None]


def test_part_that_is_longer_than_the_file(transfer: Transfer) -> None:
    transfer.part(b"x" * 2_000_000)
    check(transfer, transfer.fetch())
    assert transfer.ranges == [None]


def test_wrong_byte_is_fetched_once_more(transfer: Transfer) -> None:
    transfer.faults.append(servers.wrong_byte)
    check(transfer, transfer.fetch())
    assert "fetching it again" in transfer.said[0] and transfer.ranges == [None, None]


def test_wrong_byte_that_stays(transfer: Transfer) -> None:
    transfer.faults += [servers.wrong_byte] * 9
    with pytest.raises(ArchiveError, match=f"wanted {ARCHIVE.md5}, twice.* repacked .*by hand"):
        transfer.fetch()
    assert list(transfer.folder.iterdir()) == []


def test_archive_put_there_by_hand(transfer: Transfer) -> None:
    """One that is whole is taken, one that is not is gone on with."""
    (transfer.folder / "a.zip").write_bytes(DATA[:700_000])
    check(transfer, transfer.fetch())
    assert transfer.ranges == ["bytes=700000-"]


def test_server_says_when_to_come_again(transfer: Transfer) -> None:
    transfer.faults += [servers.status(503, Retry_After=1), servers.status(429, Retry_After="soon")]
    begin = time.monotonic()
    check(transfer, transfer.fetch())
    assert time.monotonic() - begin >= 1
    assert "retrying in 1.0 s" in transfer.said[0] and "retrying in 0.0 s" in transfer.said[1]


def test_absent_file_is_not_asked_for_again(transfer: Transfer) -> None:
    transfer.server.files.clear()
    with pytest.raises(ArchiveError, match=r"status 404 .Not Found..*--url"):
        transfer.fetch()
    assert len(transfer.server.requests) == 1


def test_forbidden_is_asked_for_again_a_few_times(transfer: Transfer) -> None:
    """Mirrors and limiters of rates say so, too, to whom they serve later."""
    transfer.faults += [servers.status(403)]
    check(transfer, transfer.fetch())
    assert len(transfer.said) == 1 and "status 403 (Forbidden); retrying in" in transfer.said[0]


def test_what_stays_forbidden_is_given_up_soon(transfer: Transfer) -> None:
    transfer.faults += [servers.status(403)] * 50
    with pytest.raises(ArchiveError, match=r"status 403 .Forbidden., 4 times in a row"):
        transfer.fetch(replace(QUICK, attempts=20))
    assert len(transfer.server.requests) == 4


def test_no_server(tmp_path: Path) -> None:
    with Server() as server:
        pass
    transfer = Transfer(server, tmp_path)
    with pytest.raises(AvscError, match=r"no connection.*3 times in a row.*HTTPS_PROXY") as error:
        transfer.fetch()
    assert not isinstance(error.value, ArchiveError), "it concerns all archives"


def test_silent_server(transfer: Transfer) -> None:
    transfer.faults.append(servers.silent)
    check(transfer, transfer.fetch(RetryPolicy(attempts=50, delay=0.001, timeout=0.2)))
    assert "no answer in time" in transfer.said[0]


def test_what_is_no_address(tmp_path: Path) -> None:
    listener = Listener(print, print, threading.Event())
    for url in ("mirror/a.zip", "ftp://mirror/a.zip", "http://"):
        with pytest.raises(SettingError, match="not a usable address"):
            fetch(url, ARCHIVE, tmp_path, listener, QUICK)


def test_stopped_transfer_keeps_what_has_arrived(transfer: Transfer) -> None:
    with pytest.raises(Stopped):
        transfer.at = lambda position: transfer.stop.set()  # type: ignore[method-assign]
        transfer.fetch()
    there = (transfer.folder / "a.zip.part").read_bytes()
    assert 0 < len(there) < len(DATA) and there == DATA[: len(there)]
    transfer.stop.clear()
    transfer.at = transfer.positions.append  # type: ignore[method-assign]
    check(transfer, transfer.fetch())
    assert transfer.ranges[1] == f"bytes={len(there)}-"


def test_encoded_body_is_refused(transfer: Transfer) -> None:
    """Its length and its ranges would be those of the encoding."""
    transfer.faults.append(lambda handler, data: handler.answer(200, data, Content_Encoding="gzip"))
    check(transfer, transfer.fetch())
    assert "encoded as gzip" in transfer.said[0]
