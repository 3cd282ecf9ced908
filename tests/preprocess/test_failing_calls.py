"""Every call that a store rests on, refused in every way that shared file systems have.

One process, into which failing.c is loaded, makes a store under each rule, and then goes on
without it.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from recordings import write_clips

from avsc.manifests.files import ENOTSUPP

ERRORS = ("EIO", "ENOLCK", "ENOSYS", "ENOTSUP", "ENOTSUPP", "EAGAIN", "ESTALE", "ENOSPC")
NUMBERS = {"ENOTSUPP": ENOTSUPP, **{name: getattr(errno, name, ENOTSUPP) for name in ERRORS}}
CALLS = {
    "flock": "store-",
    "write": "part-00001",
    "fsync": "part-00001",
    "fsyncdir": "/000",
    "rename": "part-00001",
}
BOTH = tuple(product(CALLS, ERRORS))
CANNOT_FLUSH = ("ENOSYS", "ENOTSUP", "ENOTSUPP")
Outcome = dict[str, str | bool | None]

PROGRAM = """
import json, os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from extraction import World
from avsc.features.specs import SPECS
from avsc.features.store.layout import Description
from avsc.manifests.errors import AvscError

world = World(Path(sys.argv[2]), write=False)
specs = {"scalogram": SPECS["scalogram"]()}
world.description = Description("small", world.dataset.classes, 2, specs)

def made(rule):
    os.environ["FAILING"] = rule
    try:
        world.make()
    except AvscError as fault:
        return str(fault)

world.store = world.root.parent / "store-whole"
assert made("") is None
whole, found = world.parts(), {}
for number, rule in enumerate(json.loads(sys.argv[3])):
    world.store = world.root.parent / f"store-{number}"
    said = made(rule)
    kept = all(whole[name] == data for name, data in world.parts().items())
    left = any(world.store.rglob(".tmp-*"))
    again = made("")
    found[rule] = {
        "said": said, "kept": kept, "left": left, "again": again, "same": world.parts() == whole
    }
print(json.dumps(found))
"""


def rule_of(call: str, error: str) -> str:
    return f"{call}:{CALLS[call]}:{NUMBERS[error]}"


@pytest.fixture(scope="module")
def outcomes(
    failing: Callable[..., dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("calls")
    write_clips(folder / "root", 4, 1)
    rules = json.dumps([rule_of(*both) for both in BOTH])
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", PROGRAM, tests, str(folder), rules]
    done = subprocess.run(command, env=failing(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Outcome] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("call", "error"), BOTH)
def test_call_that_fails_is_not_needed_or_is_one_line(
    outcomes: dict[str, Outcome], call: str, error: str
) -> None:
    outcome = outcomes[rule_of(call, error)]
    said = outcome.pop("said")
    assert outcome == {"kept": True, "left": False, "again": None, "same": True}
    if call == "flock" or (call == "fsyncdir" and error in CANNOT_FLUSH):
        assert said is None
        return
    assert isinstance(said, str) and "\n" not in said
    assert f"could not be written ({os.strerror(NUMBERS[error])}" in said
    remedy = "Make room" if error == "ENOSPC" else "Look at the file system (`avsc-prep doctor`"
    assert remedy in said
    assert "run the command again; what is already there is kept." in said
