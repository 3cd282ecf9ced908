"""Extraction where clips never end or crash their decoder, and where system calls fail.

Through the installed command, its workers and its children; the calls fail by failing.c.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from digests import timeless
from recordings import write_clips

from avsc.features.store.reader import Store

PREP = Path(sys.executable).with_name("avsc-prep")
Failing = Callable[..., dict[str, str]]


def extract(
    manifest: Path, store: Path, *more: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [PREP, "extract", "--manifest", manifest, "--out", store, "--block-size", 2, *more]
    return subprocess.run(
        list(map(str, command)), env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


@pytest.fixture(scope="module")
def sound_store(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that met no fault."""
    store = tmp_path_factory.mktemp("whole") / "store"
    assert extract(manifest, store, "--workers", 1).returncode == 0
    return store


@pytest.fixture(scope="module")
def whole(sound_store: Path) -> dict[str, str]:
    """What a store holds that met no fault."""
    return timeless(sound_store)


def test_hang_and_crash_cost_one_clip_each(
    failing: Failing, manifest: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    """Reading one clip's video never ends; reading another's sound is a segmentation fault."""
    store = tmp_path / "store"
    rules = ("read:video/clip-1.mp4:hang", "read:audio/clip-2.wav:crash")
    done = extract(manifest, store, "--clip-timeout", 200, env=failing(*rules))
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    opened = Store.open(store)
    products = ("fbank", "images", "scalogram")
    assert [(f.clip, f.product, f.stage, f.code) for f in opened.failures] == [
        *(("clip-1", product, "worker", "timeout") for product in products),
        *(("clip-2", product, "worker", "crashed") for product in products),
    ]
    remedy = "Look at the recording, or leave it out."
    assert {f.message for f in opened.failures} == {
        f"clip-1: the process that decoded it did not end within 200 s (--clip-timeout). {remedy}",
        f"clip-2: the process that decoded it was ended by SIGSEGV. {remedy}",
    }
    for product in products:
        assert set(opened.records(product).clip.tolist()) == {0, 3}
    assert extract(manifest, store).returncode == 0
    assert timeless(store) == whole


def test_damaged_store_is_mended(
    manifest: Path, sound_store: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    """All kinds of files at once, those that head the store too."""
    store = tmp_path / "store"
    shutil.copytree(sound_store, store)
    for name in whole:
        if "part" not in name or "images" in name:
            damaged = bytearray((store / name).read_bytes())
            damaged[len(damaged) // 3] ^= 1
            (store / name).write_bytes(damaged)
    done = extract(manifest, store, "--workers", 1, "--check", "content")
    assert done.returncode == 0, done.stderr
    assert "store.json: damaged" in done.stderr and "It is rewritten now" in done.stderr
    assert timeless(store) == whole


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (("flock:/:{ENOLCK}", "fsyncdir:/:{ENOTSUP}", "write:store/:short"), None),
        (("write:part-00001:{EIO}",), errno.EIO),
        (("rename:index.h5:{EAGAIN}",), errno.EAGAIN),
    ],
)
def test_failing_calls_cost_nothing_that_is_made(
    failing: Failing,
    manifest: Path,
    whole: dict[str, str],
    tmp_path: Path,
    rules: tuple[str, ...],
    fault: int | None,
) -> None:
    store = tmp_path / "store"
    numbers = {name: getattr(errno, name) for name in ("EIO", "ENOLCK", "EAGAIN", "ENOTSUP")}
    env = failing(*(rule.format(**numbers) for rule in rules))
    done = extract(manifest, store, "--workers", 1, "--products", "scalogram", env=env)
    assert "Traceback" not in done.stderr
    if fault is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if "error" in line]
        assert f"could not be written ({os.strerror(fault)})" in line
        assert "run the command again; what is already there is kept" in line
        made = timeless(store)
        assert any("part-00000" in name for name in made)
        assert {name: data for name, data in made.items() if name.endswith("part-00000.h5")} == {
            name: whole[name] for name in made if name.endswith("part-00000.h5")
        }
        again = extract(manifest, store, "--workers", 1, "--products", "scalogram")
        assert again.returncode == 0, again.stderr
    found, wanted = (
        {name: digest for name, digest in files.items() if "scalogram" in name}
        for files in (timeless(store), whole)
    )
    assert found == wanted
    assert not list(store.rglob(".tmp-*"))
