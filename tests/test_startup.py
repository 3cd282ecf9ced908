"""Both programs say at once what they can do."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest


def busy(*command: object) -> float:
    """Return the processor's time of a program, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("program", ["avsc-prep", "avsc-fit"])
def test_help_takes_less_than_half_a_second(program: str) -> None:
    """Of the processor's time, at best: what else the machine does is no fault of ours."""
    path = Path(sys.executable).with_name(program)
    assert min(busy(path, "--help") for _ in range(3)) < 0.5
