"""What a store is: its fingerprint by hand from docs/identity.md, what changes it, and what not."""

import csv
import hashlib
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import h5py
import numpy as np
import pytest
from stores import SPECS, small_clips, small_store

from avsc.features.store import index
from avsc.features.store.failures import encode_failures
from avsc.features.store.identity import identify
from avsc.features.store.layout import failures_file, part_file, read_description
from avsc.features.store.reader import Store
from avsc.features.store.verify import verify
from avsc.manifests.clips import Clip

PRODUCTS = ("scalogram", "images")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def records_by_hand(store: Path, product: str) -> bytes:
    """A product's spec and its records' columns, out of the part files, by h5py alone."""
    columns: dict[str, list[bytes]] = {"clip": [], "key": [], "rows": [], "crc32": []}
    for block in range(100):
        path = part_file(store, SPECS[product], block)
        if not path.exists():
            break
        with h5py.File(path) as file:
            offset = file["offset"][()]
            columns["clip"].append((file["clip"][()] + 8 * block).astype("<i8").tobytes())
            columns["key"].append(file["key"][()].astype("<i8").tobytes())
            columns["rows"].append((offset[1:] - offset[:-1]).astype("<i8").tobytes())
            columns["crc32"].append(file["crc32"][()].astype("<u4").tobytes())
            spec = file.attrs["spec"]
    return spec.encode() + b"".join(b"".join(pieces) for pieces in columns.values())


def fingerprint_by_hand(store: Path) -> str:
    said = json.loads((store / "store.json").read_text())
    with (store / "clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (store / "failures.csv").open() as file:
        lacking = [row for row in csv.DictReader(file) if row["key"]]
    names = ("id", "scene", "fold", "city", "location")
    parts = {
        "clips": [said["classes"], [[row[name] or None for name in names] for row in rows]],
        "lacking": sorted([row["product"], row["clip"], int(row["key"])] for row in lacking),
    }
    digests = {name: sha256(canonical(part)) for name, part in parts.items()}
    digests |= {name: sha256(records_by_hand(store, name)) for name in said["products"]}
    return sha256(canonical({"avsc store": 2, "parts": digests}))


def earlier_by_hand(store: Path) -> str:
    """The fingerprint as 799888c computed it."""
    ids = [row.split(",")[0] for row in (store / "clips.csv").read_text().splitlines()[1:]]
    total = hashlib.sha256("\n".join(("avsc store", "small", *ids, "")).encode())
    for product in sorted(json.loads((store / "store.json").read_text())["products"]):
        total.update(records_by_hand(store, product))
    return total.hexdigest()


def made(folder: Path, clips: tuple[Clip, ...] = small_clips(), **how: object) -> Store:
    return Store.open(small_store(folder, products=PRODUCTS, clips=clips, **how))  # type: ignore[arg-type]


def test_fingerprint_is_that_of_the_definition(tmp_path: Path) -> None:
    store = made(tmp_path / "store", failed=(3,))
    assert store.fingerprint == fingerprint_by_hand(tmp_path / "store")
    with h5py.File(tmp_path / "store/index.h5") as file:
        assert file.attrs["fingerprint"] == store.fingerprint
    assert verify(tmp_path / "store").fingerprint == store.fingerprint
    assert store.identity.earlier == earlier_by_hand(tmp_path / "store")


@pytest.mark.parametrize(
    "change",
    [
        {"scene": "scene1"},
        {"fold": "test"},
        {"fold": None},
        {"city": "other"},
        {"location": "city-99"},
        {"location": None},
    ],
    ids=str,
)
def test_what_a_clip_is_changes_the_fingerprint(tmp_path: Path, change: dict[str, str]) -> None:
    plain = made(tmp_path / "plain")
    clips = small_clips()
    corrected = made(tmp_path / "store", (replace(clips[0], **change), *clips[1:]), seed=0)
    if "scene" not in change:  # whose frames small_store draws by the scene
        assert corrected.content("scalogram") == plain.content("scalogram")
        assert corrected.identity.earlier == plain.identity.earlier
    assert corrected.fingerprint != plain.fingerprint
    differing = {n for n, d in plain.identity.parts.items() if corrected.identity.parts[n] != d}
    assert differing - set(PRODUCTS) == {"clips"}


def test_where_and_how_it_was_made_does_not(tmp_path: Path) -> None:
    plain = made(tmp_path / "plain")
    moved = tuple(replace(c, audio=f"x/{c.audio}", video=f"y/{c.video}") for c in small_clips())
    assert made(tmp_path / "moved", moved).fingerprint == plain.fingerprint
    assert made(tmp_path / "blocks", block_size=5).fingerprint == plain.fingerprint
    assert made(tmp_path / "seed", seed=1).fingerprint != plain.fingerprint


def test_order_of_the_scenes_is_part_of_it(tmp_path: Path) -> None:
    store = made(tmp_path / "store")
    store.classes = store.classes[::-1]
    assert store.fingerprint != made(tmp_path / "other").fingerprint


def test_a_product_more_leaves_the_other_parts_as_they_are(tmp_path: Path) -> None:
    both = made(tmp_path / "both")
    one = Store.open(small_store(tmp_path / "one", products=("scalogram",)))
    assert one.fingerprint != both.fingerprint
    for part in ("clips", "lacking", "scalogram"):
        assert one.identity.parts[part] == both.identity.parts[part]


def test_seconds_without_an_image_are_part_of_it(tmp_path: Path) -> None:
    store = made(tmp_path / "store", failed=(3,))
    before = store.identity
    lost = tuple(replace(failure, message="other words") for failure in store.failures)
    reworded = made(tmp_path / "other", failed=(3,))
    reworded.failures = lost
    assert reworded.fingerprint == before.fingerprint
    lacking = made(tmp_path / "lacking", failed=(3,))
    lacking.failures = tuple(replace(f, key=1) for f in lost if f.product == "images")
    assert lacking.fingerprint != before.fingerprint
    failures_file(tmp_path / "lacking").write_bytes(encode_failures(lacking.failures))
    assert lacking.fingerprint == fingerprint_by_hand(tmp_path / "lacking")


def test_a_store_closed_in_the_earlier_form_opens_and_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = made(tmp_path / "new")
    earlier = earlier_by_hand(tmp_path / "new")
    with monkeypatch.context() as patch:
        patch.setattr(index, "identity_of", lambda *_: SimpleNamespace(fingerprint=earlier))
        made(tmp_path / "old")
    with h5py.File(tmp_path / "old/index.h5") as file:
        assert file.attrs["fingerprint"] == earlier
    found = verify(tmp_path / "old")
    assert (found.problems, found.earlier) == ((), earlier)
    assert found.fingerprint == Store.open(tmp_path / "old").fingerprint == wanted.fingerprint
    assert verify(tmp_path / "new").earlier is None


def test_fingerprint_of_version_0_1_0_is_still_told() -> None:
    """The golden store and its fingerprint were written by that version."""
    golden = Path(__file__).parents[1] / "golden"
    wanted = json.loads((golden / "expected.json").read_text())["fingerprint"]
    store = Store.open(golden / "store")
    assert store.identity.earlier == verify(golden / "store").earlier == wanted
    assert store.fingerprint not in (wanted, "")


def test_an_index_of_another_fingerprint_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(index, "identity_of", lambda *_: SimpleNamespace(fingerprint="0" * 64))
        made(tmp_path / "store")
    (problem,) = verify(tmp_path / "store").problems
    assert "differs from the index's 0000" in problem


def test_first_clips_are_written_when_there_are_some(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store", products=("images",))
    description = read_description(store)
    assert description.first_clips == "" and b"first_clips" not in description.encode()
    (store / "store.json").write_bytes(replace(description, first_clips="5" * 64).encode())
    assert read_description(store).first_clips == "5" * 64


def test_records_are_digested_by_columns() -> None:
    """Ten million records, of a million clips, must not be copied whole beside the tables."""
    count = 1 << 18
    spec = next(iter(SPECS.values()))
    columns = {name: np.zeros(count, "i4") for name in ("clip", "key", "rows", "crc32")}
    tables = {spec.product: cast(index.RecordTable, SimpleNamespace(**columns))}
    tracemalloc.start()
    identify("set", ["park"], {spec.product: spec}, [], [], tables)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.1 * 8 * count
