"""Reading text files of users: manifests, lists, tables, predictions, settings.

UTF-8, with or without a byte order mark, and UTF-16 or UTF-32 with one (what spreadsheets save as
"Unicode text"). Older encodings do not say which they are, so they are refused and not guessed.
A name may be written in several ways that look the same to a reader (capitals, blanks, composed or
decomposed accents: macOS decomposes file names); `alike` maps them to one.
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
"""Bytes after which a device or a pipe is taken to have no end."""
INVISIBLE = "\u00ad\u180e\u200b\u200e\u200f\u2060\ufeff"
"""Invisible characters that `str.strip` leaves."""
_HIDDEN = str.maketrans("", "", INVISIBLE)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that end lines, steer terminals, or reverse the direction of what follows."""


def read_text(path: Path, kind: type[AvscError] = ManifestError) -> str:
    """Return a file's text without its byte order mark; line ends are kept.

    Args:
        kind: class of the error.

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
        raise kind(
            f"{path}: not a file, and more than {ENDLESS >> 20} MB come from it. Name a file."
        )
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
    r"""Return a name with its accents composed (NFC).

    >>> composed("cafe\u0301") == "caf\u00e9"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """Return a key that is equal for names that differ only by blanks, capitals or Unicode form.

    >>> alike("Metro  Station ") == alike("metro station")
    True
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name.translate(_HIDDEN)).casefold()
        name = unicodedata.normalize("NFKC", name)  # folding may decompose
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
