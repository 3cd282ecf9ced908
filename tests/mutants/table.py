"""All mutants against their tests, and the table of what came of them."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mutants.forks import Outcome, Trial, outcomes
from mutants.mutant import Mutant, mutants, rooms

TARGET = 0.95
"""Share of the mutants that must be killed."""


def markdown(tried: Iterable[Outcome]) -> Iterator[str]:
    """Yield the lines of the table: killed by room, and the survivors by name."""
    found = list(tried)
    yield "| room | mutants | killed | survived |"
    yield "|---|---|---|---|"
    for room in (*rooms(), None):
        mine = [each for each in found if room is None or _mutant(each).room == room]
        if mine:
            killed = sum(each.killed for each in mine)
            share = f"{killed} ({100 * killed / len(mine):.1f} %)"
            yield f"| {room or 'all'} | {len(mine)} | {share} | {len(mine) - killed} |"
    for each in found:
        if not each.killed:
            mutant = _mutant(each)
            yield f"\n- survived: {mutant.name} (`{mutant.file}`): {mutant.harm}"


def _mutant(outcome: Outcome) -> Mutant:
    assert outcome.trial.mutant is not None
    return outcome.trial.mutant


def _passing(wanted: Iterable[Mutant], folder: Path, jobs: int) -> None:
    """End the program unless all the tests named pass without a mutant."""
    every = dict.fromkeys(test for mutant in wanted for test in mutant.tests)
    for each in outcomes([Trial((test,)) for test in every], folder, jobs):
        print(f"{each.seconds:6.1f} s  {each.trial.tests[0]}", flush=True)
        if each.status != 0:
            print(each.output)
            sys.exit(f"{each.trial.tests[0]} does not pass without a mutant")


def _tried(wanted: Iterable[Mutant], folder: Path, jobs: int) -> Iterator[Outcome]:
    """Try mutants and say what came of each."""
    for each in outcomes([Trial(m.tests, m) for m in wanted], folder, jobs):
        mutant = _mutant(each)
        said = "timeout" if each.status is None else "killed" if each.killed else "SURVIVED"
        said = said if each.sound else f"NOT TRIED (status {each.status}, imported: {each.used})"
        print(f"{each.seconds:6.1f} s  {said}: {mutant.file}: {mutant.name}", flush=True)
        if not each.sound:
            print(each.output)
        yield each


def main() -> None:
    """Try all mutants, or those whose names or files hold a word given; print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--unchecked", action="store_true", help="trust that the tests pass")
    options = parser.parse_args()
    words = options.words
    wanted = [m for m in mutants() if not words or any(w in m.name or w in m.file for w in words)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="avsc-mutants-", ignore_cleanup_errors=True) as made:
        for part in ("before", "mutants"):
            Path(made, part).mkdir()
        if not options.unchecked:
            _passing(wanted, Path(made, "before"), options.jobs)
        tried = list(_tried(wanted, Path(made, "mutants"), options.jobs))
    print("", *markdown(tried), sep="\n")
    killed = sum(each.killed for each in tried)
    sys.exit(killed < TARGET * len(tried) or not all(each.sound for each in tried))


if __name__ == "__main__":
    main()
