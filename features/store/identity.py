"""What a store is, as digests of all that anything computed from it depends on.

Each part of a store has a digest of its own, so that it can be said what differs, and a run
depends on no part that it did not use:

    clips      the scenes in order, and of each clip id, scene, fold, city, location and segments
    lacking    the seconds that failures.csv says have no image: segments that are missing
    PRODUCT    its spec, and of each record clip, key, length and CRC-32

The fingerprint is the digest of these digests. Paths, times, versions, the block size and the name
of the data set have no part in it: the same content has the same fingerprint wherever and however
it was made. docs/identity.md gives the exact definition.

Stores closed before had a fingerprint of ids and records alone (`earlier_fingerprint`), which does
not tell when a clip's scene is corrected; runs that recorded it are still compared by it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from avsc.features.specs import Spec
from avsc.features.store.failures import Failure
from avsc.manifests.clips import Clip

if TYPE_CHECKING:
    from avsc.features.store.index import RecordTable

FORM = 2
CLIPS, LACKING = "clips", "lacking"
COLUMNS = (("clip", "<i8"), ("key", "<i8"), ("rows", "<i8"), ("crc32", "<u4"))


@dataclass(frozen=True)
class Identity:
    """What a store is.

    Attributes:
        parts: SHA-256 of each part of it: ``"clips"``, ``"lacking"``, and each product.
        earlier: its fingerprint in the earlier form.
    """

    parts: Mapping[str, str]
    earlier: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all parts, 64 hexadecimal digits."""
        return _digest({"avsc store": FORM, "parts": dict(self.parts)})


def identify(
    dataset: str,
    classes: Sequence[str],
    specs: Mapping[str, Spec],
    clips: Sequence[Clip],
    failures: Iterable[Failure],
    tables: Mapping[str, "RecordTable"],
) -> Identity:
    """Return what a store is.

    Args:
        dataset: name of the data set, which the earlier fingerprint covers.
        classes: scene labels in the order of their class indices.
        specs: by product.
        failures: what could not be made.
    """
    parts = {
        CLIPS: clips_digest(classes, clips),
        LACKING: _digest(sorted([f.product, f.clip, f.key] for f in failures if f.key is not None)),
        **{name: _records_digest(specs[name], table) for name, table in tables.items()},
    }
    return Identity(parts, earlier_fingerprint(dataset, specs, [c.id for c in clips], tables))


def clips_digest(classes: Sequence[str], clips: Iterable[Clip]) -> str:
    """Return the SHA-256 of what clips are; where their recordings lie is no part of it."""
    rows: list[list[Any]] = []
    for clip in clips:
        rows.append([clip.id, clip.scene, clip.fold, clip.city, clip.location])
        if clip.segments:
            rows[-1].append([[span.start, span.end, span.label] for span in clip.segments])
    return _digest([list(classes), rows])


def earlier_fingerprint(
    dataset: str, specs: Mapping[str, Spec], ids: Sequence[str], tables: Mapping[str, "RecordTable"]
) -> str:
    """Return the SHA-256 of the data set's name, clip ids, specs and records of a store."""
    digest = hashlib.sha256("\n".join(("avsc store", dataset, *ids, "")).encode())
    for name in sorted(tables):
        _add_records(digest, specs[name], tables[name])
    return digest.hexdigest()


def _records_digest(spec: Spec, table: "RecordTable") -> str:
    digest = hashlib.sha256()
    _add_records(digest, spec, table)
    return digest.hexdigest()


def _add_records(digest: "hashlib._Hash", spec: Spec, table: "RecordTable") -> None:
    """Add a product's spec and records, column by column: of a million clips all are 0.3 GB."""
    digest.update(spec.canonical().encode())
    for column, kind in COLUMNS:
        digest.update(np.ascontiguousarray(getattr(table, column), kind).data)


def _digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON: keys sorted, no spaces, ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
