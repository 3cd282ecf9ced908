"""A hundred workers that only pretend: what the driver and Dask's scheduler cost as a set grows.

The driver is the whole program, `avsc-prep extract --scheduler FILE`, with its plan, claims,
events, receipts and closing; the scheduler is Dask's own. The workers are Dask's too, all in one
process: instead of decoding, a block sleeps as long as a block of 64 clips takes, divided by
`--speed` and a fifth more or less, and then writes part files of next to nothing and full
receipts. The recordings are empty files (see `closing`). Files are not flushed by the workers.

For each number of clips: seconds of the processor of driver and scheduler, before the first block,
per block between first and last, and after it; the most memory each held; the rate of blocks; and
the same command again, which finds nothing to do. Under the table, the cost of a block in each
fifth of the run: equal fifths mean that it does not grow as the run goes on.

    python benchmarks/dask_simulation.py [--clips 10000,100000,1000000] [--workers 100] [--speed 60]
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import psutil
from closing import make_recordings
from distributed import Client
from turns import table

SECONDS = 59.2  # of a block of 64 clips of 1280 x 720, docs/performance.md
RECORDINGS, FIFTHS = 2000, 5
POLL = 0.25  # seconds
QUIET = {"distributed.admin.system-monitor.interval": "60s"}
"""For the workers: a hundred would watch one process, twice a second each."""


def farm(scheduler: str, count: int, speed: float) -> None:
    """Be so many workers until killed."""
    from distributed import Worker

    from avsc.preprocess import block
    from avsc.preprocess.workers.local import SETTINGS

    os.fsync = lambda _: None
    block.make_block = pretender(speed)

    async def work() -> None:
        import dask

        with dask.config.set(SETTINGS | QUIET):
            workers = [
                await Worker(scheduler_file=scheduler, nthreads=1, memory_limit=0, dashboard=False)
                for _ in range(count)
            ]
            await asyncio.gather(*(worker.finished() for worker in workers))

    asyncio.run(work())


def pretender(speed: float):  # type: ignore[no-untyped-def]
    """Return a `make_block` that sleeps."""
    import numpy as np

    from avsc.features.clip import empty
    from avsc.features.recording import SourceFile
    from avsc.features.store.layout import part_file, receipt_file
    from avsc.features.store.part import Record, write_part
    from avsc.manifests.clips import located
    from avsc.preprocess.block import BlockSummary
    from avsc.preprocess.plan import BlockTask
    from avsc.preprocess.receipt import Receipt, versions, write_receipt

    def source(path: Path) -> SourceFile:
        found = path.stat()
        return SourceFile(found.st_size, found.st_mtime_ns, "0" * 64)

    def make_block(task: BlockTask) -> BlockSummary:
        seconds = SECONDS / speed * Random(task.block).uniform(0.8, 1.2)
        time.sleep(seconds)
        ids = tuple(clip.id for clip in task.clips)
        names = [{str(clip.audio), str(clip.video)} for clip in task.clips]
        found = tuple({n: source(located(task.root, n)) for n in sorted(some)} for some in names)
        roles = tuple((clip.audio, clip.video) for clip in task.clips)
        for spec in task.specs.values():
            nothing = empty(spec)
            row = np.zeros((1, *nothing.shape[1:]), nothing.dtype)
            records = [Record(clip, 0, row) for clip in range(len(ids))]
            made = write_part(part_file(task.store, spec, task.block), spec, ids, records, nothing)
            receipt = Receipt(ids, found, (), (), *made, seconds, 10**8, versions(), roles)
            write_receipt(receipt_file(task.store, spec, task.block), receipt)
        return BlockSummary(task.block, len(ids), (), (), seconds, 10**8)

    return make_block


@dataclass(frozen=True)
class Sample:
    """What a process had used at a time: seconds of the processor, and bytes."""

    time: float
    cpu: float
    memory: int


class Watched:
    """A process, and what it used as time went on."""

    def __init__(self, pid: int) -> None:
        self._process, self.samples = psutil.Process(pid), [Sample(time.time(), 0, 0)]

    def look(self) -> None:
        """Take a sample, if it lives."""
        try:
            with self._process.oneshot():
                cpu, memory = self._process.cpu_times(), self._process.memory_info().rss
        except psutil.Error:
            return
        if memory:
            self.samples.append(Sample(time.time(), cpu.user + cpu.system, memory))

    def cpu(self, begin: float, end: float) -> float:
        """Return the seconds of the processor between two times."""
        at = [max((s.cpu for s in self.samples if s.time <= t), default=0) for t in (begin, end)]
        return at[1] - at[0]

    @property
    def peak(self) -> float:
        """The most memory, MB."""
        return max(sample.memory for sample in self.samples) / 1e6


def timed(command: list[str], watched: list[Watched]) -> Watched:
    """Run the driver; sample it and others."""
    with (
        tempfile.TemporaryFile() as said,  # a pipe would fill up in a long run
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as child,
    ):
        driver = Watched(child.pid)
        while child.poll() is None:
            for one in (driver, *watched):
                one.look()
            time.sleep(POLL)
        said.seek(0)
        assert child.returncode == 0, said.read().decode()[-1000:]
    return driver


def times_of(store: Path) -> tuple[list[float], list[float]]:
    """Return when blocks were handed out, and when they were done."""
    (record, *_) = sorted((store / "events").rglob("*.jsonl"))
    events = [json.loads(line) for line in record.read_text().splitlines()]
    begun, done = (
        [datetime.fromisoformat(e["time"]).timestamp() for e in events if e["event"] == kind]
        for kind in ("begun", "done")
    )
    return begun, done


def measured(folder: Path, clips: int, workers: int, speed: float) -> tuple[str, str]:
    """Return the row of a number of clips, and that of the fifths of its run."""
    root, store, file = folder / "root", folder / "store", folder / "scheduler.json"
    manifest = make_recordings(root, clips, RECORDINGS)
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
                 "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]  # fmt: skip
    pretend = [
        sys.executable,
        __file__,
        "--farm",
        str(file),
        "--workers",
        str(workers),
        "--speed",
        str(speed),
    ]
    extract = [str(Path(sys.executable).with_name("avsc-prep")), "extract",
               "--manifest", str(manifest), "--out", str(store)]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    others = [subprocess.Popen(scheduler, **quiet)]
    try:
        while not file.exists():
            time.sleep(POLL)
        others.append(subprocess.Popen(pretend, **quiet))
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(workers)
        hub = Watched(others[0].pid)
        attached = ["--scheduler", str(file), "--workers", str(workers)]
        driver = timed([*extract, *attached], [hub])
    finally:
        for process in others:
            process.kill()
            process.wait()
    again = timed(extract, [])
    begun, done = times_of(store)
    first, last = min(begun), max(done)
    blocks, end = len(done), driver.samples[-1]
    size = Counter(path.parent for path in store.rglob("*"))
    row = [
        f"{clips:,} | {blocks:,} | {driver.cpu(0, first):.1f}",
        f"{1000 * driver.cpu(first, last) / blocks:.1f}",
        f"{1000 * hub.cpu(first, last) / blocks:.1f} | {blocks / (last - first):.1f}",
        f"{end.cpu - driver.cpu(0, last):.1f} | {driver.peak:.0f} | {hub.peak:.0f}",
        f"{again.samples[-1].cpu:.1f} | {sum(size.values()):,} | {max(size.values()):,}",
    ]
    edges = [done[min(n * blocks // FIFTHS, blocks - 1)] for n in range(FIFTHS + 1)]
    fifths = [
        f"{1000 * one.cpu(a, b) / (blocks / FIFTHS):.1f}"
        for one in (driver, hub)
        for a, b in pairwise(edges)
    ]
    return " | ".join(row), " | ".join([f"{clips:,}", *fifths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", default="10000,100000,1000000")
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--speed", type=float, default=60)
    parser.add_argument("--folder", type=Path, help="where to make the stores; scratch by default")
    parser.add_argument("--farm", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.farm:
        farm(options.farm, options.workers, options.speed)
        return
    print(f"{options.workers} workers, blocks of {SECONDS / options.speed:.2f} s\n")
    table(
        "clips | blocks | CPU s before the first block | driver, CPU ms a block | "
        "scheduler, CPU ms a block | blocks a second | CPU s after the last | driver, MB | "
        "scheduler, MB | rerun, CPU s | files | most in a folder"
    )
    fifths = []
    for clips in map(int, options.clips.split(",")):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            row, of_run = measured(Path(name), clips, options.workers, options.speed)
        print(f"| {row} |", flush=True)
        fifths.append(of_run)
    print("\nCPU ms a block by fifths of the run, of the driver and of the scheduler:\n")
    heads = [f"{who} {n}" for who in ("driver", "scheduler") for n in range(1, FIFTHS + 1)]
    table(" | ".join(["clips", *heads]), *fifths)


if __name__ == "__main__":
    main()
