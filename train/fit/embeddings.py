"""Stored embeddings: what a frozen encoder makes of a store's frames or pictures, made once.

A set of embeddings is a store of one product, in a folder named after the product and its spec's
digest, which covers the encoder's weights, what it was shown, and what that was made from:

    STORE-embeddings/acoustic-embeddings-0123456789ab/    store.json, clips.csv, parts, index.h5

so that ``avsc-prep info`` and ``verify`` serve it, runs share it, and a changed encoder or store
has another folder. It holds every clip of every fold, each in its evaluation view: making it learns
nothing. Parts are published whole, with a receipt that marks them as complete; making it again goes
on with what is missing. Encoders compute in float32, on any device.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from avsc.features.specs import AcousticEmbeddingSpec, EmbeddingSpec, VisualEmbeddingSpec
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
from avsc.manifests.errors import AvscError, StoreError
from avsc.manifests.files import publish, remove, remove_stale_files
from avsc.manifests.folder_claims import claimed
from avsc.manifests.table import encode_table
from avsc.train.data.batches import Preparation, image_batches
from avsc.train.data.source import Source, encoded_images
from avsc.train.fit.compute import Computing, Session
from avsc.train.fit.run_record import versions
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import digest

BLOCK = 64
"""Clips in a part."""

UNNAMED = ("efficientnetv2_rw_s", "resnet50")
"""Models whose sets do not name them, as no set did at first. Others may share their weights' names
and shapes with another model (tf_efficientnetv2_s with efficientnetv2_s) and must."""

Encode = Callable[[range], list[Record]]
"""From rows of clips to their records, whose clips count from the first row."""

Encoder = AcousticEncoder | VisualEncoder


def embeddings_folder(store: Path, chosen: Path | None) -> Path:
    """Return where a store's embeddings are kept.

    >>> str(embeddings_folder(Path("stores/TAU2021"), None))
    'stores/TAU2021-embeddings'
    """
    if chosen is not None:
        return chosen
    store = store.resolve() if store.name in ("", "..") else store  # such as "."
    return store.with_name(f"{store.name}-embeddings")


def set_folder(folder: Path, product: str, spec: str) -> Path:
    """Return the folder of one set of embeddings, from its product and its spec's digest."""
    return folder / f"{product}-{spec[:12]}"


def embedding_spec(store: Store, feature: str, encoder: Encoder, known: str = "") -> EmbeddingSpec:
    """Return what an encoder's embeddings of a store's frames or pictures are.

    Args:
        store: what is encoded.
        feature: acoustic product that an acoustic encoder hears.
        encoder: what encodes.
        known: digest of the spec of those that a run began with, if it did with some.
    """
    if isinstance(encoder, AcousticEncoder):
        return AcousticEmbeddingSpec(
            encoder=digest(encoder),
            source=store.content(feature),
            shown=feature,
            features=EMBEDDING,
        )
    image, config = encoder.image_input, cast(Any, encoder.model).pretrained_cfg
    unnamed = VisualEmbeddingSpec(
        encoder=encoder.digest,
        source=store.content("images"),
        shown=f"{image.size} {image.view}, mean {image.mean}, deviation {image.std}",
        features=encoder.features,
    )
    if config["architecture"] in UNNAMED or unnamed.digest == known:
        return unnamed
    return replace(unnamed, shown=f"{unnamed.shown}, {config['architecture']}")


def make_embeddings(
    store: Store,
    feature: str,
    encoder: Encoder,
    folder: Path,
    session: Session,
    known: str = "",
    option: str = "--embeddings",
) -> Store:
    """Return the embeddings of every clip of a store; what is there already is not made again.

    Args:
        store: what is encoded.
        feature: acoustic product that an acoustic encoder hears.
        encoder: what encodes.
        folder: where sets of embeddings are kept.
        session: computes; looked at after each part whether to stop.
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
                _make(store, feature, encoder, spec, path, claim, session)
    return open_embeddings(path, spec.product, spec.digest)


def _make(
    store: Store,
    feature: str,
    encoder: Encoder,
    spec: EmbeddingSpec,
    path: Path,
    claim: Claim,
    session: Session,
) -> None:
    """Make what is missing of a set in its folder, and close it."""
    remove_stale_files(path)
    description = Description(store.name, store.classes, BLOCK, {spec.product: spec})
    write_description(path, description)
    publish(clips_file(path), encode_table(store.clips))
    computing, console = session.computing, session.console
    encoder = encoder.to(computing.device).eval()
    if isinstance(encoder, AcousticEncoder):
        encode = _acoustic_encoding(store, feature, encoder, computing)
    else:
        encode = _visual_encoding(store, encoder, computing)
    digests: list[str] = []
    ids = [clip.id for clip in store.clips]
    blocks = -(-len(ids) // BLOCK)
    for block in range(blocks):
        rows = range(block * BLOCK, min((block + 1) * BLOCK, len(ids)))
        named = ids[rows.start : rows.stop]
        made = _made(path, spec, block)
        digests.append(made or _publish(path, spec, block, named, encode, rows, claim))
        session.stop.check(f"after {block + 1} of {blocks} parts of {path}, which are kept")
        if console.due():
            console.show("embeddings", block + 1, blocks)
    claim.check()
    _close(path, description, store, spec, digests)


def open_embeddings(path: Path, product: str, spec: str) -> Store:
    """Open a closed set of embeddings.

    Raises:
        StoreError: it is not there, damaged, or another one.
    """
    opened = Store.open(path, [product])
    if opened.spec(product).digest != spec:
        raise StoreError(
            f"{path}: holds embeddings with digest {opened.spec(product).digest[:12]}, wanted "
            f"{spec[:12]}. Remove the folder and run the command again; it makes them anew."
        )
    return opened


def _acoustic_encoding(
    store: Store, feature: str, encoder: AcousticEncoder, computing: Computing
) -> Encode:
    """Return what makes the records of clips from their acoustic frames: one a clip."""
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
    """Return what makes the records of clips from their pictures: one a picture."""
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


def _joined(found: list[torch.Tensor], features: int) -> NDArray[np.float32]:
    if not found:
        return np.empty((0, features), np.float32)
    vectors: NDArray[np.float32] = torch.cat([each.float().cpu() for each in found]).numpy()
    if not np.isfinite(vectors).all():
        raise AvscError(
            "an embedding is not finite. Run `avsc-prep verify` on the store; if it finds no "
            "damage, the encoder's weights are unusable: train it anew."
        )
    return vectors


def _made(path: Path, spec: EmbeddingSpec, block: int) -> str | None:
    """Return the SHA-256 of a part that is complete, or None."""
    try:
        receipt = json.loads(receipt_file(path, spec, block).read_bytes())
        if part_file(path, spec, block).stat().st_size == receipt["part_size"]:
            return str(receipt["part_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _publish(
    path: Path,
    spec: EmbeddingSpec,
    block: int,
    ids: list[str],
    encode: Encode,
    rows: range,
    claim: Claim,
) -> str:
    """Make a part and publish it, then its receipt; return the part's SHA-256."""
    begun = time.perf_counter()
    with torch.no_grad():
        records = encode(rows)
    claim.check()
    remove(receipt_file(path, spec, block))
    empty = np.empty((0, spec.features), np.float32)
    digest, size = write_part(part_file(path, spec, block), spec, ids, records, empty)
    receipt = {
        "part_sha256": digest,
        "part_size": size,
        "seconds": time.perf_counter() - begun,
        "versions": versions(),
    }
    publish(receipt_file(path, spec, block), json.dumps(receipt, indent=1).encode())
    return str(receipt["part_sha256"])


def _close(
    path: Path, description: Description, store: Store, spec: EmbeddingSpec, digests: list[str]
) -> None:
    """Write failures.csv, what the source lacks, and the index."""
    source = spec.shown if isinstance(spec, AcousticEmbeddingSpec) else "images"
    lost = [replace(f, product=spec.product) for f in store.failures if f.product == source]
    publish(failures_file(path), encode_failures(lost))
    parts = [read_part(part_file(path, spec, block)) for block in range(len(digests))]
    tables = {spec.product: gather(path, parts, digests, BLOCK)}
    write_index(path, description, tables)
