"""The tables of parts and of the index: each number one off, with checksums that fit."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import SPECS, small_store

from avsc.features.store import index
from avsc.features.store.index import read_index
from avsc.features.store.layout import index_file, part_file
from avsc.features.store.part import read_part
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError

Change = Callable[[np.ndarray], np.ndarray]
SPEC = SPECS["scalogram"]
OF_A_PART = ("clip", "key", "offset", "crc32", "ids")
OF_THE_INDEX = ("path", "sha256", "clip", "key", "part", "start", "rows", "crc32")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return small_store(tmp_path / "store", products=("scalogram",))


def checksum(group: h5py.Group, names: tuple[str, ...]) -> np.uint32:
    return np.uint32(zlib.crc32(b"".join(group[name][()].tobytes() for name in names)))


def placed(at: int, value: int) -> Change:
    def change(table: np.ndarray) -> np.ndarray:
        changed = table.copy()
        changed[at] = value
        return changed

    return change


def test_checksums_are_over_all_tables(store: Path) -> None:
    with h5py.File(part_file(store, SPEC, 1)) as file:
        assert file.attrs["table_crc32"] == checksum(file, OF_A_PART)
        assert set(file) == {*OF_A_PART, "data"}
    with h5py.File(index_file(store)) as file:
        assert file["scalogram"].attrs["table_crc32"] == checksum(file["scalogram"], OF_THE_INDEX)
        assert set(file["scalogram"]) == set(OF_THE_INDEX)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("clip", lambda table: table + 1, "of clips that are not there"),  # eight clips: 1 to 8
        ("clip", placed(1, 0), "out of order"),  # twice
        ("offset", placed(-1, 15 * 8 + 1), "do not fit the data"),
        ("offset", placed(1, 0), None),  # a record without frames is one
    ],
)
def test_a_part(store: Path, name: str, change: Change, said: str | None) -> None:
    path = part_file(store, SPEC, 0)
    with h5py.File(path, "r+") as file:
        file[name][...] = change(file[name][()])
        file.attrs["table_crc32"] = checksum(file, OF_A_PART)
    if said is None:
        assert np.diff(read_part(path).offset)[:2].tolist() == [0, 30]
        return
    with pytest.raises(StoreError, match=said):
        read_part(path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("clip", placed(1, 0), "out of order"),  # twice
        ("part", placed(-1, 3), "parts that are not there"),  # three parts: 0 to 2
        ("clip", placed(-1, 24), "not listed"),  # 24 clips: 0 to 23
    ],
)
def test_the_index(store: Path, name: str, change: Change, said: str) -> None:
    read, heads = read_index(store), index.heads(store)
    table = read.tables["scalogram"]
    tables = {"scalogram": replace(table, **{name: change(getattr(table, name))})}
    head = index._head_crc32({"fingerprint": read.fingerprint, **heads}, tables)
    with h5py.File(index_file(store), "r+") as file:
        group = file["scalogram"]
        group[name][...] = getattr(tables["scalogram"], name)
        group.attrs["table_crc32"] = checksum(group, OF_THE_INDEX)
        file.attrs["head_crc32"] = np.uint32(head)
    with pytest.raises(StoreError, match=said):
        Store.open(store)


def test_a_number_of_a_part_that_its_checksum_does_not_fit(store: Path) -> None:
    path = part_file(store, SPEC, 0)
    with h5py.File(path, "r+") as file:
        file["crc32"][0] ^= 1
    with pytest.raises(StoreError, match="the checksum of the tables differs"):
        read_part(path)


def test_records_of_many_lengths_come_in_the_order_asked_for(tmp_path: Path) -> None:
    images = Store.open(small_store(tmp_path / "store", products=("images",))).records("images")
    asked = [7, 2, 11, 3]
    lengths = [len(images.read(number)) for number in asked]
    assert len(set(lengths)) > 1 and lengths != sorted(lengths)
    data, offset = images.load(np.array(asked))
    for place, number in enumerate(asked):
        found = data[offset[place] : offset[place + 1]]
        assert found.tobytes() == images.read(number).tobytes()
