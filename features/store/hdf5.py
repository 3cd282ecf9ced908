"""Reading HDF5 files that somebody else may have written: plain arrays in the file itself.

An HDF5 file may point into other files (external links, external storage, virtual datasets), ask
for code to be loaded (filters, by plug-ins) and declare arrays of any size. A store needs none of
it. What is not a plain array, whole and unfiltered in the file itself, is a ValueError; so is an
attribute that is neither a number nor a short text.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
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
    found = group[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name} is no array")
    kind, properties = found.dtype, found.id.get_create_plist()
    if kind.kind not in "iufS":
        raise ValueError(f"{name} is of type {kind}")
    if properties.get_external_count() or properties.get_layout() != h5py.h5d.CONTIGUOUS:
        raise ValueError(f"{name} is not one contiguous run in the file itself")
    if properties.get_nfilters():
        raise ValueError(f"{name} is filtered")
    size = math.prod(found.shape) * kind.itemsize
    end = (found.id.get_offset() or 0) + size
    if found.id.get_storage_size() != size or end > Path(group.file.filename).stat().st_size:
        raise ValueError(f"{name} is larger than the file")
    return found


def array(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """Read a dataset; see `dataset`."""
    found: npt.NDArray[Any] = dataset(group, name)[()]
    return found


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
