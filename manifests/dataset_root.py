"""Paths that stay inside a data set's root.

A list of recordings is somebody else's text: a path in it must not reach out of the data set's own
folder. Links that the user made (to a scratch disk, say) are followed; the rule is about the text.
"""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from avsc.manifests.errors import ManifestError

NAME = r"[^/\\\0:.][^/\\\0:]*"
PLAIN = re.compile(f"{NAME}(?:/{NAME})*")
"""Paths that are well formed at a glance: nearly all, in lists that may have a million."""
DRIVE = re.compile("[A-Za-z]:")
ADDRESS = re.compile("file:|[A-Za-z][A-Za-z0-9+.-]+://", re.IGNORECASE)
FORMS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: unicodedata.normalize("NFD", name),
)
FAULTS: dict[str, Callable[[str], bool]] = {
    "is empty": lambda path: not path,
    "holds a NUL": lambda path: "\0" in path,
    "holds a backslash": lambda path: "\\" in path,
    "is an address": lambda path: bool(ADDRESS.match(path)),
    "is absolute": lambda path: path.startswith("/"),
    "begins with a drive letter": lambda path: bool(DRIVE.match(_normal(path))),
    "leaves the data set's folder": lambda path: ".." in path.split("/"),
    "names no file": lambda path: not _normal(path),
}


def inside(path: str, where: str) -> str:
    r"""Return a path from a list, in its normal form.

    >>> inside("audio/./park-1.wav", "clip park-1")
    'audio/park-1.wav'

    Args:
        path: as the list has it.
        where: what to name in the error: list, line, clip.

    Raises:
        ManifestError: the path is empty, absolute, holds ``..``, a backslash, a drive or NUL.
    """
    if PLAIN.fullmatch(path):
        return path
    if reason := fault_of(path):
        raise ManifestError(
            f"{where}: path {path!r} {reason}; write it relative to the data set's folder, "
            "with forward slashes."
        )
    return _normal(path)


def _normal(path: str) -> str:
    """Return a relative path without the parts that say nothing."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def fault_of(path: str) -> str | None:
    """Return why a path may not be used below a root, or None when it may."""
    return next((reason for reason, holds in FAULTS.items() if holds(path)), None)


def located(root: Path, path: str) -> Path:
    """Return the file below a root that a path from a list names.

    Systems compose accents in the names of files or decompose them (NFC, NFD), and lists that were
    made on another one name them differently. Where nothing has the name as it is written, the
    file or folder that has it in the other form is taken.
    """
    written = root / path
    if path.isascii() or _is_there(written):
        return written
    place = root
    for part in path.split("/"):
        named = (place / form(part) for form in FORMS)
        found = next((one for one in named if _is_there(one)), None)
        if found is None:
            return written
        place = found
    return place


def _is_there(path: Path) -> bool:
    """Return whether there is such a file; what cannot be looked at is not there."""
    try:
        path.stat()
    except OSError:  # `Path.exists` raises what it does not take for absence, as ENAMETOOLONG
        return False
    return True


def missing_reason(path: Path) -> str:
    """Return why a file is not there; names the target of a broken link on the way to it."""
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to {place.readlink()}, which is not there"
    return "no such file"
