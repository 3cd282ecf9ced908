"""Table 3: random batches to a trainer: how fast, in how much memory, and resumed exactly or not.

All peers hold the same images and give one epoch of batches of 64 views, 224 pixels, with two
workers, in turn. The rate is from the fifth batch on, as is the processor's time of all processes;
memory is the most that they held together, looked at after every fifth batch (proportional set
size). Then, with what a peer offers for going on in the middle of an epoch: killed after 13
batches, 10 of which were saved, and gone on with three workers instead of two. *Exact*: every image
in an epoch once, in the batches of an undisturbed epoch with two workers. Also: whether an
undisturbed epoch with three workers has the same batches.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from made import SECONDS, make_store
from turns import table

from peers.feed import SAVE_EVERY, Feed
from peers.measure import Usage, run
from peers.peer import peer, versions

PEERS = ("avsc", "litdata", "webdataset", "spdl", "lance")
DIE, SAVED = 13, 10
WORKERS, OTHER = 2, 3
assert SAVED == DIE - DIE % SAVE_EVERY


def epoch(name: str, feed: Feed) -> Usage:
    """Stream an epoch, or what is left of it."""
    feed.out.mkdir(parents=True, exist_ok=True)
    return run(["-m", "peers.feed", name, feed.encoded()], feed.out / "log")


def whole(name: str, feed: Feed) -> Usage:
    """Stream an epoch from its beginning."""
    shutil.rmtree(feed.out, ignore_errors=True)
    usage = epoch(name, feed)
    if usage.status:
        raise RuntimeError(f"{name}: {usage.said}")
    return usage


def measured(usage: Usage) -> list[float]:
    """Return batches a second, ms of the processor a batch and MB, which the program printed."""
    (line,) = [line for line in usage.said.splitlines() if line.startswith("MEASURED")]
    return [float(word) for word in line.split()[1:]]


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
    store = make_store(scratch / "store", images // SECONDS, short_side=320)
    feeds = {name: Feed(scratch / name, scratch / f"{name}-run", WORKERS) for name in names}
    seen: dict[str, list[list[float]]] = {name: [] for name in names}
    faults: dict[str, str] = {}
    for number in range(rounds):
        for name, feed in feeds.items():
            if name in faults:
                continue
            try:
                if not number:
                    write(name, store, feed.data)
                seen[name].append(measured(whole(name, feed)))
            except (RuntimeError, ImportError) as fault:
                faults[name] = str(fault).strip().splitlines()[-1]
    for name in names:
        module = peer(name)
        head = f"{versions(module.PACKAGES[:1])} | {module.FEED}"
        if name in faults:
            yield f"{head} | did not run: {faults[name]} | | | | | "
            continue
        speed, cpu, held = map(median, zip(*seen[name], strict=True))
        try:
            end = resumed(name, feeds[name])
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
