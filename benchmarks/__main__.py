"""The benchmarks of speed, one after the other, under the date and the machine.

python benchmarks [NAME ...]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from machine import described

PROGRAMS = (
    "pictures",
    "sound",
    "extraction",
    "startup",
    "reading",
    "pixels",
    "stored_size",
    "sharing",
    "memory",
    "closing",
    "dask_overhead",
    "interval_coverage",
)
"""Those that need nothing but time. Others, by name or by hand."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", metavar="NAME", default=PROGRAMS)
    print(described(), flush=True)
    for name in parser.parse_args().programs:
        print(f"\n## {name}\n", flush=True)
        program = Path(__file__).with_name(f"{name}.py")
        subprocess.run([sys.executable, program], check=True)


if __name__ == "__main__":
    main()
