"""Stores on disks that are full, read-only, or limit the size of a file."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.trial import Trial


class NotHereError(Exception):
    """A fault cannot be injected on this machine; says why."""


@contextmanager
def disk(trial: Trial, size: int) -> Iterator[Path]:
    """Mount a disk of so many bytes, in memory, and put the trial's store on it."""
    folder = trial.folder / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        raise NotHereError("only the superuser may mount file systems")
    trial.store = folder / "store"
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def _size(store: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in store.rglob("*"))


def full(trial: Trial) -> None:
    """A disk that holds a tenth to nine tenths of the store; then room is made."""
    size = int(trial.draw.uniform(0.1, 0.9) * _size(trial.ground.whole))
    with disk(trial, size) as folder:
        ended = trial.extract()
        trial.expect(ended, 1)
        trial.says(ended, "No space left on device")
        _remount(folder, "size=100m")
        trial.goes_on()


def file_size(trial: Trial) -> None:
    """Take a limit on the size of files (ulimit -f) below the size of most parts."""
    limit = trial.draw.integers(2, 17)
    ended = trial.extract(before=("bash", "-c", f'ulimit -f {limit}; exec "$@"', "bash"))
    trial.expect(ended, 1)
    trial.says(ended, "File too large")
    trial.goes_on()


def read_only(trial: Trial) -> None:
    """A half-made store on a disk that may not be written to; then it may."""
    with disk(trial, 100 << 20) as folder:
        trial.given()
        receipts = sorted(trial.store.glob("*/*/*/*.json"))
        for number in trial.draw.choice(len(receipts), 5, replace=False):
            receipts[number].unlink()
        if trial.draw.random() < 0.5:
            shutil.rmtree(trial.store / "images")
        _remount(folder, "ro")
        ended = trial.extract()
        trial.expect(ended, 1)
        trial.says(ended, "Read-only file system")
        _remount(folder, "rw")
        trial.goes_on()
