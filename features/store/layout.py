"""Names of the files and folders of a store, and the description that heads it.

    STORE/store.json                                   what the store holds: `Description`
    STORE/clips.csv                                    the clip table, in row order
    STORE/<product>/<digest>/<group>/part-<block>.h5   one part a block
    STORE/<product>/<digest>/<group>/part-<block>.json its receipt
    STORE/index.h5, STORE/failures.csv                 written when the store is closed

`<digest>` is the first twelve digits of the spec's digest, `<group>` the block's number divided by
256: with two files a block no folder grows beyond about five hundred, also at a million clips.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avsc.features.specs import STORED, Spec
from avsc.manifests.errors import StoreError
from avsc.manifests.publish import publish

SCHEMA = 1
BLOCKS_PER_FOLDER = 256


def description_file(store: Path) -> Path:
    """Return the path of store.json."""
    return store / "store.json"


def clips_file(store: Path) -> Path:
    """Return the path of the clip table."""
    return store / "clips.csv"


def index_file(store: Path) -> Path:
    """Return the path of the index, which a closed store has."""
    return store / "index.h5"


def failures_file(store: Path) -> Path:
    """Return the path of the list of what could not be made."""
    return store / "failures.csv"


def product_folder(store: Path, spec: Spec) -> Path:
    """Return the folder of everything made by `spec`."""
    return store / spec.product / spec.digest[:12]


def part_file(store: Path, spec: Spec, block: int) -> Path:
    """Return the path of the part of `block`."""
    group = block // BLOCKS_PER_FOLDER
    return product_folder(store, spec) / f"{group:03d}" / f"part-{block:05d}.h5"


def receipt_file(store: Path, spec: Spec, block: int) -> Path:
    """Return the path of the receipt of `block`, whose presence marks the part as complete."""
    return part_file(store, spec, block).with_suffix(".json")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Description:
    """What store.json says.

    Attributes:
        dataset: name of the data set.
        classes: scene labels in the order of their class indices.
        block_size: clips in a block (the last block may hold fewer).
        specs: the spec of each product, by product name.
    """

    dataset: str
    classes: tuple[str, ...]
    block_size: int
    specs: dict[str, Spec]

    def encode(self) -> bytes:
        """Return the bytes of store.json; equal descriptions give equal bytes."""
        products = {
            name: {"digest": spec.digest, "spec": asdict(spec)} for name, spec in self.specs.items()
        }
        values = {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "classes": list(self.classes),
            "block_size": self.block_size,
            "products": products,
        }
        return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def write_description(store: Path, description: Description) -> None:
    """Write store.json; a file that already says the same is left alone."""
    path = description_file(store)
    data = description.encode()
    if not path.is_file() or path.read_bytes() != data:
        publish(path, data)


def read_description(store: Path) -> Description:
    """Read store.json.

    Raises:
        StoreError: there is none, it is damaged, or of another schema version.
    """
    path = description_file(store)
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(
            f"{store}: no store here (store.json is missing). Make one with `avsc-prep extract`."
        ) from None
    except ValueError as fault:
        raise StoreError(
            f"{path}: damaged ({fault}). Restore it, or remove it and run `avsc-prep extract` "
            "again: parts that are whole are kept."
        ) from fault
    if values.get("schema") != SCHEMA:
        raise StoreError(
            f"{path}: schema version {values.get('schema')!r}, and this version of avsc reads "
            f"{SCHEMA}. Extract again into another folder, or use the avsc that made the store."
        )
    try:
        return _decode(values)
    except (KeyError, TypeError) as fault:
        raise StoreError(f"{path}: damaged, {fault} is missing or of another kind.") from fault


def _decode(values: dict[str, Any]) -> Description:
    specs = {}
    for name, product in values["products"].items():
        spec = STORED[name].from_dict(product["spec"])
        if spec.digest != product["digest"]:
            raise StoreError(
                f"store.json: the digest of {name} does not fit its spec; the file was changed. "
                "Restore it, or extract again into another folder."
            )
        specs[name] = spec
    return Description(values["dataset"], tuple(values["classes"]), values["block_size"], specs)
