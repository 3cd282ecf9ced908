"""Claims: who makes which block, among processes that really live and die."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avsc.manifests.owners import GONE_AFTER, Owner
from avsc.preprocess.block_claims import (
    FOLDER,
    BlockClaims,
    claim_file,
    claim_holder,
    claimed_blocks,
    remove_dead,
)

CLAIM = (
    "import sys; from pathlib import Path; from avsc.preprocess.block_claims import BlockClaims\n"
    "claims = BlockClaims(Path(sys.argv[1])); print(claims.take(3), flush=True); input()"
)


def test_a_claim_is_seen_taken_over_and_given_up(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None and other.stdout.readline() == "None\n"
    with BlockClaims(tmp_path) as claims:
        owner = f"process {other.pid} on {Owner.this().host}"
        assert claims.take(3) == owner and claim_holder(tmp_path, 3) == owner
        assert claims.take(4) is None
        assert claimed_blocks(tmp_path).keys() == {3, 4}
        other.kill()
        other.communicate()
        assert claim_holder(tmp_path, 3) is None
        assert claims.take(3) is None
        assert claimed_blocks(tmp_path) == dict.fromkeys((3, 4), str(Owner.this()))
    assert not (tmp_path / FOLDER).exists()


def test_of_many_at_once_one_has_it(tmp_path: Path) -> None:
    """Each claims the block when told to; the one that has it lives until all have asked."""
    code = (
        "import sys; from pathlib import Path\n"
        "from avsc.preprocess.block_claims import BlockClaims\n"
        "claims = BlockClaims(Path(sys.argv[1])); print('ready', flush=True); input()\n"
        "print(claims.take(7), flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
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


def test_a_claim_of_another_host_lives_by_its_heartbeat(tmp_path: Path) -> None:
    path = claim_file(tmp_path, 0)
    path.parent.mkdir(parents=True)
    path.write_text("1@elsewhere")
    assert BlockClaims(tmp_path).take(0) == "process 1 on elsewhere"
    os.utime(path, (time.time() - GONE_AFTER - 5,) * 2)
    assert BlockClaims(tmp_path).take(0) is None


def test_claims_of_the_dead_are_removed_and_those_of_the_living_kept(tmp_path: Path) -> None:
    living = BlockClaims(tmp_path)
    assert living.take(0) is None
    path = claim_file(tmp_path, 300)
    path.parent.mkdir(parents=True)
    path.write_text("1@elsewhere")
    os.utime(path, (5, 5))
    remove_dead(tmp_path)
    assert claimed_blocks(tmp_path).keys() == {0} and not path.parent.exists()
    living.give_up(0)
    assert not (tmp_path / FOLDER).exists()


def test_claims_on_a_million_blocks_lie_in_small_folders(tmp_path: Path) -> None:
    with BlockClaims(tmp_path) as claims:
        assert [claims.take(block) for block in (0, 255, 256, 999_999)] == [None] * 4
        assert list(claimed_blocks(tmp_path)) == [0, 255, 256, 999_999]
        folders = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
        assert folders == ["000", "001", "3000"]
    assert not (tmp_path / FOLDER).exists()


def test_heartbeat_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockClaims(tmp_path) as claims:
        claims.take(0)
        path = claim_file(tmp_path, 0)
        os.utime(path, (5, 5))
        claims.beat()
        assert path.stat().st_mtime == 5, "not due yet"
        monkeypatch.setattr("avsc.preprocess.block_claims.HEARTBEAT", 0.0)
        claims.beat()
        assert path.stat().st_mtime > time.time() - 60


def test_claims_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    with BlockClaims(tmp_path) as claims:
        assert claims.take(0) is None


def test_claims_that_cannot_be_written_cost_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not waited for at the end of each block, as ones that another puts back are."""
    (tmp_path / FOLDER).touch()
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    with BlockClaims(tmp_path) as claims:
        for block in range(5):
            assert claims.take(block) is None
            claims.give_up(block)
    assert sum(waited) == 0


def test_a_folder_that_another_run_removes_as_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the block would be made without a claim."""
    made: list[str] = []

    def mkdir(path: Path, *mode: int) -> None:
        made.append(str(path))
        if len(made) == 3:  # the folder of claims is there, and that in it is to be made
            (tmp_path / FOLDER).rmdir()
        make(path, *mode)

    make = os.mkdir
    monkeypatch.setattr(os, "mkdir", mkdir)
    assert BlockClaims(tmp_path).take(0) is None
    assert len(made) > 3 and claim_file(tmp_path, 0).exists()
