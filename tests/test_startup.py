"""Both programs say at once what they can do, and which version they are of."""

import os
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from avsc.features.specs import ACOUSTIC


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


@pytest.mark.parametrize("program", ["avsc-prep", "avsc-fit"])
def test_version(program: str) -> None:
    path = Path(sys.executable).with_name(program)
    said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
    assert said == f"{program} {version('avsc')}\n"


@pytest.mark.parametrize(
    ("program", "words", "offered"),
    [
        ("avsc-prep", "avsc-prep ext", ["extract"]),
        ("avsc-fit", "avsc-fit joint --feature ", [*ACOUSTIC]),
    ],
)
def test_shell_completes(program: str, words: str, offered: list[str]) -> None:
    path = Path(sys.executable).with_name(program)
    asked = {
        f"_{program.replace('-', '_').upper()}_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([path], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"plain,{word}" for word in offered]
