"""HDF5 files: reading those that somebody else may have written, and writing our own in pieces.

An HDF5 file may point into other files (external links, external storage, virtual datasets), ask
for code to be loaded (filters, by plug-ins) and declare arrays of any size. A store needs none of
it. What is not a plain array, whole and unfiltered in the file itself, is a ValueError; so is an
attribute that is neither a number nor a short text.
"""

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from avsc.manifests.errors import DamagedError

MAX_ATTRIBUTE = 1 << 16
FAULTS = (
    *(OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError),
    *(OverflowError, MemoryError, SystemError, IndexError),
)
"""What h5py raises for files that are damaged."""

while h5py.h5pl.size():
    h5py.h5pl.remove(0)


@contextmanager
def opened(path: Path, remedy: str) -> Iterator[h5py.File]:
    """Open a file, without a lock; whatever is found wrong with it is an error with a remedy.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is damaged, or not of the kind that a store has.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileNotFoundError:
        raise
    except FAULTS as fault:
        raise DamagedError(f"{path}: damaged ({fault}). {remedy}") from fault


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset that is a plain array, contiguous in the file itself.

    Raises:
        ValueError: it is not.
        KeyError: there is none of this name.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is not kept in the file itself")
    stored = group[name]
    if not isinstance(stored, h5py.Dataset):
        raise ValueError(f"{name} is no array")
    kind, properties = stored.dtype, stored.id.get_create_plist()
    if kind.kind not in "iufS":
        raise ValueError(f"{name} is of type {kind}")
    if properties.get_external_count() or properties.get_layout() != h5py.h5d.CONTIGUOUS:
        raise ValueError(f"{name} is not one contiguous run in the file itself")
    if properties.get_nfilters():
        raise ValueError(f"{name} is filtered")
    size = math.prod(stored.shape) * kind.itemsize
    end = (stored.id.get_offset() or 0) + size
    if stored.id.get_storage_size() != size or end > Path(group.file.filename).stat().st_size:
        raise ValueError(f"{name} is larger than the file")
    return stored


class Outline(io.RawIOBase):
    """A file of which only what HDF5 itself writes is kept: the room for the rest takes none.

    Attributes:
        size: of the file, bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self._at = 0
        self._written: list[tuple[int, bytes]] = []

    def readable(self) -> bool:
        """Tell that nothing is ever read back."""
        return False

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size."""
        self.size = self._at if size is None else size
        return self.size

    def write(self, data: Any, /) -> int:
        """Keep what is written here."""
        kept = bytes(data)
        self._written.append((self._at, kept))
        self._at += len(kept)
        self.size = max(self.size, self._at)
        return len(kept)

    def between(self, begin: int, end: int) -> bytes:
        """Return the bytes in [begin, end); zeros where nothing was written."""
        piece = bytearray(end - begin)
        for at, data in self._written:
            if begin <= at < end:
                piece[at - begin : at - begin + len(data)] = data
        assert len(piece) == end - begin, "HDF5 wrote where the records are to be"
        return bytes(piece)


def reserve(
    file: h5py.File, name: str, shape: tuple[int, ...], kind: npt.DTypeLike
) -> tuple[int, int]:
    """Make a contiguous dataset without writing to it; return where in the file it lies."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    stored = h5py.h5t.py_create(np.dtype(kind))
    made = h5py.h5d.create(file.id, name.encode(), stored, space, properties)
    begin = int(made.get_offset() or 0)
    return begin, begin + int(made.get_storage_size())


def array(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """Read a dataset; see `dataset`."""
    values: npt.NDArray[Any] = dataset(group, name)[()]
    return values


def attribute(group: h5py.Group, name: str) -> Any:
    """Return an attribute: a number, a text, or a short array of numbers.

    Raises:
        ValueError: it is neither.
        KeyError: there is none of this name.
    """
    if name not in group.attrs:
        raise KeyError(f"attribute {name} is missing")
    kept = h5py.h5a.open(group.id, name.encode())
    kind = kept.get_type()
    known = kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.STRING)
    if not known or math.prod(kept.shape) * kind.get_size() > MAX_ATTRIBUTE:
        raise ValueError(f"attribute {name} is not a number or a short text")
    return group.attrs[name]
