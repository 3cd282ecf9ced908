"""Tries of damaged files through the entry points of extraction and of the store's reader.

Try n is of a WAV, an MP4, a CSV or a store file, by n modulo 4. A recording goes through what a
worker calls for each clip, a list through what reads manifests, a file of a store through the
reader, the verifier and the reader of receipts. What comes out is what was there or an error of
ours, and good clips give the same bytes ever after.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
from batches import report
from extraction import ALL, World, everything
from fuzz.mutations import mutated
from media import noise, write_track, write_wav
from videos import drawn, write_video

from avsc.features.clip import ClipRecords
from avsc.features.isolate import make_clip_in_time
from avsc.features.limits import Limits
from avsc.features.store.verify import verify
from avsc.manifests.clips import Dataset
from avsc.manifests.errors import AvscError
from avsc.manifests.table import encode_table, read_rows, read_table
from avsc.preprocess.block import peak_memory
from avsc.preprocess.receipt import read_receipt

LIMITS = Limits(timeout=60)
MEMORY = 1 << 30  # bytes that no try may make this process hold
GOOD_EVERY = 10
LISTS = (
    "id,scene,audio,video,fold,city,location\n"
    + "".join(f"c-{n},bus,a/{n}.wav,v/{n}.mp4,train,lyon,lyon-{n}\n" for n in range(20)),
    "scene\tid\taudio\n" + "".join(f'park\t"c {n}"\ta/{n}.wav\n' for n in range(5)),
    "\ufeffid,scene,video\r\n" + "".join(f"é{n},tram,v/{n}.mp4\r\n" for n in range(5)),
)


def write_corpus(folder: Path) -> None:
    """Write good files of each kind."""
    for kind in ("wav", "mp4", "csv"):
        (folder / kind).mkdir()
    sounds = folder / "wav"
    write_wav(sounds / "24.wav", noise(0, 48_000))
    write_wav(sounds / "16.wav", noise(1, 30_000), 44_100, "PCM_16")
    write_wav(sounds / "float.wav", noise(2, 30_000), 32_000, "FLOAT")
    write_wav(sounds / "flac.flac", noise(3, 30_000), 48_000, "PCM_16")
    soundfile.write(sounds / "x.wav", noise(4, 30_000), 48_000, "PCM_24", format="WAVEX")
    soundfile.write(sounds / "rf64.wav", noise(5, 30_000), 48_000, "PCM_24", format="RF64")
    sights = folder / "mp4"
    images = list(drawn(12, np.random.default_rng(0), 48, 64))
    write_video(sights / "h264.mp4", images, rate=10)
    write_video(sights / "sound.mp4", images, rate=10, silence=1.2)
    write_video(sights / "mpeg4.mp4", images, rate=10, codec="mpeg4")
    write_video(sights / "front.mp4", images, rate=10, container={"movflags": "faststart"})
    write_track(sights / "aac.mp4", noise(6, 48_000), codec="aac")
    write_track(sights / "pcm.mov", noise(7, 30_000))
    for number, text in enumerate(LISTS):
        (folder / "csv" / f"{number}.csv").write_bytes(text.encode())
    World(folder).make()


class Tries:
    """Files that are good, and what becomes of damaged ones."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        if not (folder / "store/index.h5").exists():
            write_corpus(folder)
        self.store = folder / "store"
        self.files = {
            kind: {path: path.read_bytes() for path in sorted((folder / kind).rglob("*.*"))}
            for kind in ("wav", "mp4", "csv", "store")
        }
        for path in [path for path in self.files["store"] if "events" in path.parts]:
            del self.files["store"][path]
        self.wanted = everything(self.store)
        self.good = self._clip(folder / "wav/24.wav", folder / "mp4/h264.mp4")
        assert not self.good.failures

    def attempt(self, number: int) -> str:
        """Make try `number` and return what came of it."""
        draw = np.random.default_rng((self.seed, number))
        kind = ("wav", "mp4", "csv", "store")[number % 4]
        files = self.files[kind]
        path = sorted(files)[draw.integers(len(files))]
        data = mutated(files[path], draw, list(files.values()))
        found = getattr(self, f"_{kind}")(path, data, bool(draw.integers(2)))
        if peak_memory() > MEMORY:
            return f"!memory: {peak_memory() / 1e6:.0f} MB"
        return f"{kind} {found}" if found[0] != "!" else found

    def _wav(self, path: Path, data: bytes, other: bool) -> str:
        fuzzed = self.folder / f"fuzzed{path.suffix}"
        fuzzed.write_bytes(data)
        return self._clips(fuzzed, self.folder / "mp4/h264.mp4" if other else None)

    def _mp4(self, path: Path, data: bytes, other: bool) -> str:
        fuzzed = self.folder / f"fuzzed{path.suffix}"
        fuzzed.write_bytes(data)
        return self._clips(fuzzed if other else self.folder / "wav/24.wav", fuzzed)

    def _clips(self, audio: Path, video: Path | None) -> str:
        made = self._clip(audio, video)
        if any(failure.code == "unforeseen" for failure in made.failures):
            return f"!unforeseen: {made.failures}"
        if any(len(failure.message) > 500 for failure in made.failures):
            return f"!a long message: {made.failures}"
        failed = {failure.product for failure in made.failures}
        for product, records in made.records.items():
            if not records and product not in failed:
                return f"!nothing is said: {product}"
            if product != "images" and not all(np.isfinite(data).all() for _, data in records):
                return f"!not finite: {product}"
        good = self._clip(self.folder / "wav/24.wav", self.folder / "mp4/h264.mp4")
        if not same(good, self.good):
            return "!a good clip differs"
        return "refused" if not any(made.records.values()) else "made" if not failed else "in part"

    def _clip(self, audio: Path, video: Path | None) -> ClipRecords:
        return make_clip_in_time("fuzzed", audio, video, ALL, LIMITS)

    def _csv(self, path: Path, data: bytes, other: bool) -> str:
        fuzzed = self.folder / "fuzzed.csv"
        fuzzed.write_bytes(data)
        try:
            found = read_table(fuzzed, self.folder)
        except AvscError as fault:
            return "refused" if "fuzzed.csv" in str(fault) else f"!not named: {fault}"
        return self._list(found)

    def _list(self, found: Dataset) -> str:
        """Check that a list which was accepted stays in its root, and comes back as it is."""
        for clip in found.clips:
            for name in (clip.audio, clip.video):
                inside = name is None or (found.root / name).resolve().is_relative_to(found.root)
                if not inside:
                    return f"!out of the root: {name!r}"
        copy = self.folder / "copy.csv"
        copy.write_bytes(encode_table(found.clips))
        return "made" if tuple(read_rows(copy)) == found.clips else "!another list comes back"

    def _store(self, path: Path, data: bytes, other: bool) -> str:
        before, receipt = self.files["store"][path], read_receipt(path)
        path.write_bytes(data)
        try:
            if "part-" in path.name and path.suffix == ".json":
                found = read_receipt(path)
                return "refused" if found is None else ("made" if found == receipt else "!believed")
            if other:
                problems = verify(self.store).problems
                if problems:
                    return "refused"
                if path.name.startswith("part-") and data != before:
                    return f"!not found by verify: {path}"
            return "made" if everything(self.store) == self.wanted else f"!other data: {path}"
        except AvscError as fault:
            return "refused" if path.name in str(fault) else f"!not named: {path}: {fault}"
        finally:
            path.write_bytes(before)


def same(one: ClipRecords, other: ClipRecords) -> bool:
    """Tell whether two clips gave the same bytes."""
    return one.failures == other.failures and all(
        [(key, data.tobytes()) for key, data in records]
        == [(key, data.tobytes()) for key, data in other.records[name]]
        for name, records in one.records.items()
    )


def main() -> None:
    """Make tries; see `batches`."""
    folder, seed, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:])
    report(first, count, Tries(folder, seed).attempt)


if __name__ == "__main__":
    main()
