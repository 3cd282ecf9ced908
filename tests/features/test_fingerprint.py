"""What a store's fingerprint tells apart, and the tables that readers count on."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import stores
from stores import small_store

from avsc.features.specs import FbankSpec, Spec
from avsc.features.store.failures import Failure, encode_failures, in_order, read_failures
from avsc.features.store.layout import index_file
from avsc.features.store.part import Record
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError


def alike(
    monkeypatch: pytest.MonkeyPatch, folder: Path, first_key: int = 0, failed: int = 0
) -> str:
    """Return the fingerprint of a store of which each clip holds the same two images."""

    def records(_: str, row_in_block: int, *rest: object) -> list[Record]:
        images = [np.full(9 + second, second, np.uint8) for second in range(2)]
        return [Record(row_in_block, first_key + k, data) for k, data in enumerate(images)]

    monkeypatch.setattr(stores, "_records", records)
    return Store.open(small_store(folder, products=("images",), failed=(failed,))).fingerprint


def test_other_seconds_and_other_clips_make_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = [alike(monkeypatch, tmp_path / name) for name in ("one", "two")]
    later = alike(monkeypatch, tmp_path / "later", first_key=1)
    other = alike(monkeypatch, tmp_path / "other", failed=1)
    assert same[0] == same[1]
    assert len({same[0], later, other}) == 3


def test_another_spec_makes_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal frames too."""

    def fingerprint(name: str, spec: Spec) -> str:
        monkeypatch.setitem(stores.SPECS, "fbank", spec)
        return Store.open(small_store(tmp_path / name, products=("fbank",))).fingerprint

    assert fingerprint("one", FbankSpec()) != fingerprint("other", FbankSpec(floor=1e-9))


def test_a_fingerprint_that_was_written_over_is_refused(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store", products=("images",))
    with h5py.File(index_file(store), "r+") as file:
        file.attrs["fingerprint"] = "0" * 64
    with pytest.raises(StoreError, match="checksum of its head differs"):
        Store.open(store)


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store", products=("images",))
    with h5py.File(index_file(store), "r+") as file:
        file["images/crc32"][3] ^= 1
    with pytest.raises(StoreError, match="checksum of the table differs"):
        Store.open(store)


def test_failures_come_back_as_they_were_once_each(tmp_path: Path) -> None:
    """Second 0 is not the whole clip."""
    whole = Failure("b", "images", None, "pictures", "missing", 'a "reason", in words')
    seconds = [Failure("b", "images", k, "pictures", "corrupt", "s") for k in (0, 10, 9)]
    first = Failure("a", "scalogram", None, "sound", "mono", "m")
    ordered = in_order([*seconds, whole, first, whole])
    assert ordered == (first, whole, seconds[0], seconds[2], seconds[1])
    path = tmp_path / "failures.csv"
    path.write_bytes(encode_failures(ordered))
    assert read_failures(path) == ordered
