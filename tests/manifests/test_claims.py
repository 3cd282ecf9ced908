"""Claims on folders: taken, refused, waited for, taken over, lost."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from avsc.manifests import folder_claims, owners
from avsc.manifests.claims import Claim, ClaimedError
from avsc.manifests.errors import AvscError
from avsc.manifests.folder_claims import NAME, claimed, publish_together
from avsc.manifests.owners import Owner, this_namespace

ELSEWHERE = "7@elsewhere 0123456789abcdef 2026-01-02T03:04:05+0000"


class Clock:
    """The time as one who waits for a claim has it: it passes while he sleeps, and only then."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_claims, "LOOK", 0.02)


def taken(folder: Path, said: list[str] | None = None, **how: object) -> Claim:
    say = print if said is None else said.append
    with claimed(folder, "busy", "Wait.", say, **how) as claim:  # type: ignore[arg-type]
        assert claim.holds()
        return claim


def test_a_folder_is_made_for_a_claim_and_left_as_it_was(tmp_path: Path) -> None:
    taken(tmp_path / "runs" / "one")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    taken(tmp_path / "empty")
    assert (tmp_path / "empty").is_dir()
    with claimed(tmp_path / "kept", "busy", "", print):
        (tmp_path / "kept" / "file").touch()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["file"]


def test_who_has_it_and_since_when_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(
        f"{os.getppid()}@{socket.gethostname()}+{this_namespace()} x 2026-01-02"
    )
    text = rf"busy by process {os.getppid()} on {socket.gethostname()}, since 2026-01-02\. Wait\."
    with pytest.raises(ClaimedError, match=text):
        taken(tmp_path)
    with claimed(tmp_path / "inner", "busy", "", print), pytest.raises(ClaimedError):
        taken(tmp_path / "inner")


def test_it_can_be_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    with claimed(tmp_path, "busy", "", print):
        waiting = threading.Thread(target=taken, args=(tmp_path, said), kwargs={"wait": True})
        waiting.start()
        while not said and waiting.is_alive():
            time.sleep(0.01)
        time.sleep(0.1)
        assert waiting.is_alive()
    waiting.join(600)
    assert not waiting.is_alive()
    assert len(said) == 1 and "waiting for its end" in said[0]

    def enough() -> None:
        raise AvscError("asked to stop")

    (tmp_path / NAME).write_text(ELSEWHERE)
    with pytest.raises(AvscError, match="asked to stop"):
        taken(tmp_path, wait=True, keep_on=enough)


def test_of_one_elsewhere_a_sign_of_life_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its clock goes: heartbeats are compared with each other."""
    said: list[str] = []
    clock = Clock()
    monkeypatch.setattr(folder_claims, "time", clock)
    monkeypatch.setattr(folder_claims, "LOOK", 1.0)
    path, later = tmp_path / NAME, time.time() + 90
    path.write_text(ELSEWHERE)
    os.utime(path, (later, later))
    taken(tmp_path, said)
    assert 180 < clock.now < 185, "it might have lived"
    assert len(said) == 1 and "waiting for a sign of life, 180 s at most" in said[0]

    path.write_text(ELSEWHERE)

    def beat() -> None:
        if clock.now > 300:  # one and a half minutes after it was first seen
            os.utime(path)

    with pytest.raises(ClaimedError, match="process 7 on elsewhere, since 2026-01-02T03"):
        taken(tmp_path, keep_on=beat)
    assert clock.now < 305
    os.utime(path, (5, 5))
    taken(tmp_path, said)
    assert len(said) == 1, "its last heartbeat is long ago: it is not waited for"


def test_the_dead_of_this_host_lose_it_at_once(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    (tmp_path / NAME).write_text(
        f"{child.pid}@{socket.gethostname()}+{this_namespace()} x 2026-01-02"
    )
    assert Claim(tmp_path / NAME, 180.0).take() is None


def test_a_process_that_began_after_the_last_heartbeat_is_not_its_owner(tmp_path: Path) -> None:
    """As in a container that was killed and started again: the same place, the same number."""
    code = (
        "import os, sys, time; from pathlib import Path; from avsc.manifests.claims import Claim\n"
        "from avsc.manifests.owners import Owner; path = Path(sys.argv[1])\n"
        "for ago in 60, 0:\n"
        "    path.write_text(f'{Owner.this().token} former'); then = time.time() - ago\n"
        "    os.utime(path, (then, then)); print(Claim(path, 180.0).take())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / NAME)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "None" and f"on {socket.gethostname()}" in second


def test_containers_with_one_host_name_heed_each_others_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same host name, same process number, another kernel or namespace of process numbers."""
    one = Claim(tmp_path / NAME, 180.0)
    assert one.take() is None
    monkeypatch.setattr(owners, "this_namespace", lambda: "0badcafe")
    assert Owner.this() == Owner(socket.gethostname(), os.getpid(), "0badcafe")
    other = Claim(tmp_path / NAME, 180.0)
    found = other.take()
    assert found is not None and str(found) == str(Owner.this())
    assert found.owner is not None and not found.owner.is_here
    gone = Owner(
        socket.gethostname(), 2**22 + 1, this_namespace()
    )  # no such process, here or there
    assert not owners.is_gone(gone, time.time())


def test_a_claim_is_lost_to_who_takes_it_over_and_not_touched_any_more(tmp_path: Path) -> None:
    slept = Claim(tmp_path / NAME, 180.0)
    assert slept.take() is None
    (tmp_path / NAME).write_text(ELSEWHERE)
    os.utime(tmp_path / NAME, (5, 5))
    slept.beat()
    assert (tmp_path / NAME).stat().st_mtime == 5
    with pytest.raises(AvscError, match="claimed by process 7 on elsewhere, since 2026"):
        slept.check()
    slept.give_up()
    assert (tmp_path / NAME).read_text() == ELSEWHERE


def test_of_many_at_once_one_takes_over(tmp_path: Path) -> None:
    """All are told at once to take the claim of one who is dead."""
    code = (
        "import sys; from pathlib import Path; from avsc.manifests.claims import Claim\n"
        "claim = Claim(Path(sys.argv[1]), 180.0); print('ready', flush=True); input()\n"
        "print(claim.take(), flush=True); input()"
    )
    (tmp_path / NAME).write_text(ELSEWHERE)
    os.utime(tmp_path / NAME, (5, 5))
    command, pipe = [sys.executable, "-c", code, str(tmp_path / NAME)], subprocess.PIPE
    several = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    for each in several:
        assert each.stdout is not None and each.stdout.readline() == "ready\n"
    for each in several:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    answers = [each.stdout.readline() for each in several if each.stdout]
    for each in several:
        each.communicate("\n")
    assert answers.count("None\n") == 1


def test_files_of_two_writers_are_not_mixed(tmp_path: Path) -> None:
    names = [f"{n}.txt" for n in range(20)]
    writers = [
        threading.Thread(
            target=publish_together, args=(tmp_path, dict.fromkeys(names, bytes([65 + n])))
        )
        for n in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AvscError, match=r"file/run: could not be written to \("):
        taken(tmp_path / "file" / "run")
