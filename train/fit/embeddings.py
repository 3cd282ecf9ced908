"""Stored embeddings: what a frozen encoder makes of a store's frames or images, computed once.

A set of embeddings is a store of one product, in a folder named after the product and its spec's
digest, which covers the encoder's weights, its input, and what that was made from:

    STORE-embeddings/acoustic-embeddings-0123456789ab/    store.json, clips.csv, parts, index.h5

so that ``avsc-prep info`` and ``verify`` serve it, runs share it, and a changed encoder or store
has another folder. It holds every clip of every fold, each in its evaluation view: making it learns
nothing (see `make_embeddings`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from avsc.features.specs import AcousticEmbeddingSpec, EmbeddingSpec, VisualEmbeddingSpec
from avsc.features.store.labels import per_second
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError
from avsc.train.model.acoustic import EMBEDDING, AcousticEncoder
from avsc.train.model.visual import VisualEncoder
from avsc.train.model.weights import digest

UNNAMED = ("efficientnetv2_rw_s", "resnet50")
"""Models whose sets do not name them, as no set did at first. Others may share their weights' names
and shapes with another model (tf_efficientnetv2_s with efficientnetv2_s) and must."""

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
    """Return what an encoder's embeddings of a store's frames or images are.

    Args:
        feature: acoustic product that an acoustic encoder takes.
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
        per_second=per_second(store),
        encoder=encoder.digest,
        source=store.content("images"),
        shown=f"{image.size} {image.view}, mean {image.mean}, deviation {image.std}",
        features=encoder.features,
    )
    if config["architecture"] in UNNAMED or unnamed.digest == known:
        return unnamed
    return replace(unnamed, shown=f"{unnamed.shown}, {config['architecture']}")


def open_embeddings(path: Path, product: str, spec: str) -> Store:
    """Open a closed set of embeddings.

    Raises:
        StoreError: it is not there, damaged, or another one.
    """
    opened = Store.open(path, [product])
    if opened.spec(product).digest != spec:
        raise StoreError(
            f"{path}: holds embeddings with digest {opened.spec(product).digest[:12]}, wanted "
            f"{spec[:12]}. Remove the folder and run the command again; it makes them again."
        )
    return opened
