"""Which recordings are done, so that a killed run is resumed by the same command."""

import fcntl
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.infer.many import Outcome

ENTRY = {"name", "end", "failure"}
"""What is written of a recording that is done."""


class Journal:
    """Which recordings are done, in a file that others cannot write meanwhile.

    Args:
        path: the file.
        request: what is done with the recordings, in JSON's types; a run with another cannot be
            resumed.
        names: of all recordings; those that are done must be among them.
        out: what is to be written, for messages.
    """

    def __init__(
        self, path: Path, request: Mapping[str, Any], names: Collection[str], out: Path
    ) -> None:
        self.failures: list[str] = []
        self.done: set[str] = set()
        self.end = 0
        self._path, self._out, self._names = path, out, frozenset(names)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(self._file.fileno()).st_nlink:  # the other has just ended
                raise BlockingIOError
            self._read(request)
        except BlockingIOError:
            self._file.close()
            raise AvscError(
                f"{out}: another process writes answers there. Let it end, or name another --out."
            ) from None
        except BaseException:
            self._file.close()
            raise

    def _read(self, request: Mapping[str, Any]) -> None:
        """Take over what is there, up to the first line that was not written whole."""
        self._file.seek(0)
        header, size = None, 0
        for line in self._file:
            entry = _entry(line)
            if entry is None:
                break
            if not (set(request) if header is None else ENTRY) <= entry.keys():
                raise self._foreign()
            size += len(line)
            if header is None:
                header = entry
                continue
            if entry["name"] not in self._names:
                raise SettingError(
                    f"{self._out}: begun with {entry['name']}, which is not among the recordings "
                    f"now. Name it too to resume, name another --out, or remove {self._path} to "
                    "start over."
                )
            self.done.add(entry["name"])
            self.end = entry["end"]
            if entry["failure"]:
                self.failures.append(entry["failure"])
        if header is None and not _is_torn(self._path.read_bytes()):
            raise self._foreign()
        self._file.truncate(size)
        if header is None:
            self._append(dict(request))
            return
        for name, value in request.items():
            if header.get(name) != value:
                raise SettingError(
                    f"{self._out}: begun with {name} {header.get(name)}, now {value}. Give the "
                    f"same to resume, name another --out, or remove {self._path} to start over."
                )

    def _foreign(self) -> SettingError:
        return SettingError(
            f"{self._path}: is in the way of what `avsc-fit predict` writes while it works, and "
            "not written by it. Name another --out, or move that file."
        )

    def add(self, outcome: Outcome, end: int) -> None:
        """Write that a recording is done, and where its answers end."""
        name = outcome.item.name
        self._append({"name": name, "end": end, "failure": outcome.failure})
        self.done.add(name)
        self.end = end
        if outcome.failure:
            self.failures.append(outcome.failure)

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Let others write."""
        self._file.close()


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return what a line says; None for one that was not written whole."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _is_torn(content: bytes) -> bool:
    """Whether content may be the beginning of a first line, or zeros after a power cut."""
    return not content.strip(b"\0") or (content.startswith(b"{") and b"\n" not in content)
