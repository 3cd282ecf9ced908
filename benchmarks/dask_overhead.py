"""What Dask adds to a block: the driver and one worker, beside a bare loop over the same blocks.

Both make the same blocks of the same clips into stores of their own, in turn, over and over, on one
core of work: `work(task)` in a loop, and the driver of `avsc-prep extract` with its claims, its
record of events and one local worker that is up already. The rows are medians of a block's seconds.
The last line takes what is added against the time that a block of 64 clips of 1280 x 720 takes.

    python benchmarks/dask_overhead.py [--rounds 5] [--size 160x90]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from memory import make_recording

from avsc.features.specs import SPECS
from avsc.manifests.clips import Clip
from avsc.preprocess.block import work
from avsc.preprocess.claims import Claims
from avsc.preprocess.events import Events
from avsc.preprocess.plan import Task
from avsc.preprocess.progress import Reporter
from avsc.preprocess.run import Driver
from avsc.preprocess.workers import Workers, local_workers

SIZES = ((1, 24), (8, 6), (64, 2))  # clips in a block, blocks in a round
ROW = "{:>14} {:>14} {:>14} {:>14} {:>9}"
FULL, SAMPLE = 64, 4
How = Callable[[list[Task], Workers], None]


def tasks(root: Path, store: Path, size: int, count: int) -> Iterator[Task]:
    """Yield blocks of one recording under many names."""
    specs = {name: spec() for name, spec in SPECS.items()}
    todo = dict.fromkeys(specs, frozenset(range(size)))
    for block in range(count):
        clips = tuple(Clip(f"{block}-{n:02d}", "x", "clip.wav", "clip.mp4") for n in range(size))
        yield Task(store, root, block, clips, specs, todo)


def bare(some: list[Task], _: Workers) -> None:
    """Make blocks in a loop."""
    for task in some:
        work(task)


def by_dask(some: list[Task], workers: Workers) -> None:
    """Make blocks as `avsc-prep extract` does."""
    store = some[0].store
    with Claims(store) as claims, Events(store) as events, Reporter(len(some)) as reporter:
        Driver(workers, claims, events, reporter, lambda _: None).run(some)


def seconds(how: How, root: Path, size: int, count: int, workers: Workers) -> float:
    """Return the seconds that each of so many blocks takes."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        some = list(tasks(root, Path(folder), size, count))
        begin = time.perf_counter()
        how(some, workers)
        return (time.perf_counter() - begin) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="160x90", help="of the small video, pixels")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder, local_workers(1, None, False) as workers:
        small, large = Path(folder) / "small", Path(folder) / "large"
        for root, of in ((small, (width, height)), (large, (1280, 720))):
            root.mkdir()
            make_recording(root, *of, 10)
        full = FULL * seconds(bare, large, SAMPLE, 1, workers) / SAMPLE
        print(ROW.format("clips a block", "bare loop, s", "by Dask, s", "added, ms", "added"))
        for size, count in SIZES:
            seconds(by_dask, small, size, 1, workers)
            pairs = [
                [seconds(how, small, size, count, workers) for how in (bare, by_dask)]
                for _ in range(options.rounds)
            ]
            loop, dask = (statistics.median(column) for column in zip(*pairs, strict=True))
            added = statistics.median(two - one for one, two in pairs)
            row = f"{loop:.3f}", f"{dask:.3f}", f"{1000 * added:.1f}", f"{added / loop:.1%}"
            print(ROW.format(size, *row), flush=True)
        print(
            f"\nA block of {FULL} clips of 1280 x 720 takes {full:.1f} s: {added / full:.2%} added."
        )


if __name__ == "__main__":
    main()
