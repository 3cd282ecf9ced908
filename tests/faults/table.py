"""All faults, how often each is injected, and the table of what came of them."""

import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faults import damage, killed, several, sources, storage
from faults.ground import Ground
from faults.storage import NotHereError
from faults.trial import RERUN, HangError, Trial

SEED = 2022


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: in words.
        inject: does it once, or a few times, in one trial.
        full: how often `make faults` injects it.
        few: how often the tests do, which have others beside these; 0 for never.
    """

    name: str
    inject: Callable[[Trial], None]
    full: int
    few: int


FAULTS = (
    Fault("SIGKILL of one worker of two", killed.one_worker, 200, 4),
    Fault("SIGKILL of all workers", killed.all_workers, 10, 1),
    Fault("SIGKILL of the program", killed.driver, 50, 1),
    Fault("Ctrl-C once", killed.ctrl_c, 10, 0),
    Fault("Ctrl-C twice", killed.ctrl_c_twice, 10, 1),
    Fault("SIGTERM (walltime) mid-block", killed.walltime, 10, 0),
    Fault("kill -9 between write and rename", killed.before_rename, 15, 0),
    Fault("kill -9 between rename and mark", killed.before_mark, 15, 1),
    Fault("disk full mid-part", storage.full, 5, 0),
    Fault("file-size limit", storage.file_size, 5, 0),
    Fault("read-only output", storage.read_only, 3, 0),
    Fault("recording removed mid-run", sources.removed, 8, 0),
    Fault("recording changed between runs", sources.changed, 6, 0),
    Fault("one byte changed, time restored, `--check content`", sources.byte, 8, 0),
    Fault("10 % of all recordings corrupted", sources.corrupted, 10, 1),
    Fault("decoder crash on one clip", sources.crash, 4, 0),
    Fault("a clip that takes for ever", sources.endless, 3, 0),
    Fault("a clip of absurd size", sources.absurd, 6, 0),
    Fault("clock set back between runs", several.clock, 5, 1),
    Fault("two extractions at once", several.two, 8, 0),
    Fault("overlapping `--part` jobs at once", several.parts, 4, 0),
    Fault("single-bit flips in store and checkpoints", damage.flips, 1000, 50),
    Fault("truncation at every 4 KiB", damage.cuts, 1, 0),
)


@dataclass
class Row:
    """What came of all injections of one fault.

    Attributes:
        fault: its kind.
        times: how often it was injected.
        lost, wrong: as of `Trial`.
        amiss: as of `Trial`, of all trials.
        line: what the user is told; of the first run that said more than what is to do.
        seconds: that it took.
    """

    fault: Fault
    times: int = 0
    lost: int = 0
    wrong: int = 0
    amiss: tuple[str, ...] = ()
    line: str = ""
    seconds: float = 0.0

    def add(self, trial: Trial, number: int) -> None:
        """Count what came of one trial."""
        self.times += trial.times
        self.lost += trial.lost
        self.wrong += trial.wrong
        self.amiss += tuple(f"trial {number}: {text}" for text in trial.amiss)
        if not self.line or re.search(RERUN, self.line):
            self.line = trial.line or self.line


def tried(fault: Fault, ground: Ground, times: int) -> Row:
    """Inject a fault so many times, or a few more."""
    row = Row(fault)
    inject(row, ground, times)
    return row


def inject(row: Row, ground: Ground, times: int) -> None:
    """Inject a row's fault until it was injected so many times, and count what comes of it."""
    begin, number = time.monotonic(), 0
    while row.times < times and number < 2 * times + 10:
        folder = Path(tempfile.mkdtemp(dir=ground.folder, prefix="trial-"))
        draw = np.random.default_rng((SEED, number, *row.fault.name.encode()))
        trial = Trial(ground, folder, draw)
        try:
            row.fault.inject(trial)
        except NotHereError as fact:
            shutil.rmtree(folder)
            row.line = f"not run: {fact}"
            break
        except HangError as fact:
            trial.amiss.append(str(fact))
        trial.end()
        row.add(trial, number)
        number += 1
        row.seconds = time.monotonic() - begin


def markdown(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| fault | times | clips lost | wrong bytes | other defects | message shown |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        said = f"`{row.line}`" if row.line else ""
        counts = f"{row.times} | {row.lost} | {row.wrong} | {len(row.amiss)}"
        yield f"| {row.fault.name} | {counts} | {said} |"


def main() -> None:
    """Inject all faults, or those whose names hold a word given, in full; print the table.

    Ctrl-C ends it early; the table then says what was done.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words, rows = sys.argv[1:], []
    wanted = [f for f in FAULTS if not words or any(word in f.name for word in words)]
    with (
        tempfile.TemporaryDirectory("avsc-faults", ignore_cleanup_errors=True) as folder,
        suppress(KeyboardInterrupt),
    ):
        ground = Ground(Path(folder))
        for fault in wanted:
            rows.append(Row(fault))
            inject(rows[-1], ground, fault.full)
            head = f"{rows[-1].seconds:.0f} s, {fault.name}: {rows[-1].times} times"
            print(head, *rows[-1].amiss, sep="\n  ", flush=True)
    print("", *markdown(rows), sep="\n")
    sys.exit(any(row.lost or row.wrong or row.amiss for row in rows))


if __name__ == "__main__":
    main()
