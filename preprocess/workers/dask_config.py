"""The user's configuration of Dask, looked at before Dask reads it, or kept from it.

Dask reads every YAML and JSON file of its folders when it is imported, and ends that in a traceback
when one of them cannot be read as such. The workers of a cluster need what they say; those of this
machine need nothing of it, so that nothing in them can keep a job of an array from its work.
"""

import importlib
import os
import site
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avsc.manifests.errors import SettingError

SUFFIXES = (".yaml", ".yml", ".json")
NOWHERE = "/dev/null/none"
HIDING = {"HOME": NOWHERE, "DASK_ROOT_CONFIG": NOWHERE, "DASK_CONFIG": NOWHERE}
"""What keeps Dask from the folders of users and machines; it has no switch for that."""


def check_dask_files() -> list[Path]:
    """Return the files that Dask will read.

    Raises:
        SettingError: one of them is not YAML, or not settings; it is named.
    """
    import yaml

    files = [path for folder in _folders() for path in _files(folder)]
    for path in files:
        try:
            content = yaml.safe_load(path.read_text())
        except OSError:  # Dask passes over it, too
            continue
        except (yaml.YAMLError, ValueError) as fault:
            mark = getattr(fault, "problem_mark", None)
            where = "" if mark is None else f", line {mark.line + 1}"
            reason = getattr(fault, "problem", None) or str(fault)
            raise SettingError(
                f"{path}{where}: a file of Dask's settings that is not YAML ({reason}). Fix it or "
                "remove it."
            ) from fault
        if content is not None and not isinstance(content, dict):
            raise SettingError(
                f"{path}: found {type(content).__name__}, wanted Dask's settings by their names. "
                "Fix it or remove it."
            )
    return files


def import_dask() -> list[Path]:
    """Import Dask with its configuration; return the files of that.

    Raises:
        SettingError: the configuration cannot be used.
    """
    found = check_dask_files()
    try:
        importlib.import_module("distributed")
    except (ValueError, TypeError, AttributeError, LookupError) as fault:
        files = ", ".join(map(str, found)) or "the variables DASK_*"
        raise SettingError(
            f"Dask cannot be started with its settings ({type(fault).__name__}: {fault}). They are "
            f"in {files}."
        ) from fault
    return found


@contextmanager
def hidden_files() -> Iterator[dict[str, str]]:
    """Keep Dask's files from it, here and in processes that are started meanwhile.

    Yields:
        The variables as they were, for those processes once they have imported Dask.
    """
    before = {name: os.environ[name] for name in HIDING if name in os.environ}
    home = os.path.expanduser("~")  # noqa: PTH111 (Path raises without a home)
    os.environ.update(HIDING)
    try:
        yield {**dict.fromkeys(HIDING, ""), "HOME": home, **before}
    finally:
        for name in HIDING:
            os.environ.pop(name, None)
        os.environ.update(before)


def _folders() -> list[Path]:
    """Return where Dask (2026.8) looks for files, without those that are not there."""
    prefixes = (sys.prefix, *site.PREFIXES)
    named = [
        os.environ.get("DASK_ROOT_CONFIG", "/etc/dask"),
        *(f"{prefix}/etc/dask" for prefix in prefixes),
        os.path.expanduser("~/.config/dask"),  # noqa: PTH111 (Path raises without a home)
        *([os.environ["DASK_CONFIG"]] if "DASK_CONFIG" in os.environ else []),
    ]
    return [path for path in map(Path, dict.fromkeys(named)) if path.exists()]


def _files(path: Path) -> list[Path]:
    """Return the files of a folder that Dask reads; one that is named itself is one."""
    try:
        listed = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        return []
    return [file for file in listed if file.suffix.lower() in SUFFIXES or not path.is_dir()]
