"""Closing a store: the index, failures.csv and the fingerprint, from parts that are all there."""

from dataclasses import dataclass
from pathlib import Path

from avsc.features.store.failures import Failure, encode_failures
from avsc.features.store.index import Table, gather, write_index
from avsc.features.store.layout import (
    Description,
    failures_file,
    index_file,
    part_file,
    receipt_file,
)
from avsc.features.store.part import read_part
from avsc.manifests.clips import Dataset
from avsc.manifests.errors import StoreError
from avsc.manifests.publish import publish
from avsc.preprocess.receipt import read_receipt


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


def close(store: Path, dataset: Dataset, description: Description) -> Closed:
    """Write failures.csv and index.h5.

    Raises:
        StoreError: a part or its receipt is missing.
    """
    size = description.block_size
    blocks = range(-(-len(dataset.clips) // size))
    failures: set[Failure] = set()
    environments: set[tuple[tuple[str, str], ...]] = set()
    peak_memory = 0
    tables: dict[str, Table] = {}
    for name, spec in description.specs.items():
        parts, digests = [], []
        for block in blocks:
            receipt = read_receipt(receipt_file(store, spec, block))
            if receipt is None:
                raise StoreError(
                    f"{store}: block {block} of {name} is not made yet. Run the same "
                    "`avsc-prep extract` again; it does only what is missing."
                )
            parts.append(read_part(part_file(store, spec, block)))
            digests.append(receipt.part_sha256)
            failures.update(receipt.failures)
            environments.add(tuple(sorted(receipt.versions.items())))
            peak_memory = max(peak_memory, receipt.peak_memory)
        tables[name] = gather(store, parts, digests, size)
    ordered = tuple(
        sorted(failures, key=lambda f: (f.clip, f.product, -1 if f.key is None else f.key))
    )
    publish(failures_file(store), encode_failures(ordered))
    ids = [clip.id for clip in dataset.clips]
    mark = write_index(store, description, ids, tables)
    return Closed(mark, ordered, len(environments), peak_memory)


def reopen(store: Path) -> None:
    """Take the index away, before anything that it describes is changed."""
    index_file(store).unlink(missing_ok=True)
