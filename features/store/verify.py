"""Verifying a closed store: every byte read, every checksum computed again.

`verify` opens the store as every reader does, compares each part file with the SHA-256 and the
table that the index keeps, computes every record's CRC-32 from the data, and the fingerprint from
what it found. It changes nothing.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avsc.features.specs import Spec
from avsc.features.store.index import RecordTable, gather, identity_of, read_index
from avsc.features.store.layout import clips_file, read_description, sha256_file
from avsc.features.store.part import PartFile, read_part
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError
from avsc.manifests.table import read_rows


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        parts: number of parts looked at.
        records: number of records whose checksum was computed.
        problems: one line for each fault; empty when all is well.
        fingerprint: of what is really there.
        earlier: the fingerprint of the earlier form that the store was closed with; None for one
            that was closed with the other.
    """

    parts: int
    records: int
    problems: tuple[str, ...]
    fingerprint: str
    earlier: str | None = None


def verify(
    store: Path, progress: Callable[[int, int], None] = lambda done, of: None
) -> Verification:
    """Check every part of a closed store.

    Args:
        progress: called with the number of parts done and of all parts.

    Raises:
        StoreError: there is no closed store to verify, or readers cannot open it.
    """
    Store.open(store)
    description = read_description(store)
    index = read_index(store)
    ids = [clip.id for clip in read_rows(clips_file(store))]
    size = description.block_size
    problems: list[str] = []
    tables: dict[str, RecordTable] = {}
    total = sum(len(table.path) for table in index.tables.values())
    done = 0
    for product, table in index.tables.items():
        parts = []
        for block, name in enumerate(table.path):
            part = _verify_part(store / name.decode(), table.sha256[block].decode(), problems)
            done += 1
            progress(done, total)
            if part is not None:
                parts.append(part)
                clips = ids[block * size : (block + 1) * size]
                problems += _differences(part, description.specs[product], clips)
        if len(parts) == len(table.path):
            tables[product] = gather(store, parts, [d.decode() for d in table.sha256], size)
            if not problems and any(
                not np.array_equal(getattr(tables[product], column), getattr(table, column))
                for column in ("clip", "key", "part", "start", "rows", "crc32")
            ):
                problems.append(f"{product}: the index does not fit the parts")
    computed = identity_of(store, description, tables)
    earlier = index.fingerprint if index.fingerprint == computed.earlier else None
    if index.fingerprint not in (computed.fingerprint, computed.earlier) and not problems:
        problems.append(
            f"fingerprint {computed.fingerprint} differs from the index's {index.fingerprint}"
        )
    records = sum(len(table.clip) for table in index.tables.values())
    return Verification(total, records, tuple(problems), computed.fingerprint, earlier)


def _verify_part(path: Path, sha256: str, problems: list[str]) -> PartFile | None:
    """Return the part with the checksums of the data it really holds, or None if unreadable."""
    if not path.is_file():
        problems.append(f"{path}: missing")
        return None
    if sha256_file(path) != sha256:
        problems.append(f"{path}: its bytes differ from those that the store was closed with")
    try:
        part = read_part(path)
        return replace(part, crc32=_checksums(part, problems))
    except StoreError as fault:
        problems.append(str(fault))
        return None


def _checksums(part: PartFile, problems: list[str]) -> npt.NDArray[np.uint32]:
    checksums: list[int] = []
    with part.path.open("rb") as file:
        for record, (begin, end) in enumerate(zip(part.offset[:-1], part.offset[1:], strict=True)):
            file.seek(part.data_offset + int(begin) * part.row_bytes)
            checksums.append(zlib.crc32(file.read(int(end - begin) * part.row_bytes)))
            if checksums[-1] != part.crc32[record]:
                name = part.ids[part.clip[record]]
                problems.append(f"{part.path}: {name}, key {part.key[record]}: checksum differs")
    return np.array(checksums, np.uint32)


def _differences(part: PartFile, spec: Spec, clips: Sequence[str]) -> list[str]:
    """Return how a part differs from what the clip table and store.json say."""
    differences = []
    if list(part.ids) != list(clips):
        differences.append(f"{part.path}: holds other clips than the clip table says")
    if part.spec != spec.canonical():
        differences.append(f"{part.path}: was made by another spec than store.json says")
    return differences
