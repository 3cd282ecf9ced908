"""Computing stored embeddings: clip by clip, in parts that are published atomically.

Each part has a receipt that marks it as complete; a set that was stopped is resumed with what is
missing. Encoders compute in float32, on any device.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avsc.features.specs import AcousticEmbeddingSpec, EmbeddingSpec
from avsc.features.store.failures import encode_failures
from avsc.features.store.index import gather, write_index
from avsc.features.store.layout import (
    Description,
    clips_file,
    failures_file,
    index_file,
    part_file,
    receipt_file,
    write_description,
)
from avsc.features.store.part import Record, read_part, write_part
from avsc.features.store.reader import Store
from avsc.manifests.claims import Claim
from avsc.manifests.errors import AvscError
from avsc.manifests.files import publish, remove, remove_stale_files
from avsc.manifests.folder_claims import claimed
from avsc.manifests.table import encode_table
from avsc.train.data.batches import Preparation, image_batches
from avsc.train.data.source import Source, encoded_images
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.embeddings import Encoder, embedding_spec, open_embeddings, set_folder
from avsc.train.fit.run_record import versions
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.visual import VisualEncoder

BLOCK = 64
"""Clips in a part."""

Encode = Callable[[range], list[Record]]
"""From rows of clips to their records, whose clips count from the first row."""


def make_embeddings(
    store: Store,
    feature: str,
    encoder: Encoder,
    folder: Path,
    session: Session,
    known: str = "",
    option: str = "--embeddings",
) -> Store:
    """Return the embeddings of every clip of a store; only what is missing is computed.

    Args:
        feature: acoustic product that an acoustic encoder takes.
        folder: where sets of embeddings are kept.
        session: computes; asked after each part whether to stop.
        known: as of `embedding_spec`.
        option: names another folder.

    Raises:
        AvscError: an embedding is not finite, a file cannot be written, or a signal asked to stop.
    """
    spec = embedding_spec(store, feature, encoder, known)
    path = set_folder(folder, spec.product, spec.digest)
    console, stop = session.console, session.stop
    if not index_file(path).exists():
        with claimed(
            path,
            "embeddings are being made here",
            "Let it end.",
            console.say,
            wait=True,
            keep_on=lambda: stop.check(f"while {path} was waited for"),
            option=option,
        ) as claim:
            if not index_file(path).exists():
                console.say(f"embeddings: {path} is not made yet; making it")
                encoder = encoder.to(session.computing.device).eval()
                if isinstance(encoder, AcousticEncoder):
                    encode = _acoustic_encoding(store, feature, encoder, session.computing)
                else:
                    encode = _visual_encoding(store, encoder, session.computing)
                _SetInMaking(path, spec, store, encode, claim).make(session)
    return open_embeddings(path, spec.product, spec.digest)


def _acoustic_encoding(
    store: Store, feature: str, encoder: AcousticEncoder, computing: Computing
) -> Encode:
    """Return what makes the records of clips from their acoustic frames, one per clip."""
    records = store.records(feature)

    def encode(rows: range) -> list[Record]:
        which = _within(records.clip, rows)
        frames, offset = records.load(which)
        found = [
            encoder(torch.from_numpy(frames[at : at + computing.batch_size]).to(computing.device))
            for at in range(0, len(frames), computing.batch_size)
        ]
        vectors = _joined(found, EMBEDDING)
        return [
            Record(int(records.clip[record]) - rows.start, 0, vectors[begin:end])
            for record, begin, end in zip(which, offset[:-1], offset[1:], strict=True)
        ]

    return encode


def _visual_encoding(store: Store, encoder: VisualEncoder, computing: Computing) -> Encode:
    """Return what makes the records of clips from their images, one per image."""
    source = Source.of(None, encoded_images(store))
    records = store.records("images")

    def encode(rows: range) -> list[Record]:
        which = _within(records.clip, rows)
        preparation = Preparation(encoder.image_input, computing.workers, computing.device)
        batches = image_batches(source, which, computing.batch_size, preparation)
        vectors = _joined([encoder(batch) for batch in batches], encoder.features)
        return [
            Record(int(records.clip[each]) - rows.start, int(records.key[each]), vectors[i : i + 1])
            for i, each in enumerate(which)
        ]

    return encode


def _within(clip: NDArray[np.int32], rows: range) -> NDArray[np.int64]:
    return np.flatnonzero((clip >= rows.start) & (clip < rows.stop))


def _joined(parts: list[torch.Tensor], features: int) -> NDArray[np.float32]:
    if not parts:
        return np.empty((0, features), np.float32)
    vectors: NDArray[np.float32] = torch.cat([part.float().cpu() for part in parts]).numpy()
    if not np.isfinite(vectors).all():
        raise AvscError(
            "an embedding is not finite. Run `avsc-prep verify` on the store; if it finds no "
            "damage, the encoder's weights are unusable: train it again."
        )
    return vectors


@dataclass(frozen=True)
class _SetInMaking:
    """A set of embeddings that is being made.

    Attributes:
        store: what is encoded.
        encode: makes the records of clips.
    """

    path: Path
    spec: EmbeddingSpec
    store: Store
    encode: Encode
    claim: Claim

    def make(self, session: Session) -> None:
        """Make what is missing of the set, and close it."""
        remove_stale_files(self.path)
        store = self.store
        description = Description(store.name, store.classes, BLOCK, {self.spec.product: self.spec})
        write_description(self.path, description)
        publish(clips_file(self.path), encode_table(store.clips))
        digests: list[str] = []
        blocks = -(-len(store.clips) // BLOCK)
        for block in range(blocks):
            digests.append(self._complete(block) or self._publish(block))
            session.stop.check(
                f"after {block + 1} of {blocks} parts of {self.path}, which are kept"
            )
            if session.console.due():
                session.console.show("embeddings", block + 1, blocks)
        self.claim.check()
        self._close(description, digests)

    def _complete(self, block: int) -> str | None:
        """Return the SHA-256 of a part that is complete, or None."""
        try:
            receipt = json.loads(receipt_file(self.path, self.spec, block).read_bytes())
            if part_file(self.path, self.spec, block).stat().st_size == receipt["part_size"]:
                return str(receipt["part_sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def _publish(self, block: int) -> str:
        """Make a part and publish it, then its receipt; return the part's SHA-256."""
        path, spec = self.path, self.spec
        rows = range(block * BLOCK, min((block + 1) * BLOCK, len(self.store.clips)))
        start = time.perf_counter()
        with torch.no_grad():
            records = self.encode(rows)
        self.claim.check()
        remove(receipt_file(path, spec, block))
        ids = [self.store.clips[row].id for row in rows]
        empty = np.empty((0, spec.features), np.float32)
        digest, size = write_part(part_file(path, spec, block), spec, ids, records, empty)
        receipt = {
            "part_sha256": digest,
            "part_size": size,
            "seconds": time.perf_counter() - start,
            "versions": versions(),
        }
        publish(receipt_file(path, spec, block), json.dumps(receipt, indent=1).encode())
        return digest

    def _close(self, description: Description, digests: list[str]) -> None:
        """Write failures.csv, what the source lacks, and the index."""
        path, spec = self.path, self.spec
        source = spec.shown if isinstance(spec, AcousticEmbeddingSpec) else "images"
        lost = [
            replace(f, product=spec.product) for f in self.store.failures if f.product == source
        ]
        publish(failures_file(path), encode_failures(lost))
        parts = [read_part(part_file(path, spec, block)) for block in range(len(digests))]
        write_index(path, description, {spec.product: gather(path, parts, digests, BLOCK)})
