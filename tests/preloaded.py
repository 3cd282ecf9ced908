"""Libraries in C that stand before the system's (LD_PRELOAD): calls that fail, another clock."""

import os
import shutil
import subprocess
from pathlib import Path


def compiler() -> str | None:
    """Return the C compiler, or None when there is none."""
    return shutil.which("cc") or shutil.which("gcc")


def preloaded(name: str, folder: Path) -> dict[str, str]:
    """Compile ``tests/<name>.c`` into a folder, unless it is there; return an environment with it.

    The folder's path may hold no blank.
    """
    library, made = Path(__file__).with_name(f"{name}.c"), folder / f"{name}.so"
    if not made.exists():
        command = [str(compiler()), "-shared", "-fPIC", "-o", str(made), str(library), "-ldl"]
        subprocess.run(command, check=True)
    return {**os.environ, "LD_PRELOAD": str(made)}
