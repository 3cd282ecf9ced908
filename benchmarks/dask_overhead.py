"""What Dask adds to a block: the driver and one worker, beside a bare loop over the same blocks.

Both make the same blocks of the same clips into stores of their own, in turn, over and over:
`make_block(task)` in a loop, and the driver of `avsc-prep extract` with its claims, its record of
events and one running local worker. Seconds are medians per block, wall-clock and of the
processor; the latter are those of the driver, the worker and its keeper together, whatever they did
at the same time and whatever else the machine did. The last line takes what is added to a block of
64 clips against the time of the processor that such a block of 1280 x 720 takes.

    python benchmarks/dask_overhead.py [--rounds 5] [--clips 1,8,64] [--size 160x90]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from memory import make_recording
from turns import table

from avsc.features.specs import SPECS
from avsc.manifests.clips import Clip
from avsc.preprocess.block import make_block
from avsc.preprocess.block_claims import BlockClaims
from avsc.preprocess.driver import Driver
from avsc.preprocess.events import Events
from avsc.preprocess.plan import BlockTask
from avsc.preprocess.progress import Reporter
from avsc.preprocess.workers.local import Workers, local_workers

FULL, SAMPLE = 64, 4
How = Callable[[list[BlockTask], Workers], None]


def tasks(root: Path, store: Path, size: int, count: int) -> Iterator[BlockTask]:
    """Yield blocks of one recording under many names."""
    specs = {name: spec() for name, spec in SPECS.items()}
    todo = dict.fromkeys(specs, frozenset(range(size)))
    for block in range(count):
        clips = tuple(Clip(f"{block}-{n:02d}", "x", "clip.wav", "clip.mp4") for n in range(size))
        yield BlockTask(store, root, block, clips, specs, todo)


def bare(some: list[BlockTask], _: Workers) -> None:
    """Make blocks in a loop."""
    for task in some:
        make_block(task)


def by_dask(some: list[BlockTask], workers: Workers) -> None:
    """Make blocks as `avsc-prep extract` does."""
    store, clips = some[0].store, sum(len(task.clips) for task in some)
    with BlockClaims(store) as claims, Events(store) as events, Reporter(clips) as reporter:
        Driver(workers, claims, events, reporter, some.__getitem__).run(some)


def spent() -> tuple[float, float]:
    """Return the seconds of the clock, and those of the processor, of this process and its own."""
    here = psutil.Process()
    busy = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return time.perf_counter(), sum(one.user + one.system for one in busy)


def seconds(how: How, root: Path, size: int, count: int, workers: Workers) -> tuple[float, float]:
    """Return the seconds that each of so many blocks takes, of the clock and of the processor."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        some = list(tasks(root, Path(folder), size, count))
        clock, busy = spent()
        how(some, workers)
        clock_after, busy_after = spent()
        assert len(list(Path(folder).rglob("part-*.h5"))) == len(SPECS) * count, "all is made"
        return (clock_after - clock) / count, (busy_after - busy) / count


def measured(
    root: Path, size: int, options: argparse.Namespace, workers: Workers
) -> tuple[str, float]:
    """Return the row of a size of blocks, and the processor's seconds that are added to one."""
    count = max(options.round_clips // size, 2)
    seconds(by_dask, root, size, 1, workers)
    pairs = [
        [seconds(how, root, size, count, workers) for how in (bare, by_dask)]
        for _ in range(options.rounds)
    ]
    cells, added = [str(size)], 0.0
    for kind in (0, 1):
        loop, dask = (statistics.median(p[way][kind] for p in pairs) for way in (0, 1))
        added = statistics.median(p[1][kind] - p[0][kind] for p in pairs)
        cells += f"{loop:.3f}", f"{dask:.3f}", f"{1000 * added:.0f} ms", f"{added / loop:.1%}"
    return " | ".join(cells), added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-clips", type=int, default=24, help="in two or more blocks")
    parser.add_argument("--clips", default="1,8,64", help="in a block")
    parser.add_argument("--size", default="160x90", help="of the small video, pixels")
    parser.add_argument("--full-size", default="1280x720", help="of the large one")
    options = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in (options.size, options.full_size)]
    with tempfile.TemporaryDirectory() as folder, local_workers(1, None, False) as workers:
        small, large = Path(folder) / "small", Path(folder) / "large"
        for root, (width, height) in zip((small, large), sizes, strict=True):
            root.mkdir()
            make_recording(root, (width, height), 10)
        full = FULL / SAMPLE * seconds(bare, large, SAMPLE, 1, workers)[1]
        clips = map(int, options.clips.split(","))
        rows = [measured(small, count, options, workers) for count in clips]
    of_each = "loop, {0}s | Dask, {0}s | added | of it"
    head = " | ".join(["clips a block", of_each.format(""), of_each.format("CPU ")])
    table(head, *(row for row, _ in rows))
    share = rows[-1][1] / full
    print(
        f"\nA block of {FULL} clips of {options.full_size} takes {full:.1f} s: {share:.2%} added."
    )


if __name__ == "__main__":
    main()
