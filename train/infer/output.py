"""Where answers go: standard output, one file, or a folder with a file a recording.

Files are written beside what they will be called, as recordings are done: ``OUT.partial`` has the
answers, ``OUT.progress`` says up to which byte of it each recording's reach, so that what a killed
run leaves is resumed by the same command: the bytes after the last recording that was done are cut
off, and its recordings are not done again.
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.files import (
    REMEDIES,
    REMEDY,
    make_folder,
    occupied,
    publish,
    reason_of,
    remove,
)
from avsc.train.infer.formats import ENDINGS, Format
from avsc.train.infer.inputs import Item
from avsc.train.infer.many import Outcome


class Output(Protocol):
    """Where answers go.

    Attributes:
        failures: of recordings, those of the run that is resumed too.
        done: names of the recordings that need not be done any more.
    """

    failures: list[str]
    done: set[str]

    def add(self, outcome: Outcome) -> None:
        """Write what became of a recording."""
        ...


class StandardOutput:
    """Answers on standard output; nothing can be resumed."""

    def __init__(self, form: Format) -> None:
        self.failures: list[str] = []
        self.done: set[str] = set()
        self._form = form
        self._write(form.header)

    def add(self, outcome: Outcome) -> None:
        """Write what became of a recording."""
        if outcome.prediction is None:
            self.failures.append(outcome.failure)
        else:
            self._write(self._form.text(outcome.prediction, outcome.item.clip))

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as fault:
            # What is left in the buffer would be written, and fail, once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise AvscError(
                f"standard output: could not be written ({reason_of(fault)}). Write to a file by "
                "--out; the same command then resumes."
            ) from fault


class Journal:
    """Which recordings are done, in a file that others cannot write meanwhile.

    Args:
        path: the file.
        request: what is done with the recordings, in JSON's types; a run with another cannot be
            resumed.
        out: what is to be written, for messages.
    """

    def __init__(self, path: Path, request: Mapping[str, Any], out: Path) -> None:
        self.failures: list[str] = []
        self.done: set[str] = set()
        self.end = 0
        self._path, self._out = path, out
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
            try:
                entry = json.loads(line)
                if not line.endswith(b"\n"):
                    break
            except ValueError:
                break
            size += len(line)
            if header is None:
                header = entry
                continue
            self.done.add(entry["name"])
            self.end = entry["end"]
            if entry["failure"]:
                self.failures.append(entry["failure"])
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


class FileOutput:
    """Answers in one file, which takes its name when all are there."""

    def __init__(self, form: Format, progress: Journal, partial: BinaryIO) -> None:
        self._form, self._progress, self._partial = form, progress, partial
        self.failures, self.done = progress.failures, progress.done
        if not progress.end:
            self._write(form.header)
            progress.end = partial.tell()

    def add(self, outcome: Outcome) -> None:
        """Write what became of a recording."""
        if outcome.prediction is not None:
            self._write(self._form.text(outcome.prediction, outcome.item.clip))
        self._progress.add(outcome, self._partial.tell())

    def _write(self, text: str) -> None:
        self._partial.write(text.encode())
        self._partial.flush()


class FolderOutput:
    """Answers in a folder, one file a recording, named after it."""

    def __init__(self, form: Format, progress: Journal, folder: Path) -> None:
        self._form, self._progress, self._folder = form, progress, folder
        self.failures, self.done = progress.failures, progress.done

    def add(self, outcome: Outcome) -> None:
        """Write what became of a recording."""
        if outcome.prediction is not None:
            clip = outcome.item.clip
            text = self._form.header + self._form.text(outcome.prediction, clip)
            publish(self._folder / f"{clip}{ENDINGS[self._form.name]}", text.encode())
        self._progress.add(outcome, 0)


@contextmanager
def opened_output(
    path: Path | None, form: Format, request: Mapping[str, Any], several: bool
) -> Iterator[Output]:
    """Open where answers go; a file takes its name when the body ends without a fault.

    Args:
        path: of the file or the folder; None: standard output.
        form: how answers are written.
        request: as of `Journal`.
        several: whether there may be several recordings, of which each has its own file in some
            formats.

    Raises:
        AvscError: what is there already is not to be written over, or cannot be resumed.
    """
    if path is None:
        yield StandardOutput(form)
        return
    try:
        opened = _folder if several and form.name in ENDINGS else _file
        yield from opened(path, form, request)
    except OSError as fault:
        raise AvscError(
            f"{path}: could not be written ({reason_of(fault)}). "
            f"{REMEDIES.get(fault.errno or 0, REMEDY)}, and run the same command again, which "
            "resumes with what is missing."
        ) from fault


def check_names(items: Sequence[Item]) -> None:
    """Raise a `SettingError` if two recordings would have the same name in an output, or no name.

    In the challenge's form, and where each has a file, only the clip's name is there.
    """
    seen: dict[str, str] = {}
    for item in items:
        if "/" in item.clip or item.clip.startswith("."):
            raise SettingError(
                f"{item.name}: its id is {item.clip!r}; wanted one that can be a file's name."
            )
        if (other := seen.setdefault(item.clip, item.name)) != item.name:
            raise SettingError(
                f"{other} and {item.name}: both are called {item.clip!r} in this format. List them "
                "in a manifest with an id each, or choose --format csv or jsonl."
            )


def _file(path: Path, form: Format, request: Mapping[str, Any]) -> Iterator[Output]:
    partial, journal = (path.with_name(path.name + end) for end in (".partial", ".progress"))
    if path.exists():
        if not partial.exists():  # killed between the last two steps, below
            remove(journal)
        raise _exists(path)
    make_folder(path.parent)
    progress = Journal(journal, request, path)
    try:
        with partial.open("ab") as file:
            _cut(file, progress)
            yield FileOutput(form, progress, file)
            os.fsync(file.fileno())
        partial.replace(path)
        progress.done.clear()
    finally:
        progress.close()
        if not progress.done:  # there is nothing to resume
            remove(partial)
            remove(journal)


def _cut(file: BinaryIO, progress: Journal) -> None:
    """Cut off what a killed run wrote of a recording that was not done."""
    size = file.tell()
    if size < progress.end:
        raise AvscError(
            f"{file.name}: has {size} bytes of {progress.end} that were written. Remove it and "
            "the .progress file beside it, and run the command again."
        )
    file.truncate(progress.end)


def _folder(path: Path, form: Format, request: Mapping[str, Any]) -> Iterator[Output]:
    journal = path / ".progress"
    if path.exists() and (not path.is_dir() or (occupied(path) and not journal.exists())):
        raise _exists(path)
    make_folder(path)
    progress = Journal(journal, request, path)
    try:
        yield FolderOutput(form, progress, path)
        progress.done.clear()
    finally:
        progress.close()
        if not progress.done:
            remove(journal)


def _exists(path: Path) -> SettingError:
    return SettingError(f"{path}: exists already. Name another --out, or remove it.")
