"""Memory of one worker process: after its imports, a clip, a block, and many.

The clips are one recording under many names: 24-bit stereo sound of 48 kHz and H.264 of 30 frames
a second, key frames 250 frames apart, as in `streams`. The process does what a worker does,
block by block, all three products. Figures are the kernel's: what is resident, and the most that
ever was (which the receipts keep). The last line says what was added a clip after the first block
and never given back.

    python benchmarks/memory.py [--clips 256] [--block-size 64] [--size 1280x720] [--short-side 320]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROW = "{:>24} {:>14} {:>14}"


def resident() -> float:
    """Return what this process holds in memory, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def report(what: str) -> None:
    from avsc.preprocess.block import peak_memory

    print(ROW.format(what, f"{resident():.1f}", f"{peak_memory() / 1e6:.1f}"), flush=True)


def make_recording(root: Path, size: tuple[int, int], seconds: int) -> None:
    """Write the sound and the video of the clip."""
    import numpy as np
    import soundfile
    from streams import STREAMS, street, write

    noise = np.random.default_rng(3).normal(0, 0.01, (48_000 * seconds, 2))
    soundfile.write(root / "clip.wav", noise, 48_000, subtype="PCM_24")
    scene = street(np.random.default_rng(7), seconds)
    write(root / "clip.mp4", scene, STREAMS["GOP 250, two B"], size)


def work_on(root: Path, clips: int, block_size: int, short_side: int) -> None:
    """Work on so many clips, and print what is held on the way."""
    from distributed import Worker  # noqa: F401  (a worker process has imported it)

    from avsc.features.specs import FbankSpec, ImageSpec, ScalogramSpec
    from avsc.manifests.clips import Clip
    from avsc.preprocess.block import make_block
    from avsc.preprocess.plan import BlockTask

    specs = {
        spec.product: spec
        for spec in (ScalogramSpec(), FbankSpec(), ImageSpec(short_side=short_side))
    }
    report("imports")
    done, held = 0, []
    for block, size in enumerate([1, *[block_size] * (clips // block_size)]):
        some = tuple(Clip(f"{done + n:07d}", "x", "clip.wav", "clip.mp4") for n in range(size))
        todo = dict.fromkeys(specs, frozenset(range(size)))
        summary = make_block(BlockTask(root / "store", root, block, some, specs, todo))
        assert not summary.failures, summary.failures
        done += size
        report(f"{done} clip{'s' if done > 1 else ''}")
        if done > 1:
            held.append((done, resident()))
    if len(held) > 1:
        (first, before), (last, after) = held[0], held[-1]
        growth = 1000 * (after - before) / (last - first)
        print(f"growth after the first block: {growth:.1f} kB per clip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--block-size", type=int, default=64)
    parser.add_argument("--size", default="1280x720", help="of the video, pixels")
    parser.add_argument("--seconds", type=int, default=10, choices=range(1, 11))
    parser.add_argument("--short-side", type=int, default=320, help="of the stored images")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.root:
        work_on(options.root, options.clips, options.block_size, options.short_side)
        return
    width, height = map(int, options.size.split("x"))
    print(ROW.format("after", "resident, MB", "peak, MB"), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_recording(Path(folder), (width, height), options.seconds)
        command = [sys.executable, __file__, *sys.argv[1:], "--root", folder]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
