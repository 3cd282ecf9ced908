"""Table 2: killed twenty times and run again: what is lost, made twice, different, and how long.

A peer makes many small clips once undisturbed; then into another folder, and everything it started
is killed (SIGKILL, all at once, as by the end of a node) when it has opened so many more clips
since it was started; the numbers are drawn beforehand, the same for all. Then the same program
runs again; after the last kill, to its end. Clips begun are counted by the kernel (inotify: the
opening of a clip's file). A program may open a clip more than once, and some clips when it starts:
of the openings of the undisturbed run, as many as make whole ones per clip are the former, and the
rest is the start's.
"""

import ctypes
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

from turns import table

from peers.extraction import extract, images
from peers.measure import Usage, run
from peers.peer import Job, peer, versions

PEERS = ("avsc", "litdata", "datachain", "ray")
SEED, FEWEST, MOST = 1, 2, 14
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


@dataclass(frozen=True)
class Openings:
    """How often a program opens a clip, and how often any when it starts."""

    per_clip: int
    per_start: int

    def begun(self, total: int, starts: int) -> int:
        """Return how many clips were begun in so many openings."""
        return round((total - starts * self.per_start) / self.per_clip)


def undisturbed(name: str, job: Job) -> tuple[Usage, Openings]:
    """Make all; return what it took, and how it opened the clips."""
    with Opened(job.folder) as opened:
        usage = extract(name, job)
        return usage, Openings(*divmod(opened.total(), len(job.videos)))


def disturbed(name: str, job: Job, openings: Openings, kills: int) -> tuple[list[Usage], int]:
    """Make all in spite of kills; return what each start took, and how many clips were begun."""
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir(parents=True)
    random, usages = Random(SEED), []
    command = ["-m", "peers.work", name, "extract", job.encoded()]
    with Opened(job.folder) as opened:
        for _ in range(kills):
            clips = random.randint(FEWEST, MOST)
            until = opened.total() + openings.per_start + openings.per_clip * clips
            stop = partial(_reached, opened, until)
            usages.append(run(command, job.out / "log", kill_when=stop))
            if usages[-1].status == 0:
                break
        else:
            usages.append(run(command, job.out / "log"))
        return usages, openings.begun(opened.total(), len(usages))


def row(name: str, job: Job, kills: int) -> str:
    """Return a peer's row."""
    module = peer(name)
    whole = replace(job, out=job.out / "whole")
    usage, openings = undisturbed(name, whole)
    expected = images(name, whole)
    broken = replace(job, out=job.out / "broken")
    usages, begun = disturbed(name, broken, openings, kills)
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
        f"{begun - len(job.videos)} | {usage.cpu:.0f} | {spent - usage.cpu:.0f}"
    )


def rows(job: Job, names: Sequence[str], kills: int) -> Iterator[str]:
    """Yield the rows of the table."""
    for name in names:
        own = replace(job, out=job.out / name)
        shutil.rmtree(own.out, ignore_errors=True)
        try:
            yield row(name, own, kills)
        except (RuntimeError, ImportError) as fault:
            reason, module = str(fault).strip().splitlines()[-1], peer(name)
            head = f"{versions(module.PACKAGES[:1])} | {module.RERUN}"
            yield f"{head} | did not run: {reason} | | | | | | "


def report(job: Job, names: Sequence[str], kills: int) -> None:
    """Print the table."""
    table(
        "peer | rerun | kills before it was done | clips lost | in the output twice | "
        "bytes differ | clips begun again | CPU s undisturbed | CPU s lost",
        *rows(job, names, kills),
    )
