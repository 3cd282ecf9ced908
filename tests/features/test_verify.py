"""Each thing that verification compares, changed so that the others still fit."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import SPECS, small_store

from avsc.features.specs import ScalogramSpec
from avsc.features.store import index, reader
from avsc.features.store.layout import index_file, part_file, read_description
from avsc.features.store.part import Record, read_part, write_part
from avsc.features.store.reader import Store
from avsc.features.store.verify import verify
from avsc.manifests.errors import StoreError

SPEC = SPECS["scalogram"]
EMPTY = np.empty((0, 2, 290), np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return small_store(tmp_path / "store", products=("scalogram",))


def test_a_part_of_other_clips_is_named(store: Path) -> None:
    shutil.copy(part_file(store, SPEC, 1), part_file(store, SPEC, 0))
    problems = verify(store).problems
    assert any(
        "part-00000.h5: holds other clips than the clip table says" in one for one in problems
    )
    assert any("part-00000.h5: its bytes differ" in one for one in problems)


def test_a_part_of_another_spec_is_named(store: Path) -> None:
    path = part_file(store, SPEC, 0)
    ids = read_part(path).ids
    write_part(path, ScalogramSpec(q=40), ids, [], EMPTY)
    assert any("was made by another spec" in problem for problem in verify(store).problems)


def test_a_damaged_record_is_named(store: Path) -> None:
    path = part_file(store, SPEC, 1)
    part = read_part(path)
    data = bytearray(path.read_bytes())
    data[part.data_offset + int(part.offset[3]) * part.row_bytes + 5] ^= 1
    path.write_bytes(data)
    named = f"{part.ids[3]}, key 0: checksum differs"
    assert [problem for problem in verify(store).problems if named in problem]


def rewritten(store: Path, **changes: object) -> None:
    """Write the index anew, whole in itself, with other columns of its table."""
    description, read = read_description(store), index.read_index(store)
    tables = {"scalogram": replace(read.tables["scalogram"], **changes)}  # type: ignore[arg-type]
    said = {"fingerprint": read.fingerprint, **index.heads(store)}
    with h5py.File(index_file(store), "r+") as file:
        for name in changes:
            file["scalogram"][name][...] = getattr(tables["scalogram"], name)
        file["scalogram"].attrs["table_crc32"] = np.uint32(index._crc32(tables["scalogram"]))
        file.attrs["head_crc32"] = np.uint32(index._head_crc32(said, tables))
    assert index.read_index(store).tables.keys() == description.specs.keys()


def test_an_index_of_other_parts_is_named(store: Path) -> None:
    rewritten(store, crc32=index.read_index(store).tables["scalogram"].crc32 ^ np.uint32(1))
    assert verify(store).problems == ("scalogram: the index does not fit the parts",)


def test_a_fingerprint_of_another_store_is_named(store: Path, tmp_path: Path) -> None:
    other = small_store(tmp_path / "other", products=("scalogram",), seed=1)
    said = {"fingerprint": Store.open(other).fingerprint, **index.heads(store)}
    with h5py.File(index_file(store), "r+") as file:
        file.attrs["fingerprint"] = said["fingerprint"]
        crc = index._head_crc32(said, index.read_index(other).tables | index_tables(store))
        file.attrs["head_crc32"] = np.uint32(crc)
    (problem,) = verify(store).problems
    assert problem.startswith("fingerprint ") and said["fingerprint"] in problem


def index_tables(store: Path) -> dict[str, index.RecordTable]:
    """Return an index's tables, whatever its head says."""
    specs = read_description(store).specs
    with h5py.File(index_file(store)) as file:
        return {name: index._table(file[name], spec) for name, spec in specs.items()}


def test_records_twice_or_of_another_type_are_not_written(tmp_path: Path) -> None:
    row = np.zeros((1, 2, 290), np.float32)
    for records, said in (
        ([Record(0, 0, row), Record(0, 0, row)], "each once"),
        ([Record(0, 0, row.astype(np.float64))], "type float32"),
    ):
        with pytest.raises(ValueError, match=said):
            write_part(tmp_path / "part.h5", SPEC, ["a"], records, EMPTY)
    assert not list(tmp_path.iterdir())


def test_parts_carry_no_times(store: Path) -> None:
    """Otherwise equal content would give other bytes a second later."""
    with h5py.File(part_file(store, SPEC, 0)) as file:
        assert len(file) == 6
        for name in file:
            assert not file[name].id.get_create_plist().get_obj_track_times(), name


def test_a_part_that_is_cut_off_under_a_reader_is_told(store: Path) -> None:
    """Also of a record whose checksum was right before."""
    records = Store.open(store).records("scalogram")
    records.read(0)
    os.truncate(part_file(store, SPEC, 0), 5000)
    with pytest.raises(StoreError, match="bytes are there"):
        records.read(0)


def test_a_copy_for_another_process_opens_its_own_files(store: Path) -> None:
    records = Store.open(store).records("scalogram")
    wanted = records.read(2).copy()
    copy = reader.Records.__new__(reader.Records)
    copy.__setstate__(records.__getstate__())
    records.close()
    np.testing.assert_array_equal(copy.read(2), wanted)


def test_a_part_is_written_as_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "part.h5"
    frames = np.random.default_rng(0).normal(size=(7, 2, 290)).astype(np.float32)
    said = write_part(path, SPEC, ["a"], [Record(0, 0, frames)], EMPTY)
    assert said == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
