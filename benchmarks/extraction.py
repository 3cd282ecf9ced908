"""Speed of a whole extraction, beside bare loops; where the time goes; what all of it costs.

Three clips are made (24-bit stereo sound, H.264 of 720p as in `streams`) and stand in the list
under many names. Three tables:

1. `avsc-prep extract` with two workers, beside two bare loops over the function that makes a clip,
   one process each, half the clips each. Both ways run in turn. The loops' time is that of the two
   processes from start to end; extraction's is that from its first block handed out to its last one
   done, by the store's own record of events, and that of the whole command. The processor's time
   is that of all processes; of its blocks alone it is not known. The line under the table says for
   what part of the time from first to last block the workers were at work on blocks.
2. A profile of the work on one block: what share of the processor's time is spent in which
   functions, their callees included. The profiler is Python's own: it slows down calls of Python
   functions, which are few here.
3. Seconds and bytes of a clip, of the same block, times the clips of TAU2021, and times a million:
   extrapolated. Files are counted from the store's layout.

    python benchmarks/extraction.py [--clips 192] [--rounds 3] [--folder DIR, where clips are kept]
"""

import argparse
import cProfile
import json
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import streams
from turns import spent, table

from avsc.features.specs import SPECS
from avsc.manifests.clips import Clip
from avsc.manifests.table import encode_table
from avsc.preprocess.block import make_block
from avsc.preprocess.forecast import FILES_OF_A_BLOCK, FILES_OF_A_STORE
from avsc.preprocess.plan import BlockTask

LOOPS = WORKERS = 2
BLOCK = 64
CODINGS = ("GOP 250", "GOP 30", "GOP 250, two B")
PARTS = {
    "decoding video": ("features/video.py", "decoded"),
    "reading packets, opening decoders": ("features/video.py", "_read"),
    "which images, which runs": ("features/timeline.py", "timeline_of"),
    "conversion to RGB and scaling": ("features/images.py", "rgb"),
    "encoding JPEG": ("features/jpeg.py", "encode"),
    "reading files, digests": ("features/recording.py", "read_recording"),
    "sound": ("features/clip.py", "_add_sound"),
    "writing parts and receipts": ("preprocess/block.py", "_publish"),
}
"""Functions that do not call each other."""

SIZES = {"TAU2021": 12_291, "a million clips": 1_000_000}


def make_media(folder: Path, size: tuple[int, int], seconds: int) -> None:
    """Write one sound, and a video for each coding."""
    rng = np.random.default_rng(3)
    soundfile.write(
        folder / "clip.wav", rng.normal(0, 0.01, (48_000 * seconds, 2)), 48_000, "PCM_24"
    )
    scene = list(streams.street(np.random.default_rng(7), seconds))
    for i, coding in enumerate(CODINGS):
        streams.write(folder / f"{i}.mp4", scene, streams.STREAMS[coding], size)


def clips(count: int) -> list[Clip]:
    names = [f"{n:04d}" for n in range(count)]
    return [Clip(n, "x", "clip.wav", f"{int(n) % len(CODINGS)}.mp4") for n in names]


def loop(folder: Path, some: Sequence[Clip]) -> None:
    """Make clips, one after the other, and forget them."""
    from threadpoolctl import threadpool_limits

    from avsc.features.clip import make_clip

    specs = {name: spec() for name, spec in SPECS.items()}
    with threadpool_limits(1):
        for clip in some:
            made = make_clip(clip.id, folder / str(clip.audio), folder / str(clip.video), specs)
            assert not made.failures, made.failures


def bare_loops(folder: Path, count: int) -> None:
    """Let all loops run at once, and wait for them."""
    command = [sys.executable, __file__, "--folder", folder, "--clips", count, "--loop"]
    loops = [subprocess.Popen([*map(str, command), str(n)]) for n in range(LOOPS)]
    statuses = [one.wait() for one in loops]
    assert not any(statuses), statuses


def extraction(folder: Path, count: int, block: int) -> None:
    """Extract into a new store."""
    store, manifest = folder / "store", folder / "clips.csv"
    shutil.rmtree(store, ignore_errors=True)
    manifest.write_bytes(encode_table(clips(count)))
    command = [Path(sys.executable).with_name("avsc-prep"), "extract", "--manifest", manifest,
               "--out", store, "--workers", WORKERS, "--block-size", block]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def first_to_last(store: Path) -> tuple[float, float]:
    """Return the seconds from the first block to the last, and what part of them was worked."""
    (record,) = (store / "events").rglob("*.jsonl")
    events = [json.loads(line) for line in record.read_text().splitlines()]
    begun, done = (
        [datetime.fromisoformat(e["time"]) for e in events if e["event"] == kind]
        for kind in ("begun", "done")
    )
    seconds = (max(done) - min(begun)).total_seconds()
    worked = sum(e["seconds"] for e in events if e["event"] == "done")
    return seconds, worked / (WORKERS * seconds)


def timed(way: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds that a way takes, and those of the processor."""
    begin, busy = time.perf_counter(), spent()
    way()
    return time.perf_counter() - begin, spent() - busy


def report_speed(folder: Path, count: int, block: int, rounds: int) -> None:
    seen = []
    for _ in range(rounds):
        loops = timed(partial(bare_loops, folder, count))
        whole = timed(partial(extraction, folder, count, block))
        seen.append((*loops, *whole, *first_to_last(folder / "store")))
    loop_s, loop_cpu, whole_s, whole_cpu, blocks_s, at_work = map(median, zip(*seen, strict=True))
    print(f"{count} clips in blocks of {block}; medians of {rounds}:\n")
    table(
        "way | s | speed relative to the loops | CPU, s | speed relative to the loops",
        f"two bare loops | {loop_s:.1f} | 1.000 | {loop_cpu:.1f} | 1.000",
        f"avsc-prep extract, first block to last | {blocks_s:.1f} | {loop_s / blocks_s:.3f} | | ",
        f"avsc-prep extract, the whole command | {whole_s:.1f} | {loop_s / whole_s:.3f} | "
        f"{whole_cpu:.1f} | {loop_cpu / whole_cpu:.3f}",
    )
    print(f"\nWorkers were busy {100 * at_work:.1f} % of first block to last.")


def profiled(folder: Path, count: int) -> tuple[float, list[tuple[str, float]], int]:
    """Return the seconds of a block, the share of each part, and the bytes that were made."""
    some = tuple(clips(count))
    specs = {name: spec() for name, spec in SPECS.items()}
    todo = dict.fromkeys(specs, frozenset(range(count)))
    store = folder / "profiled"
    shutil.rmtree(store, ignore_errors=True)
    profile = cProfile.Profile(time.process_time)
    loop(folder, some[:1])  # what is loaded once counts for no clip
    profile.runcall(make_block, BlockTask(store, folder, 0, some, specs, todo))
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    cumulative = {(path, name): each[3] for (path, _, name), each in stats.items()}
    seconds = {
        what: sum(s for (path, name), s in cumulative.items() if path.endswith(file) and name == of)
        for what, (file, of) in PARTS.items()
    }
    total = max(cumulative.values())
    shares = [(what, s / total) for what, s in seconds.items()]
    made = sum(path.stat().st_size for path in store.rglob("*.h5"))
    return total, [*shares, ("all else", 1 - sum(share for _, share in shares))], made


def report_profile(shares: list[tuple[str, float]]) -> None:
    table("part | share", *(f"{what} | {100 * share:.1f} %" for what, share in shares))


def report_costs(seconds: float, size: float) -> None:
    """Print what so many seconds and bytes a clip come to."""
    rows = []
    for name, number in SIZES.items():
        files = FILES_OF_A_BLOCK * len(SPECS) * -(-number // BLOCK) + FILES_OF_A_STORE
        hours, gigabytes = number * seconds / 3600, number * size / 1e9
        rows.append(f"{name} | {number:,} | {hours:,.1f} | {gigabytes:,.1f} | {files:,}")
    table("set | clips | core-hours | GB | files", *rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--block-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where clips are kept; scratch by default")
    parser.add_argument("--size", default="1280x720", help="of the videos, pixels")
    parser.add_argument("--seconds", type=int, default=10, choices=range(1, 11))
    parser.add_argument("--loop", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop is not None:
        loop(options.folder, clips(options.clips)[options.loop :: LOOPS])
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "clip.wav").exists():
            width, height = map(int, options.size.split("x"))
            make_media(folder, (width, height), options.seconds)
        report_speed(folder, options.clips, options.block_size, options.rounds)
        count = 2 * len(CODINGS)
        seconds, shares, size = profiled(folder, count)
        print(f"\nA block of {count} clips, {seconds / count:.3f} s per clip:\n")
        report_profile(shares)
        print(f"\n{seconds / count:.3f} s and {size / count / 1e6:.3f} MB per clip make:\n")
        report_costs(seconds / count, size / count)


if __name__ == "__main__":
    main()
