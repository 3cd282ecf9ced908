"""avsc beside the tools that one would otherwise take, on the same clips.

`make bench-peers`, or, in `benchmarks/` and with that program's environment,

    python -m peers [--tables extraction,killed,streaming] [--peers avsc,litdata] [--rounds 3]
    python -m peers --folder DIR, of MP4 files for the first table
"""

import argparse
import os
import tempfile
from pathlib import Path

from machine import described

from peers import extraction, killed, streaming
from peers.clips import gather, make
from peers.measure import adopt
from peers.peer import Job

TABLES = {"extraction": extraction, "killed": killed, "streaming": streaming}


def chosen(options: argparse.Namespace, table: str) -> list[str]:
    """Return the peers of a table."""
    wanted = options.peers.split(",") if options.peers else TABLES[table].PEERS
    return [name for name in TABLES[table].PEERS if name in wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--peers", help="names, separated by commas")
    parser.add_argument("--clips", type=int, default=5, help="of table 1")
    parser.add_argument("--small-clips", type=int, default=100, help="of table 2")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--unit", type=int, default=2, help="clips that are kept together, table 2")
    parser.add_argument("--images", type=int, default=1920, help="of table 3; 1,000 or more")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="MP4 files to take for table 1")
    parser.add_argument("--scratch", type=Path, help="where clips and results are kept")
    options = parser.parse_args()
    adopt()
    print(f"{described()}; load {os.getloadavg()[1]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = options.scratch or Path(temporary)
        for name in options.tables.split(","):
            print(f"\n## {name}\n", flush=True)
            peers, work = chosen(options, name), scratch / name
            if name == "extraction":
                videos = sorted(options.folder.glob("*.mp4")) if options.folder else []
                videos = videos or make(scratch / "large", options.clips, (1280, 720), 10)
                extraction.report(videos[: options.clips], work, peers, options.rounds)
            if name == "killed":
                videos = make(scratch / "small", options.small_clips, (320, 180), 4)
                job = Job(gather(work / "clips", videos), work, unit=options.unit)
                killed.report(job, peers, options.kills)
            if name == "streaming":
                streaming.report(work, peers, options.images, options.rounds)
        print(f"\nload at the end {os.getloadavg()[1]:.1f}")


if __name__ == "__main__":
    main()
