"""Opening and closing a store.

A store is open from the moment that a run has something to make for it until its index, its
failures.csv and its fingerprint are written, from parts that are all there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from avsc.features.specs import Spec
from avsc.features.store.failures import Failure, encode_failures, in_order
from avsc.features.store.identity import clips_digest
from avsc.features.store.index import RecordTable, gather, read_index, write_index
from avsc.features.store.layout import (
    Description,
    clips_file,
    failures_file,
    index_file,
    part_file,
    read_description,
    receipt_file,
    write_description,
)
from avsc.features.store.part import read_part
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError, StoreError
from avsc.manifests.files import publish, remove, remove_stale_files
from avsc.manifests.table import encode_table, read_rows
from avsc.preprocess.block_claims import claim_holder, remove_dead
from avsc.preprocess.receipt import Receipt, read_receipt


@dataclass(frozen=True)
class Closed:
    """What a closed store came to.

    Attributes:
        fingerprint: SHA-256 of what the store holds.
        failures: what could not be made.
        environments: number of different environments that made its parts; more than one may
            differ in the last bits.
        peak_memory: largest resident set of any worker, bytes.
    """

    fingerprint: str
    failures: tuple[Failure, ...]
    environments: int
    peak_memory: int


def open_store(store: Path, clips: Sequence[Clip], description: Description) -> None:
    """Take the index away, and what dead writers left; head the store with what it is to hold.

    Several runs may do this at once; what each writes is whole, and equal when they are asked for
    the same.
    """
    remove_stale_files(store)
    remove(index_file(store))
    first = first_clips(store, clips, description)
    write_description(store, replace(description, first_clips=first))
    table, path = encode_table(clips), clips_file(store)
    if not path.is_file() or path.read_bytes() != table:
        publish(path, table)


def first_clips(store: Path, clips: Sequence[Clip], description: Description) -> str:
    """Return the digest of what a store's clips were before that was first changed, or nothing.

    A fingerprint of the earlier form does not cover it, and means what the clips were then.
    """
    try:
        current = read_description(store)
        before = current.first_clips or clips_digest(current.classes, read_rows(clips_file(store)))
    except AvscError:
        return ""
    same = before == clips_digest(description.classes, clips)
    return before if current.first_clips or not same else ""


def close(store: Path, clips: Sequence[Clip], description: Description) -> Closed:
    """Write failures.csv and index.h5.

    Raises:
        StoreError: a part or its receipt is missing.
    """
    ids = [clip.id for clip in clips]
    receipts = _receipts(store, ids, description)
    tables = {
        name: _table(store, spec, receipts[name], description.block_size)
        for name, spec in description.specs.items()
    }
    every = [receipt for mine in receipts.values() for receipt in mine]
    ordered = _failures(every)
    publish(failures_file(store), encode_failures(ordered))
    fingerprint = write_index(store, description, tables)
    remove_stale_files(store)
    remove_dead(store)
    environments = {tuple(sorted(receipt.versions.items())) for receipt in every}
    return Closed(fingerprint, ordered, len(environments), max(r.peak_memory for r in every))


def is_current(store: Path, clips: Sequence[Clip], description: Description) -> bool:
    """Tell whether a store is closed and its index and failures.csv are those of its receipts.

    An older index may lie beside newer parts: a copy of it was put back, or a power cut undid its
    removal.
    """
    try:
        index = read_index(store)
        receipts = _receipts(store, [clip.id for clip in clips], description)
        failures = failures_file(store).read_bytes()
    except (AvscError, OSError):
        return False
    every = [receipt for mine in receipts.values() for receipt in mine]
    return failures == encode_failures(_failures(every)) and all(
        index.tables[name].sha256.tolist() == [receipt.part_sha256.encode() for receipt in mine]
        for name, mine in receipts.items()
    )


def _failures(receipts: Sequence[Receipt]) -> tuple[Failure, ...]:
    return in_order(failure for receipt in receipts for failure in receipt.failures)


def _table(store: Path, spec: Spec, receipts: Sequence[Receipt], block_size: int) -> RecordTable:
    """Return the table of a product's records, of all its parts."""
    parts = [read_part(part_file(store, spec, block), spec) for block in range(len(receipts))]
    return gather(store, parts, [receipt.part_sha256 for receipt in receipts], block_size)


def _receipts(
    store: Path, ids: Sequence[str], description: Description
) -> dict[str, list[Receipt]]:
    """Return the receipts of all blocks by product, without clips and sources, which are many.

    Raises:
        StoreError: some are missing, or of other clips than the clip table says.
    """
    size = description.block_size
    receipts: dict[str, list[Receipt]] = {}
    missing: dict[str, list[int]] = {}
    for name, spec in description.specs.items():
        receipts[name] = []
        for block in range(-(-len(ids) // size)):
            receipt = read_receipt(receipt_file(store, spec, block))
            if receipt and list(receipt.ids) == ids[block * size : (block + 1) * size]:
                receipts[name].append(replace(receipt, ids=(), sources=(), roles=()))
            else:
                missing.setdefault(name, []).append(block)
    if missing:
        what = "; ".join(f"{name}: {number_ranges(blocks)}" for name, blocks in missing.items())
        makers = {claim_holder(store, block) for blocks in missing.values() for block in blocks} - {
            None
        }
        being = f" Some are being made by {', '.join(map(str, makers))}." if makers else ""
        raise StoreError(
            f"{store}: blocks are not made yet ({what}).{being} Run the same `avsc-prep extract` "
            "again, all of it or the parts that are missing; it does only what is missing."
        )
    return receipts


def number_ranges(blocks: Sequence[int]) -> str:
    """Return ascending numbers as text, runs of them as ranges.

    >>> number_ranges([0, 3, 4, 5, 9])
    '0, 3-5, 9'
    """
    edges = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(blocks)) if b != a + 1), len(blocks)]
    runs = [blocks[begin:end] for begin, end in pairwise(edges)]
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)
