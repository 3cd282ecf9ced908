"""Puts a mutated module in the original's place, in every Python that is started with it.

Python imports this module by its name when it starts and finds this folder in PYTHONPATH, so that
programs which a test starts have the mutant too. MUTANT_MODULE names the module, MUTANT_FILE the
file that it is taken from. That file has a cache of its own beside it, of bytecode and of numba.
"""

import importlib.util
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path


class Overlay(MetaPathFinder):
    """Finds one module elsewhere; leaves ``FILE.used`` beside the file when it was asked for it."""

    def __init__(self, module: str, file: Path) -> None:
        self.module, self.file = module, file

    def find_spec(self, name, path=None, target=None) -> ModuleSpec | None:
        if name != self.module:
            return None
        self.file.with_suffix(".used").touch()
        return importlib.util.spec_from_file_location(name, self.file)


if "MUTANT_MODULE" in os.environ:
    sys.meta_path.insert(0, Overlay(os.environ["MUTANT_MODULE"], Path(os.environ["MUTANT_FILE"])))
