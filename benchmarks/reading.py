"""Time of reading a random batch of 256 pairs, from our store and from what else there is.

Images are read as JPEG bytes, one thread, by record number; sound as single acoustic frames. A
store is made with the store's own writers and its records are written once more in each other way:

    flat file      all records end to end, positioned reads: the limit
    loose files    one file an image
    tar            shards as of webdataset, by an index of tarfile's offsets
    LMDB           one value an image
    HDF5, a dataset each    one file, one dataset an image: the official baseline's way
    zarr           one array an image

Sound is gathered from memory, which is how the trainer has it; beside a mapped .npy, HDF5 by index
and zarr in chunks of a clip. Warm: all was read once, in order. Cold: before each batch the
kernel is asked to forget the files (posix_fadvise), which it does not do for files that are mapped.

All ways read the same batches in turn, over and over; the figures are medians, of the processor's
time where it is warm, and of the clock's where it is cold. Then: what checking
costs when a record is read for the first time, and the time of opening a store of 200 parts.

    python benchmarks/reading.py [--clips 800] [--rounds 15]
"""

import argparse
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from made import make_store
from numpy.typing import NDArray

from avsc.features.store.reader import Store

BATCH, SHARD, PARTS = 256, 1000, 200
Ints = NDArray[np.int64]


@dataclass
class Way:
    """A way of keeping records.

    Attributes:
        read: reads one.
        files: that it reads from; none where they are mapped.
    """

    read: Callable[[Any], Any]
    files: list[Path]


def flat(folder: Path, records: list[bytes]) -> Way:
    path, start = folder / "flat", np.cumsum([0, *map(len, records)]).tolist()
    path.write_bytes(b"".join(records))
    file = os.open(path, os.O_RDONLY)
    return Way(lambda n: os.pread(file, start[n + 1] - start[n], start[n]), [path])


def loose(folder: Path, records: list[bytes]) -> Way:
    paths = [folder / "loose" / f"{n // SHARD}" / f"{n}.jpg" for n in range(len(records))]
    for path, data in zip(paths, records, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Way(lambda n: paths[n].read_bytes(), paths)


def tar(folder: Path, records: list[bytes]) -> Way:
    paths, place = [], []
    for first in range(0, len(records), SHARD):
        paths.append(folder / f"{first:06d}.tar")
        with tarfile.open(paths[-1], "w") as shard:
            for n, data in enumerate(records[first : first + SHARD], first):
                about = tarfile.TarInfo(f"{n:06d}.jpg")
                about.size = len(data)
                shard.addfile(about, BytesIO(data))
        with tarfile.open(paths[-1]) as shard:
            file = os.open(paths[-1], os.O_RDONLY)
            place += [(file, about.size, about.offset_data) for about in shard]
    return Way(lambda n: os.pread(*place[n]), paths)


def lmdb(folder: Path, records: list[bytes]) -> Way:
    import lmdb as library

    path = folder / "lmdb"
    database = library.open(str(path), map_size=4 * sum(map(len, records)))
    with database.begin(write=True) as writing:
        for n, data in enumerate(records):
            writing.put(b"%06d" % n, data)
    reading = database.begin()
    return Way(lambda n: reading.get(b"%06d" % n), [])


def baseline(folder: Path, records: list[bytes]) -> Way:
    path = folder / "baseline.h5"
    with h5py.File(path, "w") as file:
        for n, data in enumerate(records):
            file[f"{n:06d}"] = np.frombuffer(data, np.uint8)
    opened = h5py.File(path)
    return Way(lambda n: opened[f"{n:06d}"][()], [path])


def zarr(folder: Path, records: list[bytes]) -> Way:
    import zarr as library

    root = library.open_group(folder / "zarr", mode="w")
    arrays = [
        root.create_array(f"{n}", data=np.frombuffer(data, np.uint8), compressors=None)
        for n, data in enumerate(records)
    ]
    files = [path for path in (folder / "zarr").rglob("*") if path.is_file()]
    return Way(lambda n: arrays[n][:], files)


PEERS = {
    "tar with an index": tar,
    "LMDB": lmdb,
    "loose files": loose,
    "HDF5, a dataset each": baseline,
    "zarr, an array each": zarr,
}


def sounds(folder: Path, frames: NDArray[np.float32]) -> dict[str, Way]:
    """Return ways of gathering frames [n, channels, bins] by a batch's row numbers."""
    np.save(folder / "frames.npy", frames)
    with h5py.File(folder / "frames.h5", "w") as file:
        file["frames"] = frames
    mapped = np.load(folder / "frames.npy", mmap_mode="r")
    indexed = h5py.File(folder / "frames.h5")["frames"]

    def by_index(rows: Any) -> Any:
        order = np.argsort(rows)
        return indexed[rows[order]][np.argsort(order)]

    ways = {
        "avsc (in memory)": Way(lambda rows: frames[rows], []),
        "mapped .npy": Way(lambda rows: mapped[rows], []),
        "HDF5 by index": Way(by_index, [folder / "frames.h5"]),
    }
    with suppress(ImportError):
        ways["zarr, a clip a chunk"] = in_chunks(folder, frames)
    return ways


def in_chunks(folder: Path, frames: NDArray[np.float32]) -> Way:
    import zarr as library

    group = library.open_group(folder / "frames.zarr", mode="w")
    chunked = group.create_array(
        "frames", shape=frames.shape, dtype=frames.dtype, chunks=(56, *frames.shape[1:])
    )
    chunked[:] = frames
    chunks = [path for path in (folder / "frames.zarr").rglob("*") if path.is_file()]
    return Way(lambda rows: chunked.oindex[rows], chunks)


def forget(files: list[Path]) -> None:
    """Ask the kernel to drop what it holds of some files."""
    for path in files:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def medians(ways: dict[str, Way], batches: list[Any], whole: bool, cold: bool) -> dict[str, float]:
    """Return milliseconds a batch; `whole` batches are read by one call."""
    clock = time.perf_counter if cold else time.process_time
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for batch in batches:
        numbers = batch if whole else batch.tolist()
        for name, way in ways.items():
            if cold:
                forget(way.files)
            begin = clock()
            if whole:
                way.read(numbers)
            else:
                for n in numbers:
                    way.read(n)
            spent[name].append(1e3 * (clock() - begin))
    return {name: statistics.median(times) for name, times in spent.items()}


def table(ways: dict[str, Way], limit: str, count: int, rounds: int, whole: bool) -> None:
    rng = np.random.default_rng(1)
    batches = [rng.choice(count, min(BATCH, count), replace=False) for _ in range(rounds)]
    for way in ways.values():  # once through: in the cache by reading, and ours verified
        forget(way.files)
        if whole:
            way.read(np.arange(count))
        else:
            for n in range(count):
                way.read(n)
    warm = medians(ways, batches, whole, cold=False)
    cold = medians(ways, batches[: max(3, rounds // 3)], whole, cold=True)
    for name in ways:
        line = f"| {name} | {warm[name]:.2f} | {warm[limit] / warm[name]:.2f} |"
        line += f" {cold[name]:.1f} |" if ways[name].files else " mapped or in memory |"
        both = ways[name].files and ways[limit].files
        print(line + (f" {cold[limit] / cold[name]:.2f} |" if both else " |"), flush=True)


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        spent.append(1e3 * (time.process_time() - begin))
    return statistics.median(spent)


def report(folder: Path, clips: int, rounds: int) -> None:
    path = make_store(folder / "store", clips)
    store = Store.open(path)
    images = store.records("images")
    records = [images.read(n).tobytes() for n in range(len(images))]
    parts = sorted((path / "images").rglob("*.h5"))
    ways = {"flat file": flat(folder, records), "avsc": Way(images.read, parts)}
    for name, make in PEERS.items():
        try:
            ways[name] = make(folder, records)
        except ImportError as fault:
            print(f"{name}: {fault.name} is not installed")
    os.sync()
    size = sum(map(len, records)) / len(records) / 1024
    head = "| {} | warm, ms | speed of {} | cold, ms | speed of {} |\n|---|---|---|---|---|"
    print(f"{len(records)} images of {size:.0f} KiB in {len(parts)} parts; batches of {BATCH}\n")
    print(head.format("images", *["the flat file"] * 2))
    table(ways, "flat file", len(records), rounds, whole=False)

    frames, _ = store.records("scalogram").load()
    print("\n" + head.format("acoustic frames", *["the map"] * 2))
    table(sounds(folder, frames), "mapped .npy", len(frames), rounds, whole=True)

    some = np.random.default_rng(2).choice(len(records), min(BATCH, len(records)), replace=False)

    def first(images: Any) -> None:
        for n in some.tolist():
            images.read(n)

    fresh = [store.records("images") for _ in range(rounds)]
    for each in fresh:
        each.load(np.array([0]))
        for part in range(len(parts)):
            each._file(part)
    once = iter(fresh)
    touch = milliseconds(lambda: first(next(once)), rounds)
    again = milliseconds(lambda: first(images), rounds)
    print(f"\nfirst touch of a batch, warm: {touch:.2f} ms, later {again:.2f} ms")
    many = make_store(folder / "many", PARTS, 1, short_side=16)
    opening = milliseconds(lambda: Store.open(many).records("images"), rounds)
    loading = milliseconds(lambda: store.records("scalogram").load(), 3)
    print(f"opening a store of {PARTS} part files per product: {opening:.1f} ms")
    print(f"reading all its {frames.nbytes / 1e6:.0f} MB of frames into memory: {loading:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), options.clips, options.rounds)


if __name__ == "__main__":
    main()
