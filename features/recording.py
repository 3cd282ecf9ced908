"""A recording in memory: its file is opened once, read in order, and digested as it is.

Everything that is decoded, and the digest that says what it was decoded from, come from the same
bytes, so that a file which changes while it is read, or is read twice, cannot give a mixture.
"""

import hashlib
import io
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from avsc.features.limits import Limits
from avsc.manifests.clips import missing_reason
from avsc.manifests.errors import MediaError


@dataclass(frozen=True)
class SourceFile:
    """A file as it was found.

    Attributes:
        size: bytes; -1 for a file that could not be opened.
        modified: time of the last change, nanoseconds since 1970.
        sha256: of the content, or empty when it was not read.
    """

    size: int
    modified: int
    sha256: str = ""


class NamedStream(io.BytesIO):
    """A recording's content as an open file; decoders take a hint from its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


@dataclass(frozen=True)
class Recording:
    """A recording's file, or why it could not be read.

    Attributes:
        source: how it was found.
        content: its bytes; empty with a fault.
        limits: of what may be decoded from it.
        fault: why nothing can be decoded; None when the content is there.
    """

    path: Path
    source: SourceFile
    content: bytes = field(repr=False)
    limits: Limits
    fault: MediaError | None = None

    def stream(self) -> NamedStream:
        """Return the content as an open file."""
        return NamedStream(self.content, str(self.path))


def read_recording(path: Path, limits: Limits | None = None) -> Recording:
    """Read a file; what keeps it from being read is the recording's fault, no exception.

    A fault is a MediaError with the code ``"missing"``, ``"unreadable"``, ``"empty"``,
    ``"too-large"`` or ``"changed"`` (while it was read).
    """
    limits = Limits() if limits is None else limits
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            return _read(path, file, limits)
    except FileNotFoundError:
        fault = MediaError("missing", f"{path}: {missing_reason(path)}; wanted a recording.")
    except OSError as error:
        fault = MediaError("unreadable", f"{path}: {error.strerror}; wanted a recording.")
    return Recording(path, SourceFile(-1, 0), b"", limits, fault)


def look(path: Path, content: bool = False) -> SourceFile:
    """Return how a recording is found now; with its digest when `content` is asked for."""
    try:
        state = path.stat()
        digest = ""
        if content:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return SourceFile(-1, 0)
    return SourceFile(state.st_size, state.st_mtime_ns, digest)


def recorded(recording: Path | Recording) -> Recording:
    """Return a recording whose content is there; a path is read, under the default limits.

    Raises:
        MediaError: its fault; see `read_recording`.
    """
    if not isinstance(recording, Recording):
        recording = read_recording(recording)
    if recording.fault is not None:
        raise recording.fault
    return recording


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; do not wait for the other end of what is a named pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read(path: Path, file: io.FileIO, limits: Limits) -> Recording:
    state = os.fstat(file.fileno())
    source = SourceFile(state.st_size, state.st_mtime_ns)
    fault = _refusal(path, state, limits)
    if fault is None:
        content, state = file.read(), os.fstat(file.fileno())
        if (len(content), state.st_size, state.st_mtime_ns) == (
            source.size,
            source.size,
            source.modified,
        ):
            source = replace(source, sha256=hashlib.sha256(content).hexdigest())
            return Recording(path, source, content, limits)
        fault = MediaError("changed", f"{path}: changed while it was read; run the command again.")
    return Recording(path, source, b"", limits, fault)


def _refusal(path: Path, state: os.stat_result, limits: Limits) -> MediaError | None:
    if not stat.S_ISREG(state.st_mode):
        return MediaError("unreadable", f"{path}: not a file; wanted a recording.")
    if state.st_size == 0:
        return MediaError("empty", f"{path}: 0 bytes; copy the file again.")
    if state.st_size > limits.megabytes * 10**6:
        return MediaError(
            "too-large",
            f"{path}: {state.st_size} bytes; at most {limits.megabytes} MB (--max-megabytes): cut "
            "it into clips.",
        )
    return None
