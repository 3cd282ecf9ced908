"""One part file: the records that one spec made of one block of clips.

An HDF5 file with

    data    uint8 [bytes] for images (JPEG), float32 [rows, ...] for arrays; contiguous
    clip    int32 [records]        row of the clip in the block
    key     int32 [records]        number of an image in its clip; 0 for arrays
    offset  int64 [records + 1]    rows of `data` where each record begins
    crc32   uint32 [records]       of the record's bytes
    ids     bytes [clips]          ids of the block's clips

and attributes `product`, `spec` (canonical JSON) and `table_crc32` (over the small tables). Records
are ordered by (clip, key). A clip that failed has no record. The file holds no times and no
versions, so that equal content gives equal bytes. HDF5 writes it to an outline in memory, which has
room for the records and does not hold them, and it is published by a rename, because HDF5 reports a
full disk too late and never survives being killed in mid-write. The format version v110 gives
HDF5's own metadata checksums.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from avsc.features.specs import Spec
from avsc.features.store.hdf5 import Outline, array, attribute, dataset, opened, reserve
from avsc.manifests.errors import StoreError
from avsc.manifests.files import Piece, publish

TABLES = ("clip", "key", "offset", "crc32", "ids")


@dataclass(frozen=True)
class Record:
    """What one spec made of one clip, or one image of it.

    Attributes:
        clip: row of the clip in its block.
        key: number of an image in its clip; 0 for arrays.
        data: uint8 [bytes] or float32 [rows, ...], C-contiguous.
    """

    clip: int
    key: int
    data: npt.NDArray[Any]


@dataclass(frozen=True)
class PartFile:
    """The tables of a part file, checked.

    Attributes:
        spec: canonical JSON of the spec.
        ids: ids of the block's clips.
        clip, key, offset, crc32: per record, as in the module's table.
        item_shape: shape of one row of `data`: () for bytes, (channels, bins) for frames.
        dtype: of `data`.
        data_offset: where `data` begins in the file, bytes.
    """

    path: Path
    product: str
    spec: str
    ids: tuple[str, ...]
    clip: npt.NDArray[np.int32]
    key: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    crc32: npt.NDArray[np.uint32]
    item_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data_offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of `data`."""
        return self.dtype.itemsize * int(np.prod(self.item_shape, dtype=np.int64))


def write_part(
    path: Path,
    spec: Spec,
    ids: Sequence[str],
    records: Sequence[Record],
    empty: npt.NDArray[Any],
) -> tuple[str, int]:
    """Publish a part file; return its SHA-256 and its size, bytes.

    Args:
        ids: ids of the block's clips, in row order.
        records: ordered by (clip, key).
        empty: array of no rows with the data's type and row shape, for a part without records.

    Raises:
        ValueError: the records are not in order or not of one kind.
        AvscError: the file could not be written.
    """
    pieces = _pieces(spec, ids, records, empty)
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    publish(path, *pieces)
    return digest.hexdigest(), sum(map(len, pieces))


def _pieces(
    spec: Spec, ids: Sequence[str], records: Sequence[Record], empty: npt.NDArray[Any]
) -> list[Piece]:
    """Return the bytes of a part file in pieces: what HDF5 writes, and the records themselves."""
    order = [(record.clip, record.key) for record in records]
    if sorted(set(order)) != order:
        raise ValueError("records must be ordered by (clip, key), each once")
    arrays = [np.ascontiguousarray(record.data) for record in records]
    if any(a.dtype != empty.dtype or a.shape[1:] != empty.shape[1:] for a in arrays):
        raise ValueError(f"records must be of type {empty.dtype} and shape [*, {empty.shape[1:]}]")
    rows = np.cumsum([0, *(len(a) for a in arrays)], dtype="<i8")
    tables: dict[str, npt.NDArray[Any]] = {
        "clip": np.array([record.clip for record in records], "<i4"),
        "key": np.array([record.key for record in records], "<i4"),
        "offset": rows,
        "crc32": np.array([crc32(a) for a in arrays], "<u4"),
        "ids": np.array([name.encode() for name in ids], "S"),
    }
    outline = Outline()
    with h5py.File(outline, "w", libver=("v110", "v110")) as file:
        file.attrs["product"] = spec.product
        file.attrs["spec"] = spec.canonical()
        file.attrs["table_crc32"] = np.uint32(table_crc32(tables))
        for name, table in tables.items():
            file.create_dataset(name, data=table, track_times=False)
        begin, end = reserve(file, "data", (int(rows[-1]), *empty.shape[1:]), empty.dtype)
    pieces = (_bytes(array) for array in arrays if array.size)
    return [outline.between(0, begin), *pieces, outline.between(end, outline.size)]


def crc32(data: npt.NDArray[Any]) -> int:
    """Return the CRC-32 of an array's bytes."""
    return zlib.crc32(_bytes(data))


def _bytes(data: npt.NDArray[Any]) -> memoryview:
    return data.reshape(-1).view(np.uint8).data


def table_crc32(tables: dict[str, npt.NDArray[Any]]) -> int:
    """Return the CRC-32 over the small tables, in the order of `TABLES`."""
    crc = 0
    for name in TABLES:
        crc = zlib.crc32(tables[name].tobytes(), crc)
    return crc


def read_part(path: Path, spec: Spec | None = None) -> PartFile:
    """Read and check the tables of a part file; the data is left where it is.

    Args:
        spec: what made it; None when any will do.

    Raises:
        StoreError: the file is missing, damaged, made by another spec, or keeps its data outside
            itself.
    """
    try:
        with opened(path, "Run `avsc-prep extract --check content` to make it again.") as file:
            return _read(path, file, spec)
    except FileNotFoundError:
        raise StoreError(f"{path}: the part is missing. Run `avsc-prep extract` again.") from None


def _read(path: Path, file: h5py.File, spec: Spec | None) -> PartFile:
    data = dataset(file, "data")
    tables = {name: array(file, name) for name in TABLES}
    if table_crc32(tables) != int(attribute(file, "table_crc32")):
        raise ValueError("the checksum of the tables differs")
    part = PartFile(
        path=path,
        product=str(attribute(file, "product")),
        spec=str(attribute(file, "spec")),
        ids=tuple(name.decode() for name in tables["ids"].reshape(-1)),
        clip=tables["clip"],
        key=tables["key"],
        offset=tables["offset"],
        crc32=tables["crc32"],
        item_shape=tuple(data.shape[1:]),
        dtype=data.dtype,
        data_offset=int(data.id.get_offset() or 0),
    )
    if spec is not None and part.spec != spec.canonical():
        raise ValueError(f"made by {part.spec}, wanted {spec.canonical()}")
    _check(part, len(data))
    return part


def _check(part: PartFile, rows: int) -> None:
    """Raise ValueError unless the tables are of their kinds, in order, and fit the data."""
    records = (len(part.clip),)
    kinds = {"clip": "<i4", "key": "<i4", "offset": "<i8", "crc32": "<u4"}
    for name, kind in kinds.items():
        table = getattr(part, name)
        shape = (records[0] + 1,) if name == "offset" else records
        if table.dtype != kind or table.shape != shape:
            raise ValueError(f"table {name} is of type {table.dtype} and shape {table.shape}")
    order = part.clip.astype(np.int64) << 32 | part.key
    inside = not records[0] or (part.clip[0] >= 0 and part.clip[-1] < len(part.ids))
    if not (inside and (part.key >= 0).all() and (np.diff(order) > 0).all()):
        raise ValueError("the records are out of order, or of clips that are not there")
    if part.offset[0] != 0 or part.offset[-1] != rows or (np.diff(part.offset) < 0).any():
        raise ValueError("the tables do not fit the data")
