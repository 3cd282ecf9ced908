"""Time until a program has said what it can do, beside Python's own start.

python benchmarks/startup.py [--rounds 10]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from turns import in_turn, table

BIN = Path(sys.executable).parent
COMMANDS = {
    "avsc-prep --help": [BIN / "avsc-prep", "--help"],
    "avsc-prep extract --help": [BIN / "avsc-prep", "extract", "--help"],
    "avsc-fit --help": [BIN / "avsc-fit", "--help"],
    "avsc-fit joint --help": [BIN / "avsc-fit", "joint", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    waited: dict[str, list[float]] = {name: [] for name in COMMANDS}

    def run(name: str) -> None:
        begin = time.perf_counter()
        subprocess.run(COMMANDS[name], check=True, stdout=subprocess.DEVNULL)
        waited[name].append(time.perf_counter() - begin)

    busy = in_turn({name: lambda name=name: run(name) for name in COMMANDS}, rounds)
    table(
        "command | s | CPU, s",
        *(
            f"`{name}` | {statistics.median(waited[name][1:]):.2f} | {busy[name] / 1e3:.2f}"
            for name in COMMANDS
        ),
    )


if __name__ == "__main__":
    main()
