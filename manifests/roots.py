"""Paths that stay inside a data set's root.

A list of recordings is somebody else's text: a path in it must not reach out of the data set's own
folder. Links that the user made (to a scratch disk, say) are followed; the rule is about the text.
"""

from pathlib import Path, PurePosixPath

from avsc.manifests.errors import ManifestError


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
    parts = PurePosixPath(path).parts
    if not path or "\0" in path or "\\" in path or path[1:2] == ":":
        reason = "is empty or holds a backslash, a drive letter or NUL"
    elif path.startswith("/"):
        reason = "is absolute"
    elif ".." in parts or not parts:
        reason = "leaves the data set's folder"
    else:
        return str(PurePosixPath(*parts))
    raise ManifestError(
        f"{where}: path {path!r} {reason}; write it relative to the data set's folder, with "
        "forward slashes."
    )


def missing_reason(path: Path) -> str:
    """Return why a file is not there, naming the target of a broken link."""
    if path.is_symlink():
        return f"a link to {path.readlink()}, which is not there"
    return "no such file"
