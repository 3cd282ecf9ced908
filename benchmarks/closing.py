"""What a store costs its driver: planning, closing, and a rerun that finds nothing to do.

The store is synthetic. Its parts and receipts are those of so many clips in blocks of 64, with as
many records as clips of ten seconds have, but a record holds next to nothing: planning and closing
read the tables and never the records. The recordings are empty files, so many a set, each named by
as many clips as it takes. Everything is warm: it was just written. Each row is one whole program,
from the shell to its end; memory is the most that it held, by the kernel's count. What a run does
after its last block is what `closing` does, start-up and reading the clip table excepted.

    python benchmarks/closing.py [--clips 12291] [--recordings 12291] [--folder DIR]
    python benchmarks/closing.py --clips 1000000 --recordings 2000 [--no-parts]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from turns import table

BLOCK, PICTURES = 64, 10
FEW = 5  # blocks whose receipts are taken away before a plan that has something to do


def make_recordings(root: Path, clips: int, recordings: int) -> Path:
    """Write empty recordings, a thousand a folder, and the manifest; return the latter."""
    from avsc.manifests.clips import Clip
    from avsc.manifests.table import encode_table

    names = []
    for number in range(min(recordings, clips)):
        name = f"{number // 1000:03d}/{number:07d}"
        pair = f"audio/{name}.wav", f"video/{name}.mp4"
        for path in (root / one for one in pair):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        names.append(pair)
    table = [
        Clip(f"scene{n % 10}-city{n % 12}-{n:07d}", f"scene{n % 10}", *names[n % len(names)])
        for n in range(clips)
    ]
    manifest = root / "synthetic.csv"
    manifest.write_bytes(encode_table(table))
    return manifest


def make_store(store: Path, manifest: Path) -> None:
    """Write the parts and receipts of all blocks; the store is left open."""
    import numpy as np

    from avsc.features.clip import empty
    from avsc.features.specs import SPECS
    from avsc.features.store.layout import Description, part_file, receipt_file
    from avsc.features.store.part import Record, write_part
    from avsc.manifests.table import read_table
    from avsc.preprocess.close import open_store
    from avsc.preprocess.plan import sources
    from avsc.preprocess.receipt import Receipt, versions, write_receipt

    os.fsync = lambda _: None  # the store need not outlive a power cut
    dataset = read_table(manifest, manifest.parent)
    specs = {name: spec() for name, spec in SPECS.items()}
    open_store(store, dataset.clips, Description("synthetic", dataset.classes, BLOCK, specs))
    pairs = {(clip.audio, clip.video): clip for clip in dataset.clips}
    nothing = {name: empty(spec) for name, spec in specs.items()}
    row = {name: np.zeros((1, *none.shape[1:]), none.dtype) for name, none in nothing.items()}
    as_found = {pair: sources(dataset.root, clip, content=True) for pair, clip in pairs.items()}
    for block in range(-(-len(dataset.clips) // BLOCK)):
        clips = dataset.clips[block * BLOCK : (block + 1) * BLOCK]
        ids = tuple(clip.id for clip in clips)
        found = tuple(as_found[clip.audio, clip.video] for clip in clips)
        for name, spec in specs.items():
            keys = range(PICTURES if name == "images" else 1)
            records = [Record(clip, key, row[name]) for clip in range(len(ids)) for key in keys]
            made = write_part(part_file(store, spec, block), spec, ids, records, nothing[name])
            receipt = Receipt(ids, found, (), (), *made, 50.0, 300_000_000, versions())
            write_receipt(receipt_file(store, spec, block), receipt)


def timed(*command: object) -> tuple[str, str, str]:
    """Run a program; return its seconds, those of the processor, and the most MB that it held."""
    begin = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, (command, child.returncode)
    busy = usage.ru_utime + usage.ru_stime
    seconds = time.perf_counter() - begin
    return f"{seconds:.1f}", f"{busy:.1f}", f"{usage.ru_maxrss * 1024 / 1e6:.0f}"


def measured(manifest: Path, store: Path) -> Iterator[tuple[str, ...]]:
    """Yield what was done, and what `timed` says of it."""
    prep = Path(sys.executable).with_name("avsc-prep")
    extract = (prep, "extract", "--manifest", manifest, "--out")
    yield "avsc-prep --help", *timed(prep, "--help")
    yield "plan, nothing is made", *timed(*extract, store.with_name("none"), "--dry-run")
    if not store.exists():
        return
    yield "closing", *timed(prep, "close", store)
    yield "rerun that finds nothing to do", *timed(*extract, store)
    for path in sorted((store / "images").rglob("part-*.json"))[:FEW]:
        path.unlink()
    yield f"plan, {FEW} blocks are missing", *timed(*extract, store, "--dry-run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12_291)
    parser.add_argument("--recordings", type=int, default=12_291, help="different ones")
    parser.add_argument("--folder", type=Path, help="where to make the store; scratch by default")
    parser.add_argument("--no-parts", action="store_true", help="only what needs none is measured")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:  # in a process of its own: this one's memory would count as its children's
        manifest = make_recordings(options.make / "root", options.clips, options.recordings)
        if not options.no_parts:
            make_store(options.make / "store", manifest)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make", folder], check=True)
        print(f"{options.clips} clips, {min(options.clips, options.recordings)} recordings\n")
        rows = measured(folder / "root" / "synthetic.csv", folder / "store")
        table("what | s | CPU, s | memory, MB", *map(" | ".join, rows))


if __name__ == "__main__":
    main()
