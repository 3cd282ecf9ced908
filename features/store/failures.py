"""failures.csv: what a store lacks, and why.

One row for each product of a clip that could not be made; for images also one for each second
without an image. Columns: clip, product, key (of an image its number, which is the second where
there is one a second; empty for the whole clip), stage, code (short and stable), message.

A message is one line of bounded length, whatever it was made from.
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from avsc.features.specs import ImageTimes, Spec
from avsc.manifests.errors import DamagedError, bounded
from avsc.manifests.files import csv_bytes

_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
"""Control characters, and bytes of file names that are no UTF-8 (surrogates)."""


@dataclass(frozen=True, order=True)
class Failure:
    """One thing that could not be made.

    Attributes:
        clip: id of the clip.
        key: of the missing image, or None when nothing of the product was made.
        stage: ``"sound"``, ``"pictures"`` or ``"worker"``.
        code: short, stable reason, such as ``"truncated"``.
        message: the reason in words; made one line of bounded length, whatever it is given.
    """

    clip: str
    product: str
    key: int | None
    stage: str
    code: str
    message: str

    def image(self, specs: Mapping[str, Spec]) -> str:
        """Return which image is missing, such as ``"second 3"``; empty for the whole clip.

        Args:
            specs: of the store's products.
        """
        spec = specs.get(self.product)
        if self.key is None:
            return ""
        return spec.name(self.key) if isinstance(spec, ImageTimes) else f"second {self.key}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _one_line(self.message))


def _one_line(text: str) -> str:
    """Return a text that any file, screen and reader of CSV can take."""
    return _NOT_TEXT.sub("?", bounded(text))


def in_order(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Return failures once each, in the order of failures.csv: by clip, product and second."""
    return tuple(
        sorted(set(failures), key=lambda f: (f.clip, f.product, -1 if f.key is None else f.key))
    )


def encode_failures(failures: Iterable[Failure]) -> bytes:
    """Return the bytes of failures.csv."""
    names = [field.name for field in fields(Failure)]
    return csv_bytes([names, *map(astuple, failures)])


def read_failures(path: Path) -> tuple[Failure, ...]:
    """Read failures.csv; messages that are too long, as older versions wrote them, are cut.

    Raises:
        DamagedError: it cannot be read.
    """
    try:
        with _cells_of_any_length(), path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            return tuple(Failure(key=_key(row.pop("key")), **row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as fault:
        raise DamagedError(
            f"{path}: damaged ({fault}). Run the same `avsc-prep extract` again, which rewrites it."
        ) from fault


def _key(text: str) -> int | None:
    return int(text) if text else None


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift the limit of the csv module, which its writer has not: 131,072 characters a cell."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
