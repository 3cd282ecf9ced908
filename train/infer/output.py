"""Where answers go: standard output, one file, or a folder with a file a recording.

Files are written beside what they will be called, as recordings are done: ``OUT.partial`` has the
answers, ``OUT.progress`` says up to which byte of it each recording's reach, so that what a killed
run leaves is resumed by the same command: the bytes after the last recording that was done are cut
off, and its recordings are not done again.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

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
from avsc.train.infer.journal import Journal
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
        write_out(sys.stdout, text, "Write to a file by --out; the same command then resumes.")


def write_out(out: TextIO, text: str, remedy: str) -> None:
    """Write text to standard output, or what stands in its place, and flush it.

    Raises:
        AvscError: it cannot be written; `remedy` is the end of its text.
    """
    try:
        out.write(text)
        out.flush()
    except OSError as fault:
        # What is left in the buffer would be written, and fail, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        reason = reason_of(fault)
        raise AvscError(f"standard output: could not be written ({reason}). {remedy}") from fault


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
    path: Path | None, form: Format, request: Mapping[str, Any], names: Collection[str]
) -> Iterator[Output]:
    """Open where answers go; a file takes its name when the body ends without a fault.

    Args:
        path: of the file or the folder; None: standard output.
        form: how answers are written.
        request: as of `Journal`.
        names: of the recordings; of several, each has its own file in some formats.

    Raises:
        AvscError: what is there already is not to be written over, or cannot be resumed.
    """
    each_has_one = len(names) > 1 and form.name in ENDINGS
    if path is None:
        if each_has_one:
            raise SettingError(
                f"--format {form.name} has a file for each recording, and there are several: name "
                "a folder for them by --out."
            )
        yield StandardOutput(form)
        return
    try:
        opened = _folder if each_has_one else _file
        yield from opened(path, form, request, names)
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


def _file(
    path: Path, form: Format, request: Mapping[str, Any], names: Collection[str]
) -> Iterator[Output]:
    partial, journal = (path.with_name(path.name + end) for end in (".partial", ".progress"))
    if path.exists():
        if not partial.exists():  # killed between the last two steps, below
            remove(journal)
        raise _exists(path)
    make_folder(path.parent)
    progress = Journal(journal, request, names, path)
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


def _folder(
    path: Path, form: Format, request: Mapping[str, Any], names: Collection[str]
) -> Iterator[Output]:
    journal = path / ".progress"
    if path.exists() and (not path.is_dir() or (occupied(path) and not journal.exists())):
        raise _exists(path)
    make_folder(path)
    progress = Journal(journal, request, names, path)
    try:
        yield FolderOutput(form, progress, path)
        progress.done.clear()
    finally:
        progress.close()
        if not progress.done:
            remove(journal)


def _exists(path: Path) -> SettingError:
    return SettingError(f"{path}: exists already. Name another --out, or remove it.")
