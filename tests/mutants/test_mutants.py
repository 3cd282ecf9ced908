"""The table of mutants fits the program, and a mutant takes a module's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutants.mutant import HERE, ROOT, Mutant, mutants

ALL = list(mutants())
ROOMS = {"block", "close", "data", "export", "features", "infer", "metrics", "robustness", "store"}
ROOMS |= {"trainer"}


def test_there_are_enough_in_every_room() -> None:
    assert {mutant.room for mutant in ALL} == ROOMS
    assert len(ALL) >= 120
    assert len({(mutant.file, mutant.name) for mutant in ALL}) == len(ALL)


def test_each_original_is_in_its_file_once_and_each_mutant_compiles() -> None:
    for mutant in ALL:
        compile(mutant.source(), mutant.file, "exec")


def test_each_names_tests_that_there_are() -> None:
    for mutant in ALL:
        assert mutant.tests and mutant.harm, mutant.name
        for test in mutant.tests:
            path, _, function = test.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8")
            assert f"def {function}" in text, f"{mutant.name}: {test}"


def test_what_is_not_there_or_changes_nothing_is_no_mutant() -> None:
    where = {"room": "x", "name": "odd", "file": "features/limits.py", "harm": "", "tests": ()}
    same = ("RATES = range(1_000, 384_001)", "RATES = range(1000, 384001)", "changes nothing")
    for was, now, said in (("nowhere", "", "occurs 0 times"), same):
        with pytest.raises(ValueError, match=said):
            Mutant(was=was, now=now, **where).source()


def test_a_mutant_takes_the_place_of_its_module_in_programs_too(tmp_path: Path) -> None:
    file = tmp_path / "limits.py"
    file.write_text("MAX_JPEG_PIXELS = 7\n")
    overlay = {"MUTANT_MODULE": "avsc.features.limits", "MUTANT_FILE": str(file)}
    code = "from avsc.features import limits, h264; print(limits.MAX_JPEG_PIXELS, h264.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, **overlay, "PYTHONPATH": str(HERE / "overlay")},
    ).stdout.split()  # fmt: skip
    assert said == ["7", str(ROOT / "features" / "h264.py")]
    assert (tmp_path / "limits.used").exists()
