"""Writable cache folders for the libraries, where the home folder cannot be written.

numba, matplotlib, fontconfig, PyTorch and the Hugging Face hub keep caches below the home folder.
In a container that runs as another user there may be none, or a read-only one: they then fail,
warn, or write to a folder called ``~``. The caches then go to a private folder below that for
temporary files. Weights cached in a read-only home are still read.
"""

import atexit
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

READ = {"huggingface": "HF_HOME", "torch": "TORCH_HOME"}
"""Caches of downloaded weights, with the variables that name them."""


def provide_caches() -> None:
    """Set the environment variables by which libraries find writable folders, where needed."""
    with suppress(OSError):  # no folder is writable at all: the libraries do without
        if not os.path.expanduser("~").startswith("/"):  # noqa: PTH111 (Path raises instead)
            os.environ["HOME"] = str(_private_folder())
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        if not _is_writable(cache):
            for name, variable in READ.items():
                if (cache / name).is_dir():
                    os.environ.setdefault(variable, str(cache / name))
            os.environ["XDG_CACHE_HOME"] = str(_private_folder())
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "matplotlib")
        if "MPLCONFIGDIR" not in os.environ and not _is_writable(config):
            os.environ["MPLCONFIGDIR"] = str(_private_folder() / "matplotlib")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_folder() -> Path:
    """Return a folder that only this user can write: numba executes what its cache holds.

    It is kept for the next run, unless another user has taken its name.
    """
    path = Path(tempfile.gettempdir(), f"avsc-cache-{os.geteuid()}")
    with suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        state = path.lstat()
        foreign = state.st_uid != os.geteuid() or state.st_mode & 0o077
        if stat.S_ISDIR(state.st_mode) and not foreign:
            return path
    made = tempfile.mkdtemp(prefix="avsc-cache-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
