"""index.h5: the table of every record of a closed store.

Closing a store reads the tables of all its parts once and writes them as one file, so that a reader
opens a single small file and then takes every record by one positioned read. The index names the
SHA-256 of store.json, clips.csv and failures.csv, and of each part: a store that was changed after
it was closed is detected. It keeps the fingerprint (`identity`) that the store was closed with;
readers compute it from what is there, and `verify` compares the two.

One group a product, with the datasets

    path, sha256   bytes [parts]      part files relative to the store, and their digests
    clip, key      int32 [records]    row in the clip table; number of an image or 0
    part           int32 [records]    part that holds the record
    start          int64 [records]    where the record begins in the part file, bytes
    rows           int64 [records]    rows of data (bytes of an image, frames of an array)
    crc32          uint32 [records]   of the record's bytes

and attributes `item_shape`, `dtype` and `table_crc32`. Records are ordered by (clip, key). The
file's attribute `head_crc32` is over all the other attributes.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from avsc.features.specs import Spec
from avsc.features.store.failures import read_failures
from avsc.features.store.hdf5 import array, attribute, opened
from avsc.features.store.identity import Identity, identify
from avsc.features.store.layout import (
    Description,
    clips_file,
    description_file,
    failures_file,
    index_file,
    part_name,
    read_description,
    sha256_file,
)
from avsc.features.store.part import PartFile
from avsc.manifests.errors import StoreError
from avsc.manifests.files import publish
from avsc.manifests.table import read_rows


@dataclass(frozen=True)
class RecordTable:
    """The records of one product over the whole store; see the module's table."""

    path: npt.NDArray[np.bytes_]
    sha256: npt.NDArray[np.bytes_]
    clip: npt.NDArray[np.int32]
    key: npt.NDArray[np.int32]
    part: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    crc32: npt.NDArray[np.uint32]
    item_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of data."""
        return self.dtype.itemsize * int(np.prod(self.item_shape, dtype=np.int64))


ARRAYS = tuple(f.name for f in fields(RecordTable) if f.name not in ("item_shape", "dtype"))
KINDS = {
    **{"path": np.bytes_, "sha256": np.bytes_, "clip": np.int32, "key": np.int32},
    **{"part": np.int32, "start": np.int64, "rows": np.int64, "crc32": np.uint32},
}
RECORD = ("clip", "key", "part", "start", "rows", "crc32")
HEADS = ("store.json", "clips.csv", "failures.csv")
MAX_ITEM, MAX_BYTES = 1 << 16, 1 << 60
"""No dimension of a row, and no file, is as large."""


@dataclass(frozen=True)
class Index:
    """What index.h5 says.

    Attributes:
        fingerprint: that the store was closed with, of either form.
    """

    fingerprint: str
    tables: dict[str, RecordTable]


def gather(
    store: Path, parts: Sequence[PartFile], sha256: Sequence[str], block_size: int
) -> RecordTable:
    """Join the tables of a product's parts, given in the order of their blocks."""
    first_row = np.arange(len(parts)) * block_size
    counts = [len(part.clip) for part in parts]
    return RecordTable(
        path=np.array([part.path.relative_to(store).as_posix().encode() for part in parts]),
        sha256=np.array([digest.encode() for digest in sha256]),
        clip=np.concatenate(
            [p.clip + first for p, first in zip(parts, first_row, strict=True)]
        ).astype("<i4"),
        key=np.concatenate([part.key for part in parts]),
        part=np.repeat(np.arange(len(parts), dtype="<i4"), counts),
        start=np.concatenate([p.data_offset + p.offset[:-1] * p.row_bytes for p in parts]),
        rows=np.concatenate([np.diff(part.offset) for part in parts]),
        crc32=np.concatenate([part.crc32 for part in parts]),
        item_shape=parts[0].item_shape,
        dtype=parts[0].dtype,
    )


def identity_of(store: Path, description: Description, tables: dict[str, RecordTable]) -> Identity:
    """Return what a store is, by its clips.csv, its failures.csv and the tables of its records.

    Raises:
        AvscError: one of the two files is damaged.
    """
    clips, failures = read_rows(clips_file(store)), read_failures(failures_file(store))
    return identify(
        description.dataset, description.classes, description.specs, clips, failures, tables
    )


def heads(store: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that head a store."""
    files = (description_file(store), clips_file(store), failures_file(store))
    return {file.name: sha256_file(file) for file in files}


def write_index(store: Path, description: Description, tables: dict[str, RecordTable]) -> str:
    """Write index.h5, which closes the store; return the fingerprint.

    clips.csv and failures.csv are there already, and are part of it.
    """
    fingerprint = identity_of(store, description, tables).fingerprint
    head = {"fingerprint": fingerprint, **heads(store)}
    with h5py.File.in_memory(libver=("v110", "v110")) as file:
        for name, digest in head.items():
            file.attrs[name] = digest
        file.attrs["head_crc32"] = np.uint32(_head_crc32(head, tables))
        for product, table in sorted(tables.items()):
            group = file.create_group(product)
            group.attrs["item_shape"] = np.array(table.item_shape, "<i8")
            group.attrs["dtype"] = table.dtype.str
            group.attrs["table_crc32"] = np.uint32(_crc32(table))
            for name in ARRAYS:
                group.create_dataset(name, data=getattr(table, name), track_times=False)
        file.flush()
        data = bytes(file.id.get_file_image())
    publish(index_file(store), data)
    return fingerprint


def read_index(store: Path) -> Index:
    """Read and check index.h5.

    Raises:
        StoreError: the store is not closed, was changed since, or the index is damaged.
    """
    path, specs = index_file(store), read_description(store).specs
    remedy = "Run `avsc-prep extract` again, which rebuilds it from the parts."
    try:
        with opened(path, remedy) as file:
            said = {name: str(attribute(file, name)) for name in ("fingerprint", *HEADS)}
            tables = {name: _table(file[name], spec) for name, spec in specs.items()}
            if _head_crc32(said, tables) != int(attribute(file, "head_crc32")):
                raise ValueError("the checksum of its head differs")
    except FileNotFoundError:
        raise StoreError(
            f"{store}: the store is not closed (index.h5 is missing): blocks are still to be "
            "made. Run the same `avsc-prep extract` again; it does only what is missing."
        ) from None
    for name in HEADS:
        if not (store / name).is_file() or sha256_file(store / name) != said[name]:
            raise StoreError(
                f"{store / name}: not the file that the store was closed with. Run `avsc-prep "
                "extract` again, which makes what is missing and closes the store."
            )
    return Index(said["fingerprint"], tables)


def _table(group: h5py.Group, spec: Spec) -> RecordTable:
    kind = str(attribute(group, "dtype"))
    if kind not in ("|u1", "<f4"):
        raise ValueError(f"{spec.product} is of type {kind}")
    table = RecordTable(
        **{name: array(group, name) for name in ARRAYS},
        item_shape=tuple(int(n) for n in attribute(group, "item_shape")),
        dtype=np.dtype(kind),
    )
    if _crc32(table) != int(attribute(group, "table_crc32")):
        raise ValueError("the checksum of the table differs")
    _check(table, spec)
    return table


def _check(table: RecordTable, spec: Spec) -> None:
    """Raise ValueError for what no writer of ours writes: readers count on none of it."""
    parts, records = table.path.shape, table.clip.shape
    for name, kind in KINDS.items():
        column, shape = getattr(table, name), records if name in RECORD else parts
        if not np.issubdtype(column.dtype, kind) or column.shape != shape or column.ndim != 1:
            raise ValueError(f"{name} is of type {column.dtype} and shape {column.shape}")
    if table.path.tolist() != [part_name(spec, n).encode() for n in range(parts[0])]:
        raise ValueError("the parts are not those of this store")
    shape = table.item_shape
    if len(shape) > 2 or not all(0 < n <= MAX_ITEM for n in shape):
        raise ValueError(f"rows are of shape {shape}")
    order = table.clip.astype(np.int64) << 32 | table.key
    if (table.clip < 0).any() or (table.key < 0).any() or (np.diff(order) <= 0).any():
        raise ValueError("the records are out of order")
    if (table.part < 0).any() or (table.part >= parts[0]).any():
        raise ValueError("records lie in parts that are not there")
    for column in (table.start, table.rows):
        if (column < 0).any() or (column > MAX_BYTES // table.row_bytes).any():
            raise ValueError("records lie outside of their parts")


def _head_crc32(said: dict[str, str], tables: dict[str, RecordTable]) -> int:
    text = [f"{name}={said[name]}" for name in ("fingerprint", *HEADS)]
    for name, table in sorted(tables.items()):
        text.append(f"{name}={table.item_shape}{table.dtype.str}{_crc32(table)}")
    return zlib.crc32("\n".join(text).encode())


def _crc32(table: RecordTable) -> int:
    crc = 0
    for name in ARRAYS:
        crc = zlib.crc32(np.ascontiguousarray(getattr(table, name)).tobytes(), crc)
    return crc
