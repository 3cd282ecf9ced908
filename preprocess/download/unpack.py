"""Unpacking a ZIP archive into a folder that nothing in the archive can leave.

The archive's directory is judged before a byte is written. Refused are: names that are absolute,
hold ``..``, a backslash, a drive or NUL; links, devices and encrypted entries; two names that are
one where capitals do not count, or of which one is a folder of the other; and an archive that
declares more than `most_bytes` or a file larger than `LARGEST`. Of each file no more is read than
the directory declares, so that the declared sizes bound what is written. Files are published one by
one (whole or absent).
"""

import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from avsc.manifests.clips import fault_of
from avsc.manifests.errors import ManifestError
from avsc.manifests.files import publish

LARGEST = 1 << 30  # bytes of a file; a recording of ten seconds has about ten million
MOST_FILES = 100_000
ALLOWANCE = 64 << 20  # bytes that any archive may unpack to
RATIO = 20  # and so many times its own size more; recordings hardly shrink, lists do tenfold
ENCRYPTED = 0x1
KINDS = (0, stat.S_IFREG, stat.S_IFDIR)


def most_bytes(archive: Path) -> int:
    """Return how many bytes an archive may unpack to."""
    return ALLOWANCE + RATIO * archive.stat().st_size


def contents(archive: Path) -> dict[str, int]:
    """Return the files of an archive, with the bytes that each is declared to have.

    Raises:
        ManifestError: it is no ZIP archive, or has an entry that is refused.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as fault:
        raise ManifestError(f"{archive}: no ZIP archive that can be read ({fault}).") from fault
    for entry in entries:
        if reason := _refusal(entry):
            raise _refused(archive, f"{entry.orig_filename!r} {reason}")
    files = {_path(entry): entry.file_size for entry in entries if not entry.is_dir()}
    _refuse_sizes(archive, entries)
    _refuse_clashes(archive, [_path(entry) for entry in entries if not entry.is_dir()])
    return files


def unpack(archive: Path, root: Path, keep_on: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Unpack an archive and return its files, relative to `root`, with their bytes.

    Args:
        archive: a ZIP archive.
        root: folder to unpack into.
        keep_on: called before each file; what it raises ends the work.

    Raises:
        ManifestError: as `contents`, or the archive is damaged.
        AvscError: a file could not be written.
    """
    files = contents(archive)
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            keep_on()
            if not entry.is_dir():
                publish(root / _path(entry), _read(archive, file, entry))
    return files


def _read(archive: Path, file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with file.open(entry) as packed:
            data = packed.read(entry.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as fault:
        raise ManifestError(f"{archive}: {entry.filename!r} is damaged ({fault}).") from fault
    if len(data) != entry.file_size:
        raise ManifestError(
            f"{archive}: {entry.filename!r} has {len(data)} bytes; the archive's directory says "
            f"{entry.file_size}. Fetch the archive again."
        )
    return data


def _path(entry: zipfile.ZipInfo) -> str:
    return str(PurePosixPath(entry.orig_filename))


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Return why an entry is not unpacked, or None when it is."""
    if reason := fault_of(entry.orig_filename):
        return reason
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if stat.S_IFMT(entry.external_attr >> 16) not in KINDS:
        return "is a link or a device"
    return None


def _refuse_sizes(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_FILES:
        raise _refused(archive, f"it has {len(entries)} files; at most {MOST_FILES} are unpacked")
    for entry in entries:
        if entry.file_size > LARGEST:
            size = f"{entry.file_size} bytes; at most {LARGEST} are unpacked"
            raise _refused(archive, f"{entry.filename!r} has {size}")
    total, most = sum(entry.file_size for entry in entries), most_bytes(archive)
    if total > most:
        raise _refused(
            archive,
            f"it unpacks to {total} bytes; at most {most} are unpacked ({RATIO} times its size "
            f"and {ALLOWANCE})",
        )


def _refuse_clashes(archive: Path, paths: list[str]) -> None:
    """Refuse files that would take each other's place, on any file system."""
    files: dict[str, str] = {}
    for path in paths:
        if other := files.get(_folded(path)):
            raise _refused(archive, f"{other!r} and {path!r} are one file where case is ignored")
        files[_folded(path)] = path
    for path in paths:
        for folder in PurePosixPath(path).parents:
            if file := files.get(_folded(str(folder))):
                raise _refused(archive, f"{file!r} is a file and the folder of {path!r}")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _refused(archive: Path, reason: str) -> ManifestError:
    return ManifestError(
        f"{archive}: refused, {reason}. Nothing of it was unpacked. This is not the released "
        "archive, unless its release is at fault: unpack it by hand if you trust it."
    )
