"""Text that users give: manifests, lists, tables, predictions, settings; the one place it is read.

UTF-8, with or without a byte order mark, and UTF-16 or UTF-32 with one (what spreadsheets save as
"Unicode text"). Older encodings do not say which they are, so they are refused and not guessed.
Names that are one to a reader may be written in several ways (capitals, blanks, composed or
decomposed accents: macOS decomposes the names of files); `alike` tells them.
"""

import codecs
import csv
import difflib
import io
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from avsc.manifests.errors import AvscError, ManifestError, SettingError

MARKS = {  # UTF-32's first: the mark of its little-endian form begins as UTF-16's does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
ENDLESS = 64 << 20
"""Bytes after which what is no file (a device, a pipe) is taken to have no end."""
INVISIBLE = "\u00ad\u180e\u200b\u200e\u200f\u2060\ufeff"
"""Characters that show nothing and that `str.strip` leaves."""
_HIDDEN = str.maketrans("", "", INVISIBLE)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that end lines, steer terminals, or reverse the direction of what follows."""


def read_text(path: Path, kind: type[AvscError] = ManifestError) -> str:
    """Return a file's text, without a byte order mark; line ends are as they are in the file.

    Args:
        path: the file.
        kind: of the error.

    Raises:
        AvscError: of that kind; the file cannot be read or is not such text.
    """
    try:
        with path.open("rb") as file:
            # Devices such as /dev/zero have no end.
            content = file.read(-1 if path.is_file() else ENDLESS)
    except OSError as fault:
        raise kind(f"{path}: cannot be read ({fault.strerror}).") from fault
    if len(content) == ENDLESS and not path.is_file():
        raise kind(f"{path}: no file, and more than {ENDLESS >> 20} MB come from it. Name a file.")
    encoding = next((MARKS[mark] for mark in MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as fault:
        if encoding != "utf-8-sig":
            raise kind(f"{path}: not whole {encoding.upper()} text; save it as UTF-8.") from fault
        line = fault.object[: fault.start].count(b"\n") + 1
        raise kind(f"{path}, line {line}: not UTF-8 text; save it as UTF-8.") from fault
    if text.startswith("\0") or text[1:2] == "\0":
        raise kind(f"{path}: UTF-16 text without a byte order mark; save it as UTF-8.")
    return text


def table_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (``"file, line n"``, values) for each line of a table that is not empty.

    Raises:
        ManifestError: the text is not CSV with this delimiter.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield f"{path}, line {reader.line_num}", row
    except csv.Error as fault:
        raise ManifestError(f"{path}, line {reader.line_num}: not CSV: {fault}.") from fault


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file.

    Raises:
        SettingError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path, SettingError))
    except tomllib.TOMLDecodeError as fault:
        raise SettingError(f"{path}: not TOML: {fault}.") from fault


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests a known name like this one, or lists all that are known.

    >>> did_you_mean("batch-sise", ["batch-size", "epochs"]), did_you_mean("x", ["batch-size"])
    (" Did you mean 'batch-size'?", ' Known: batch-size.')
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(names)}."


def composed(name: str) -> str:
    r"""Return a name with its accents composed, whichever way it was written (NFC).

    >>> composed("cafe\u0301") == "caf\u00e9"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """Return what names have in common that differ by blanks, capitals or form alone.

    >>> alike("Metro  Station ") == alike("metro station")
    True
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name.translate(_HIDDEN)).casefold()
        name = unicodedata.normalize("NFKC", name)  # folding may part what was composed
    return " ".join(name.casefold().split())


def trimmed(name: str) -> str:
    """Return a name without blanks and invisible characters at its ends.

    >>> trimmed(" park ")
    'park'
    """
    before = None
    while name != before:
        before, name = name, name.strip().strip(INVISIBLE)
    return name
