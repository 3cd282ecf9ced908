"""Names of the files and folders of a store, and the description that heads it.

    STORE/store.json                                   what the store holds: `Description`
    STORE/clips.csv                                    the clip table, in row order
    STORE/<product>/<digest>/<group>/part-<block>.h5   one part a block
    STORE/<product>/<digest>/<group>/part-<block>.json its receipt
    STORE/index.h5, STORE/failures.csv                 written when the store is closed

`<digest>` is the first twelve digits of the spec's digest, `<group>` the block's number divided by
256 (`group`): with three files a block, the temporary one included, no folder grows beyond about a
thousand, also at a million blocks.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsc.features.specs import STORED, Spec
from avsc.manifests.errors import DamagedError, SettingError, StoreError
from avsc.manifests.files import publish

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
    return store / part_name(spec, block)


def part_name(spec: Spec, block: int) -> str:
    """Return the path of the part of `block`, relative to the store."""
    return f"{spec.product}/{spec.digest[:12]}/{group(block)}/part-{block:05d}.h5"


def group(block: int) -> str:
    """Return the folder of a block's files, relative to that of all blocks.

    It is the folder's number; from the thousandth on, a thousand of them lie in one.

    >>> group(300), group(256_300)
    ('001', '1000/001')
    """
    thousands, number = divmod(block // BLOCKS_PER_FOLDER, 1000)
    return f"{thousands}000/{number:03d}" if thousands else f"{number:03d}"


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
        first_clips: digest of what the clips were (`identity.clips_digest`) when that was first
            changed; empty when it never was. Fingerprints of the earlier form, which do not cover
            it, mean those clips.
    """

    dataset: str
    classes: tuple[str, ...]
    block_size: int
    specs: dict[str, Spec]
    first_clips: str = ""

    def encode(self) -> bytes:
        """Return the bytes of store.json; equal descriptions give equal bytes."""
        products = {
            name: {"digest": spec.digest, "spec": spec.parameters()}
            for name, spec in self.specs.items()
        }
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "classes": list(self.classes),
            "block_size": self.block_size,
            "products": products,
        }
        if self.first_clips:
            values["first_clips"] = self.first_clips
        values["sha256"] = _digest(values)
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
        DamagedError: it is not what was written.
        StoreError: there is none, it may not be read, or it is of another schema version.
    """
    path = description_file(store)
    try:
        values = json.loads(path.read_bytes())
        if values["schema"] == SCHEMA:
            return _decode(values)
    except FileNotFoundError:
        raise StoreError(
            f"{store}: no store here (store.json is missing). Make one with `avsc-prep extract`."
        ) from None
    except (NotADirectoryError, PermissionError) as fault:
        raise StoreError(
            f"{store}: no store that can be read ({fault.strerror}). Name the folder of a store."
        ) from fault
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SettingError) as fault:
        raise DamagedError(
            f"{path}: damaged ({type(fault).__name__}: {fault}). Run the same `avsc-prep extract` "
            "again, which rewrites it; intact parts are kept."
        ) from fault
    raise StoreError(
        f"{path}: schema version {values['schema']!r}, and this version of avsc reads {SCHEMA}. "
        "Extract again into another folder, or use the avsc that made the store."
    )


def _decode(values: dict[str, Any]) -> Description:
    """Return the description; ValueError when its digest, or a spec's, is not that of its content.

    Stores of before the description had a digest have none.
    """
    said = values.pop("sha256", None)
    if said not in (None, _digest(values)):
        raise ValueError("its SHA-256 is not that of its content")
    specs = {}
    for name, product in values["products"].items():
        specs[name] = STORED[name].from_dict(product["spec"])
        if specs[name].digest != product["digest"]:
            raise ValueError(f"the digest of {name} does not fit its spec")
    kinds = {"dataset": str, "classes": list, "block_size": int, "first_clips": str}
    values.setdefault("first_clips", "")
    for name, kind in kinds.items():
        if not isinstance(values[name], kind):
            raise TypeError(f"{name} is {values[name]!r}")
    if values["block_size"] < 1 or not all(isinstance(name, str) for name in values["classes"]):
        raise ValueError("no block size, or scenes that are no text")
    return Description(
        values["dataset"],
        tuple(values["classes"]),
        values["block_size"],
        specs,
        values["first_clips"],
    )


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
