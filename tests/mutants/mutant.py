"""Mutants: small faults, one at a time, that the tests must find.

They are listed in TOML files beside this module, one for each room of the program:

    [[module]]
    file = "features/framing.py"          relative to the project
    tests = ["tests/features/test_x.py"]  what should find them: files or tests, the quickest first

    [[module.mutant]]
    name = "..."    the fault, in words
    was = "..."     a text that occurs once in the file
    now = "..."     what stands in its place
    harm = "..."    what it would do to a user
    tests = [...]   in place of the module's
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Mutant:
    """One fault; see the module."""

    room: str
    name: str
    file: str
    was: str
    now: str
    harm: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """Name that the mutated file is imported by."""
        return ".".join(("avsc", *Path(self.file).with_suffix("").parts))

    def source(self) -> str:
        """Return the mutated source.

        Raises:
            ValueError: the original text does not occur just once, or the mutant changes nothing.
        """
        original = (ROOT / self.file).read_text(encoding="utf-8")
        if (times := original.count(self.was)) != 1:
            raise ValueError(f"{self.name}: {self.was!r} occurs {times} times in {self.file}")
        mutated = original.replace(self.was, self.now)
        if ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(original)):
            raise ValueError(f"{self.name}: changes nothing in {self.file}")
        return mutated


def rooms() -> list[str]:
    """Return the names of the rooms that have mutants."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


def mutants() -> Iterator[Mutant]:
    """Yield all mutants, room by room."""
    for room in rooms():
        listed = tomllib.loads((HERE / f"{room}.toml").read_text(encoding="utf-8"))
        for module in listed["module"]:
            for each in module["mutant"]:
                tests = tuple(each.pop("tests", module["tests"]))
                yield Mutant(room, file=module["file"], tests=tests, **each)
