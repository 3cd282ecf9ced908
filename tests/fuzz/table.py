"""``make fuzz``: many damaged files, and a table of what came of them."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from batches import Tally, in_batches

MODULE, SEED, COUNT = "fuzz.tries", 2022, 20_000
KINDS = {
    "wav": "WAV, FLAC, RF64",
    "mp4": "MP4, MOV",
    "csv": "manifests",
    "store": "files of a store",
}
CAME = ("refused", "in part", "made")


def fuzzed(folder: Path, first: int, count: int) -> Tally:
    """Make tries [first, first + count)."""
    if not (folder / "store").exists():
        in_batches(MODULE, folder, SEED, 0, 0)
    return in_batches(MODULE, folder, SEED, first, count)


def markdown(tally: Tally) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| damaged | refused | made in part | made or unchanged |"
    yield "|---|---|---|---|"
    for kind, name in KINDS.items():
        yield f"| {name} | {' | '.join(str(tally.found[f'{kind} {came}']) for came in CAME)} |"


def main() -> None:
    """Make so many tries as the command line says, or all; print the table."""
    count, begin = int(sys.argv[1]) if sys.argv[1:] else COUNT, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="avsc-fuzz-") as folder:
        tally = fuzzed(Path(folder), 0, count)
    print(*markdown(tally), "", *tally.amiss, sep="\n")
    print(f"{tally.tries} tries in {time.monotonic() - begin:.0f} s, {len(tally.amiss)} amiss")
    sys.exit(bool(tally.amiss))


if __name__ == "__main__":
    main()
