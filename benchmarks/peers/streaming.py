"""Table 3: random batches to a trainer: how fast, in how much memory, and resumed exactly or not.

All peers hold the same images and give one epoch of batches of 64 views, 224 pixels, with two
workers, in turn. The rate is from the tenth batch on; the processor's time is that of all
processes beyond that of a start (an epoch of a twentieth of the images); memory is the most that
all processes held together (proportional set size). Then, with what a peer offers for going on in
the middle of an epoch: killed after 37 batches, 30 of which were saved, and gone on with three
workers instead of two. *Exact* is: every image in an epoch once, in the batches of an undisturbed
epoch with two workers. Also: whether an undisturbed epoch with three workers has the same batches.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil
from made import SECONDS, make_store
from turns import table

from peers.feed import SAVE_EVERY, Feed
from peers.measure import Usage, run
from peers.peer import peer, versions

PEERS = ("avsc", "litdata", "webdataset", "spdl", "lance")
DIE, SAVED = 37, 30
WORKERS, OTHER = 2, 3
assert SAVED == DIE - DIE % SAVE_EVERY


class Memory:
    """The most memory that a program and all below it held together, bytes."""

    def __init__(self) -> None:
        self.peak, self._calls = 0, 0

    def look(self, pid: int) -> None:
        """Look, at every tenth call: it takes a while."""
        self._calls += 1
        if self._calls % 10:
            return
        total = 0
        with suppress(psutil.Error):
            here = psutil.Process(pid)
            for process in (here, *here.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
        self.peak = max(self.peak, total)


def epoch(name: str, feed: Feed, watch: Callable[[int], None] = lambda _: None) -> Usage:
    """Stream an epoch, or what is left of it."""
    feed.out.mkdir(parents=True, exist_ok=True)
    return run(["-m", "peers.feed", name, feed.encoded()], feed.out / "log", watch=watch)


def whole(name: str, feed: Feed, watch: Callable[[int], None] = lambda _: None) -> Usage:
    """Stream an epoch from its beginning."""
    shutil.rmtree(feed.out, ignore_errors=True)
    usage = epoch(name, feed, watch)
    if usage.status:
        raise RuntimeError(f"{name}: {usage.said}")
    return usage


def rate(usage: Usage) -> float:
    """Return the batches a second that the program printed."""
    (line,) = [line for line in usage.said.splitlines() if line.startswith("RATE")]
    return float(line.split()[1])


def listed(feed: Feed) -> list[list[int]]:
    """Return the batches that a feed gave, in their order."""
    return [list(map(int, line.split())) for line in (feed.out / "batches").open()]


def resumed(name: str, feed: Feed) -> str:
    """Return what became of an epoch that was killed and gone on with."""
    undisturbed = listed(feed)
    other = replace(feed, workers=OTHER, out=feed.out.with_name(f"{name}-other"))
    whole(name, other)
    same = "yes" if listed(other) == undisturbed else "no"
    if not peer(name).STATE:
        return f"{same} | none of its own | "
    killed = replace(feed, die_after=DIE, out=feed.out.with_name(f"{name}-killed"))
    shutil.rmtree(killed.out, ignore_errors=True)
    epoch(name, killed)
    kept = listed(killed)[:SAVED]
    (killed.out / "batches").unlink()
    usage = epoch(name, replace(killed, workers=OTHER, die_after=0))
    if usage.status:
        return f"{same} | fails: {usage.said.strip().splitlines()[-1]} | "
    given = kept + listed(killed)
    counts = Counter(number for batch in given for number in batch)
    expected = {number for batch in undisturbed for number in batch}
    lost, twice = len(expected - set(counts)), sum(n > 1 for n in counts.values())
    exact = "yes" if given == undisturbed else "no"
    return f"{same} | {exact} | {lost} lost, {twice} twice"


def rows(scratch: Path, names: Sequence[str], images: int, rounds: int) -> Iterator[str]:
    """Yield the rows of the table."""
    shutil.rmtree(scratch, ignore_errors=True)
    stores = {
        size: make_store(scratch / f"store-{size}", size // SECONDS, short_side=320)
        for size in (images // 20, images)
    }
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    faults: dict[str, str] = {}
    for number in range(rounds):
        for name in names:
            if name in faults:
                continue
            try:
                feeds = []
                for size, store in stores.items():
                    data = scratch / f"{name}-{size}"
                    if not number:
                        write(name, store, data)
                    feeds.append(Feed(data, scratch / f"{name}-run-{size}", WORKERS))
                memory = Memory()
                start, usage = whole(name, feeds[0]), whole(name, feeds[1], memory.look)
            except (RuntimeError, ImportError) as fault:
                faults[name] = str(fault).strip().splitlines()[-1]
                continue
            batches = [len(listed(feed)) for feed in feeds]
            cpu = (usage.cpu - start.cpu) / (batches[1] - batches[0])
            seen[name].append((rate(usage), 1000 * cpu, memory.peak / 1e6))
    for name in names:
        module = peer(name)
        head = f"{versions(module.PACKAGES[:1])} | {module.FEED}"
        if name in faults:
            yield f"{head} | did not run: {faults[name]} | | | | | "
            continue
        speed, cpu, held = map(median, zip(*seen[name], strict=True))
        feed = Feed(scratch / f"{name}-{images}", scratch / f"{name}-run-{images}", WORKERS)
        try:
            end = resumed(name, feed)
        except RuntimeError as fault:
            end = f"fails: {str(fault).strip().splitlines()[-1]} | | "
        yield f"{head} | {speed:.1f} | {cpu:.0f} | {held:.0f} | {end}"


def write(name: str, store: Path, data: Path) -> None:
    """Let a peer write its own format, in a process of its own."""
    code = f"from pathlib import Path; from peers.peer import peer; \
peer({name!r}).write(Path({str(store)!r}), Path({str(data)!r}))"
    usage = run(["-c", code], data.with_suffix(".log"))
    if usage.status:
        raise RuntimeError(f"{name}: {usage.said}")


def report(scratch: Path, names: Sequence[str], images: int, rounds: int) -> None:
    """Print the table."""
    table(
        "peer | what of it | batches a second | CPU ms a batch | memory, MB | same batches with "
        "three workers | resumed exactly | images after the resume",
        *rows(scratch, names, images, rounds),
    )
