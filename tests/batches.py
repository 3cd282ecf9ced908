"""Many small tries in a process of their own, which may crash or hang and harm nobody.

A module of tries is run as ``python -m MODULE FOLDER SEED FIRST COUNT``, and prints a line of JSON
after each try, by `report`.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 120.0  # seconds that a try may take, on a machine that does other things too


@dataclass
class Tally:
    """What many tries came to.

    Attributes:
        found: how many came to what.
        amiss: what was not as it should be, with the number of the try.
    """

    found: Counter[str] = field(default_factory=Counter)
    amiss: list[str] = field(default_factory=list)

    @property
    def tries(self) -> int:
        """Number of tries."""
        return self.found.total()


def report(first: int, count: int, attempt: Callable[[int], str]) -> None:
    """Make tries and print what they come to; what is wrong begins with ``!``."""
    for number in range(first, first + count):
        try:
            found = attempt(number)
        except BaseException as fault:
            found = f"!{type(fault).__name__}: {fault}"
        print(json.dumps({"number": number, "found": found}), flush=True)


def in_batches(
    module: str, folder: Path, seed: int, first: int, count: int, size: int = 200
) -> Tally:
    """Run tries [first, first + count) of a module, and go on behind each that ends its process."""
    tally, at = Tally(), first
    if count == 0:
        _batch(module, folder, seed, at, 0, tally)
    while at < first + count:
        at = _batch(module, folder, seed, at, min(size, first + count - at), tally)
    return tally


def _batch(module: str, folder: Path, seed: int, first: int, count: int, tally: Tally) -> int:
    """Run one process; return the number of the next try."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-m", module, str(folder), str(seed), str(first), str(count)]
    environment = {**os.environ, "PYTHONPATH": here}
    said = folder / "said"
    with said.open("wb") as out:
        try:
            status = subprocess.run(
                command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False,
                timeout=LIMIT + 5 * count,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            status = None
    for line in said.read_text(errors="replace").splitlines():
        if not line.startswith('{"number"') or "found" not in (each := json.loads(line)):
            continue
        found, first = each["found"], each["number"] + 1
        tally.found[found.lstrip("!").split(":")[0]] += 1
        tally.amiss += [f"{each['number']}: {found[1:]}"] if found.startswith("!") else []
    if status == 0:
        return first
    how = "hangs" if status is None else f"ends its process with status {status}"
    tally.found[how] += 1
    tally.amiss.append(f"{first}: {how}: {said.read_text(errors='replace')[-1000:]}")
    return first + 1
