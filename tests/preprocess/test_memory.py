"""What a worker holds in memory does not grow with the clips that it has made."""

import re
import subprocess
import sys
from pathlib import Path

MEMORY = Path(__file__).parents[2] / "benchmarks" / "memory.py"
CLIPS, BLOCK = 200, 40


def test_memory_does_not_grow() -> None:
    """One recording that were never given back would be 700 kB a clip, one image 9 kB."""
    command = [sys.executable, MEMORY, "--clips", CLIPS, "--block-size", BLOCK]
    small = ["--size", "96x64", "--seconds", 2]
    done = subprocess.run(
        list(map(str, [*command, *small])), capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3 + CLIPS // BLOCK + 1, done.stdout
    growth = re.fullmatch(r"growth after the first block: (-?[\d.]+) kB per clip", lines[-1])
    assert growth is not None and float(growth[1]) < 20, done.stdout
    peak = float(lines[-2].split()[-1])
    assert peak < 400, done.stdout
