"""Table 2: killed twenty times and run again: what is lost, made twice, different, and how long.

A peer makes many small clips once undisturbed; then into another folder, and everything it started
is killed (SIGKILL, all at once, as by the end of a node) when it has opened so many more clips
since it was started; the numbers are drawn beforehand, the same for all. Then the same program
runs again; after the last kill, to its end. Clips begun are counted by the kernel (inotify: the
opening of a clip's file), in units of what the undisturbed run opens per clip.
"""

import ctypes
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from turns import table

from peers.extraction import extract, images
from peers.measure import Usage, run
from peers.peer import Job, peer, versions

PEERS = ("avsc", "litdata", "datachain", "ray")
KILLS, FEWEST, MOST = 20, 2, 14
IN_OPEN, IN_CLOSE = 0x20, 0x18
HEADER = struct.Struct("iIII")


class Opened:
    """Counts how often the files of a folder are opened; a context manager.

    Closings are asked for too: the kernel makes one of equal events that follow each other.
    """

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK)
        self._libc.inotify_add_watch(self._file, os.fsencode(folder), IN_OPEN | IN_CLOSE)
        self._total = 0

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def total(self) -> int:
        """Return how often files were opened so far."""
        while True:
            try:
                data = os.read(self._file, 1 << 16)
            except BlockingIOError:
                return self._total
            while data:
                _, mask, _, length = HEADER.unpack_from(data)
                self._total += bool(mask & IN_OPEN) and length > 0  # no name: the folder itself
                data = data[HEADER.size + length :]


def _reached(opened: Opened, total: float) -> bool:
    return opened.total() >= total


def undisturbed(name: str, job: Job) -> tuple[Usage, float]:
    """Make all; return what it took, and how often each clip was opened."""
    with Opened(job.folder) as opened:
        usage = extract(name, job)
        return usage, opened.total() / len(job.videos)


def disturbed(name: str, job: Job, per_clip: float, seed: int) -> tuple[list[Usage], float]:
    """Make all in spite of kills; return what each start took, and how many clips were begun."""
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir(parents=True)
    random, usages = Random(seed), []
    command = ["-m", "peers.work", name, "extract", job.encoded()]
    with Opened(job.folder) as opened:
        for _ in range(KILLS):
            until = opened.total() + per_clip * random.randint(FEWEST, MOST)
            stop = partial(_reached, opened, until)
            usages.append(run(command, job.out / "log", kill_when=stop))
            if usages[-1].status == 0:
                return usages, opened.total() / per_clip
        usages.append(run(command, job.out / "log"))
        return usages, opened.total() / per_clip


def row(name: str, job: Job, seed: int) -> str:
    """Return a peer's row."""
    module = peer(name)
    whole = replace(job, out=job.out / "whole")
    usage, per_clip = undisturbed(name, whole)
    expected = images(name, whole)
    broken = replace(job, out=job.out / "broken")
    usages, begun = disturbed(name, broken, per_clip, seed)
    head = f"{versions(module.PACKAGES[:1])} | {module.RERUN} | {len(usages) - 1}"
    if usages[-1].status:
        reason = usages[-1].said.strip().splitlines()[-1]
        return f"{head} | the last run fails: {reason} | | | | "
    made = images(name, broken)
    counts = Counter((clip, k) for clip, k, _ in made)
    lost = {clip for clip, k, _ in expected} - {clip for clip, k, _ in made}
    twice = {clip for (clip, _), count in counts.items() if count > 1}
    pictures = {(clip, k): data for clip, k, data in expected}
    differ = {clip for clip, k, data in made if pictures.get((clip, k)) != data}
    spent = sum(usage.cpu for usage in usages)
    return (
        f"{head} | {len(lost)} | {len(twice)} | {len(differ)} | "
        f"{begun - len(job.videos):.0f} | {usage.cpu:.0f} | {spent - usage.cpu:.0f}"
    )


def rows(folder: Path, scratch: Path, names: Sequence[str], unit: int) -> Iterator[str]:
    """Yield the rows of the table."""
    for name in names:
        shutil.rmtree(scratch / name, ignore_errors=True)
        job = Job(folder, scratch / name, workers=1, unit=unit)
        try:
            yield row(name, job, seed=1)
        except (RuntimeError, ImportError) as fault:
            reason, module = str(fault).strip().splitlines()[-1], peer(name)
            head = f"{versions(module.PACKAGES[:1])} | {module.RERUN}"
            yield f"{head} | did not run: {reason} | | | | | | "


def report(folder: Path, scratch: Path, names: Sequence[str], unit: int) -> None:
    """Print the table."""
    table(
        "peer | rerun | kills before it was done | clips lost | in the output twice | "
        "bytes differ | clips begun again | CPU s undisturbed | CPU s lost",
        *rows(folder, scratch, names, unit),
    )
