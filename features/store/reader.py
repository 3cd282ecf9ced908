"""Reading a closed store: every record by one positioned read, checked when first touched.

Nothing of HDF5 is on this path: the index says where each record's bytes lie, and `os.preadv` takes
them (no lock, no chunk cache, no state shared between processes). Files are opened when first
needed, in each process for itself, so that a reader may be passed to worker processes.
"""

import os
import resource
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avsc.features.specs import SPECS, Spec
from avsc.features.store.failures import Failure, read_failures
from avsc.features.store.identity import Identity, earlier_fingerprint, identify
from avsc.features.store.index import RecordTable, read_index
from avsc.features.store.layout import clips_file, failures_file, read_description
from avsc.manifests.clips import Clip
from avsc.manifests.errors import StoreError
from avsc.manifests.table import read_rows


class Records:
    """The records of one product, ordered by (clip, key).

    Attributes:
        clip: int32 [records], row of the store's clip table.
        key: int32 [records], number of an image in its clip; 0 for arrays.
        rows: int64 [records], bytes of an image or frames of an array.
        item_shape: shape of one row: () for images, (channels, bins) for frames.
    """

    def __init__(self, store: Path, product: str, table: RecordTable) -> None:
        self.product = product
        self.clip, self.key, self.rows = table.clip, table.key, table.rows
        self.item_shape = table.item_shape
        self._dtype, self._row_bytes = table.dtype, table.row_bytes
        _allow_open_files(len(table.path))
        self._paths = [str(store / name.decode()) for name in table.path]
        self._part, self._start, self._crc32 = table.part, table.start, table.crc32
        self._checked = np.zeros(len(table.clip), bool)
        self._files: dict[int, int] = {}
        self._end = self._start + self.rows * self._row_bytes
        self._views = self._viewed()

    def __len__(self) -> int:
        return len(self.clip)

    def __repr__(self) -> str:
        row = "bytes" if not self.item_shape else " x ".join(map(str, self.item_shape))
        clips = len(np.unique(self.clip))
        return f"<Records of {self.product}: {len(self):,} of {clips:,} clips, rows of {row}>"

    def read(self, record: int) -> npt.NDArray[Any]:
        """Return one record: uint8 [bytes], or float32 [frames, channels, bins]; not to write to.

        Raises:
            StoreError: the part is missing or shorter than the index says, or the record's
                checksum differs.
        """
        # Reading a record that was checked before takes microseconds: Python does little for it.
        checked, part, start, rows = self._views
        first = not checked[record]
        if first:
            self._check_inside(np.array([record]))
        size = rows[record] * self._row_bytes
        try:
            file = self._files.get(part[record]) or self._file(part[record])
            data = os.pread(file, size, start[record])
        except OSError as fault:
            raise StoreError(self._damaged(record, fault.strerror or str(fault))) from fault
        if first or len(data) != size:
            self._check(record, data, len(data))
        values = np.frombuffer(data, self._dtype)
        return values.reshape(-1, *self.item_shape) if self.item_shape else values

    def where(self, record: int) -> str:
        """Say where a record lies, for messages."""
        return f"{self._paths[int(self._part[record])]}: record {record} of {self.product}"

    def load(
        self, which: npt.NDArray[np.integer[Any]] | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Return the rows of many records, one after the other, and where each begins.

        Args:
            which: numbers of the records; None means all.

        Returns:
            The rows [sum of rows, *item_shape] and int64 offsets [records + 1].
        """
        numbers = np.arange(len(self)) if which is None else np.asarray(which)
        self._check_inside(numbers)
        offset = np.concatenate([[0], np.cumsum(self.rows[numbers])]).astype(np.int64)
        data = np.empty((int(offset[-1]), *self.item_shape), self._dtype)
        for number, begin, end in zip(numbers, offset[:-1], offset[1:], strict=True):
            self._fill(int(number), data[begin:end])
        return data, offset

    def close(self) -> None:
        """Close the part files; they are opened again when needed."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_views": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._views = self._viewed()

    def _viewed(self) -> tuple[memoryview, ...]:
        """Return views that give a record's numbers as Python's own, quicker than arrays do."""
        arrays = (self._checked, self._part, self._start, self.rows)
        return tuple(memoryview(each.data) for each in arrays)

    def _check_inside(self, records: npt.NDArray[np.integer[Any]]) -> None:
        """Refuse records that end outside of their parts, before memory is taken for them."""
        unseen = records[~self._checked[records]]
        for part in np.unique(self._part[unseen]):
            mine = unseen[self._part[unseen] == part]
            try:
                size = os.fstat(self._file(int(part))).st_size
            except OSError as fault:
                raise StoreError(self._damaged(mine[0], fault.strerror or str(fault))) from fault
            outside = mine[self._end[mine] > size]
            if len(outside):
                raise StoreError(self._damaged(outside[0], f"its part has {size} bytes"))

    def _fill(self, record: int, data: npt.NDArray[Any]) -> None:
        view = data.reshape(-1).view(np.uint8).data
        try:
            file = self._file(int(self._part[record]))
            got = os.preadv(file, [view], int(self._start[record]))
        except OSError as fault:
            raise StoreError(self._damaged(record, fault.strerror or str(fault))) from fault
        self._check(record, view, got)

    def _check(self, record: int, data: bytes | memoryview, got: int) -> None:
        """Refuse a record of which not all was got, or, when it is first read, other bytes."""
        size = self.rows.item(record) * self._row_bytes
        if got != size:
            raise StoreError(self._damaged(record, f"{got} of {size} bytes are there"))
        if not self._checked.item(record):
            if zlib.crc32(data) != self._crc32[record]:
                raise StoreError(self._damaged(record, "its checksum differs"))
            self._checked[record] = True

    def _file(self, part: int) -> int:
        """Return a descriptor; two threads that open a part at once keep the first one's."""
        if part not in self._files:
            opened = os.open(self._paths[part], os.O_RDONLY)
            if self._files.setdefault(part, opened) != opened:
                os.close(opened)
        return self._files[part]

    def _damaged(self, record: int, what: str) -> str:
        remedy = (
            "Run `avsc-prep verify` to see what is damaged and `avsc-prep extract --check content` "
            "to make it again."
        )
        if self.product not in SPECS:
            remedy = "Remove the folder of this set and run the same `avsc-fit` again."
        return f"{self.where(record)} cannot be read ({what}). {remedy}"


def _allow_open_files(parts: int) -> None:
    """Raise this process's limit of open files, up to what the system grants, for all the parts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + parts if hard == resource.RLIM_INFINITY else min(hard, soft + parts)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Store:
    """A closed store.

    Attributes:
        name: name of the data set.
        classes: scene labels in the order of their class indices.
        clips: the clips, in row order.
        failures: what could not be made.
        first_clips: as of `Description`.
    """

    def __init__(self, path: Path) -> None:
        description = read_description(path)
        index = read_index(path)
        self.path = path
        self.name, self.classes = description.dataset, description.classes
        self.clips: tuple[Clip, ...] = tuple(read_rows(clips_file(path)))
        self.first_clips = description.first_clips
        self.failures: tuple[Failure, ...] = read_failures(failures_file(path))
        self._specs, self._tables = description.specs, index.tables
        for product, table in index.tables.items():
            if len(table.clip) and table.clip[-1] >= len(self.clips):
                raise StoreError(f"{path}: {product} has records of clips that are not listed.")

    def __repr__(self) -> str:
        failed = f", {len(self.failures):,} failures" if self.failures else ""
        return (
            f"<Store {self.path}: {self.name}, {len(self.clips):,} clips of {len(self.classes)} "
            f"scenes, {', '.join(self.products)}{failed}>"
        )

    @classmethod
    def open(cls, path: Path | str, products: Sequence[str] = ()) -> "Store":
        """Open a closed store that holds the products named.

        Raises:
            StoreError: there is no store, it is not closed, damaged, of another schema version,
                or lacks a product.
        """
        store = cls(Path(path))
        for product in products:
            if product not in store._tables:
                raise StoreError(
                    f"{path}: the store has no {product}; it has "
                    f"{', '.join(sorted(store._tables))}. Run `avsc-prep extract --products "
                    f"{','.join(sorted({*store._tables, product}))}` to add it."
                )
        return store

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products that the store holds."""
        return tuple(sorted(self._tables))

    @property
    def specs(self) -> Mapping[str, Spec]:
        """What made each product."""
        return self._specs

    def spec(self, product: str) -> Spec:
        """Return the spec that made a product."""
        return self._specs[product]

    @cached_property
    def identity(self) -> Identity:
        """What the store is."""
        said = (self.name, self.classes, self._specs, self.clips, self.failures)
        return identify(*said, self._tables)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the store is."""
        return self.identity.fingerprint

    def content(self, product: str) -> str:
        """Return the SHA-256 of what one product holds of which ids, whatever else there is."""
        ids = [clip.id for clip in self.clips]
        return earlier_fingerprint(self.name, self._specs, ids, {product: self._tables[product]})

    def records(self, product: str) -> Records:
        """Return the records of a product."""
        return Records(self.path, product, self._tables[product])
