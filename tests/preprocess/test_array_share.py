"""A store made in parts or by several runs at once: the same bytes, nothing twice, a clear word."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from digests import digests
from extraction import World
from recordings import write_clips

from avsc.features.store.layout import index_file
from avsc.features.store.reader import Store
from avsc.preprocess.block_claims import claim_file

PREP = Path(sys.executable).with_name("avsc-prep")


def command(manifest: Path, store: Path, *more: object) -> list[str]:
    options = ["--manifest", manifest, "--out", store, "--block-size", 2, "--workers", 1]
    return list(map(str, [PREP, "extract", *options, *more]))


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def events(store: Path) -> list[dict[str, object]]:
    files = sorted((store / "events").rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 8)


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one run makes."""
    path = tmp_path_factory.mktemp("whole") / "store"
    done = run(command(manifest, path))
    assert done.returncode == 0, done.stderr
    return path


def test_events_of_a_run(whole: Path) -> None:
    found = events(whole)
    names = [event["event"] for event in found]
    assert names[0] == "started" and names[-2:] == ["closed", "ended"]
    done = [event for event in found if event["event"] == "done"]
    assert sorted(event["block"] for event in done) == [0, 1, 2, 3]
    assert all(event["seconds"] > 0 and event["peak_memory"] > 1e7 for event in done)
    assert found[0]["options"]["block_size"] == "2"
    assert found[-2]["fingerprint"] == Store.open(whole).fingerprint


def test_parts_started_at_once_then_closed(manifest: Path, whole: Path, tmp_path: Path) -> None:
    """Three parts of an array, two of them at once on a folder that is not there yet."""
    store = tmp_path / "store"
    both = [
        subprocess.Popen(
            command(manifest, store, "--part", f"{number}/3"), stderr=subprocess.PIPE, text=True
        )
        for number in (1, 2)
    ]
    for process in both:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    early = run([str(PREP), "close", str(store)])
    assert early.returncode == 1 and not index_file(store).exists()
    assert "fbank: 2; images: 2; scalogram: 2" in early.stderr and early.stderr.count("\n") == 1
    assert run(command(manifest, store, "--part", "3/3")).returncode == 0
    again = run(command(manifest, store, "--part", "3/3"))
    assert again.returncode == 0 and "Nothing to do." in again.stdout
    closed = run([str(PREP), "close", str(store)])
    assert closed.returncode == 0, closed.stderr
    assert Store.open(whole).fingerprint in closed.stdout
    assert digests(store, "*.h5") == digests(whole, "*.h5")
    assert not (store / "claims").exists()


def test_two_extractions_at_once_share_the_work(
    manifest: Path, whole: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    both = [
        subprocess.Popen(command(manifest, store), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=600)[0] for process in both]
    for process, text in zip(both, said, strict=True):
        assert process.returncode in (0, 75), text
        if process.returncode == 75:
            assert "Left to process" in text
    assert 0 in [process.returncode for process in both]
    assert digests(store, "*.h5") == digests(whole, "*.h5")
    made = Counter(event["block"] for event in events(store) if event["event"] == "done")
    assert made == dict.fromkeys(range(4), 1), "no block was made twice"


def test_a_task_knows_that_another_run_was_at_its_block(tmp_path: Path) -> None:
    """Also one that was there between the plan and the first worker, which takes seconds."""
    world = World(tmp_path)
    tasks = world.plan().tasks
    assert not any(task.is_stale for task in tasks)
    world.make()
    assert all(task.is_stale for task in tasks)


def test_what_others_are_making_is_left_to_them(manifest: Path, tmp_path: Path) -> None:
    """Another host claims a block and lives; this run makes the rest and says what it leaves."""
    store = tmp_path / "store"
    path = claim_file(store, 1)
    assert run(command(manifest, store, "--part", "1/4")).returncode == 0
    path.parent.mkdir(parents=True)
    path.write_text("12@elsewhere")
    done = run(command(manifest, store))
    assert done.returncode == 75, done.stderr
    assert "Left to process 12 on elsewhere, which is making them: blocks 1." in done.stdout
    closing = run([str(PREP), "close", str(store)])
    assert closing.returncode == 1 and "block 1 by process 12 on elsewhere" in closing.stderr
    os.utime(path, (5, 5))
    done = run(command(manifest, store))
    assert done.returncode == 0 and "to do: 2 clips in 1 blocks" in done.stdout


def test_close_refuses_what_is_no_store_or_not_whole(whole: Path, tmp_path: Path) -> None:
    done = run([str(PREP), "close", str(tmp_path)])
    assert done.returncode == 1 and "no store here" in done.stderr
    assert run([str(PREP), "close"]).returncode == 2


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3"])
def test_wrong_parts(part: str) -> None:
    done = run([str(PREP), "extract", "--part", part])
    assert done.returncode == 2
    assert "wanted is I/N" in done.stderr
