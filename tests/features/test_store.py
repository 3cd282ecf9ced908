"""The store: parts, index, reader, verifier; against h5py, zlib and damage of every kind."""

import pickle
import zlib
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import SPECS, small_clips, small_store

from avsc.features.store.layout import (
    BLOCKS_PER_FOLDER,
    Description,
    group,
    index_file,
    part_file,
    product_folder,
    read_description,
    receipt_file,
)
from avsc.features.store.part import Record, read_part, write_part
from avsc.features.store.reader import Store
from avsc.features.store.verify import verify
from avsc.manifests.errors import StoreError
from avsc.manifests.files import temporary_name

SPEC = SPECS["scalogram"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store"), failed=(3,))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return small_store(tmp_path / "store")


def _part(store: Path, block: int = 0) -> Path:
    return part_file(store, SPEC, block)


def test_reader_gives_what_plain_h5py_gives(store: Path) -> None:
    opened = Store.open(store, ("scalogram", "images"))
    for product, kind in (("scalogram", np.float32), ("images", np.uint8)):
        records = opened.records(product)
        number = 0
        for block in range(3):
            with h5py.File(part_file(store, SPECS[product], block)) as file:
                offset = file["offset"][()]
                for clip, key, begin, end, crc in zip(
                    file["clip"], file["key"], offset[:-1], offset[1:], file["crc32"], strict=True
                ):
                    wanted = file["data"][begin:end]
                    got = records.read(number)
                    assert got.dtype == kind
                    np.testing.assert_array_equal(got, wanted)
                    assert zlib.crc32(wanted.tobytes()) == crc
                    assert (records.clip[number], records.key[number]) == (clip + 8 * block, key)
                    number += 1
        assert number == len(records)


def test_load_joins_records_in_the_order_asked(store: Path) -> None:
    records = Store.open(store).records("scalogram")
    rows, offset = records.load(np.array([5, 0]))
    assert rows.shape[1:] == (2, 290)
    np.testing.assert_array_equal(rows[: offset[1]], records.read(5))
    np.testing.assert_array_equal(rows[offset[1] :], records.read(0))


def test_failed_clip_has_no_record_and_a_reason(store: Path) -> None:
    opened = Store.open(store)
    assert 3 not in opened.records("scalogram").clip
    assert {failure.clip for failure in opened.failures} == {opened.clips[3].id}


def test_records_survive_pickling(store: Path) -> None:
    records = Store.open(store).records("images")
    first = records.read(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(records)).read(0), first)


def test_equal_content_gives_equal_bytes_and_fingerprint(tmp_path: Path) -> None:
    first, second = (small_store(tmp_path / name) for name in ("one", "two"))
    assert _part(first).read_bytes() == _part(second).read_bytes()
    assert index_file(first).read_bytes() == index_file(second).read_bytes()


def test_fingerprint_depends_on_content_not_on_block_size(tmp_path: Path) -> None:
    plain = Store.open(small_store(tmp_path / "plain")).fingerprint
    assert Store.open(small_store(tmp_path / "blocks", block_size=5)).fingerprint == plain
    assert Store.open(small_store(tmp_path / "other", seed=1)).fingerprint != plain
    assert Store.open(small_store(tmp_path / "less", failed=(1,))).fingerprint != plain


def test_part_without_records(tmp_path: Path) -> None:
    empty = np.empty((0, 2, 290), np.float32)
    path = tmp_path / "part.h5"
    write_part(path, SPEC, ["a", "b"], [], empty)
    part = read_part(path)
    assert len(part.clip) == 0 and part.ids == ("a", "b") and part.item_shape == (2, 290)


def test_part_refuses_records_out_of_order_or_of_another_shape(tmp_path: Path) -> None:
    empty = np.empty((0, 2, 290), np.float32)
    row = np.zeros((1, 2, 290), np.float32)
    with pytest.raises(ValueError, match="ordered"):
        write_part(
            tmp_path / "part.h5", SPEC, ["a", "b"], [Record(1, 0, row), Record(0, 0, row)], empty
        )
    with pytest.raises(ValueError, match="shape"):
        write_part(tmp_path / "part.h5", SPEC, ["a"], [Record(0, 0, row[:, :1])], empty)
    assert not (tmp_path / "part.h5").exists()


@pytest.mark.parametrize("size", [64, 1])
def test_no_folder_of_a_large_store_holds_many_files(tmp_path: Path, size: int) -> None:
    """A million clips: a part, its receipt and a temporary file for each block, and folders."""
    part = part_file(tmp_path, SPEC, 0)
    beside = {part.name, receipt_file(tmp_path, SPEC, 0).name, temporary_name(part).name}
    assert {receipt_file(tmp_path, SPEC, 0).parent, temporary_name(part).parent} == {part.parent}
    assert part.parent == product_folder(tmp_path, SPEC) / group(0)
    folders = Counter(map(group, range(-(-1_000_000 // size))))
    assert max(folders.values()) * len(beside) == 3 * BLOCKS_PER_FOLDER < 1000
    within: dict[Path, set[Path]] = defaultdict(set)
    for folder in map(Path, folders):
        for place, above in pairwise([folder, *folder.parents]):
            within[above].add(place)
    assert max(map(len, within.values())) < 1005


def test_verify_finds_nothing_in_a_good_store(own: Path) -> None:
    found = verify(own)
    assert found.problems == ()
    assert found.fingerprint == Store.open(own).fingerprint
    assert found.parts == 9


@pytest.mark.parametrize("where", [0.2, 0.5, 0.97])
def test_flipped_byte_is_found(own: Path, where: float) -> None:
    path = _part(own)
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)
    problems = verify(own).problems
    assert problems and all(str(path) in problem for problem in problems)


def test_flipped_byte_of_a_record_is_never_read(own: Path) -> None:
    path = _part(own)
    part = read_part(path)
    data = bytearray(path.read_bytes())
    data[part.data_offset + 17] ^= 1
    path.write_bytes(data)
    records = Store.open(own).records("scalogram")
    with pytest.raises(StoreError, match=r"checksum differs.*avsc-prep verify"):
        records.read(0)
    records.read(1)


def test_truncated_and_missing_parts_are_found(own: Path) -> None:
    path = _part(own, 1)
    path.write_bytes(path.read_bytes()[:-9000])
    _part(own, 2).unlink()
    problems = "\n".join(verify(own).problems)
    assert "part-00001.h5: its bytes differ" in problems
    assert "part-00002.h5: missing" in problems
    with pytest.raises(StoreError, match=r"part-0000[12].h5"):
        Store.open(own).records("scalogram").load()


def test_store_that_is_not_closed_says_what_to_run(own: Path) -> None:
    index_file(own).unlink()
    with pytest.raises(StoreError, match=r"not closed .*avsc-prep extract"):
        Store.open(own)


def test_clip_table_changed_since_closing(own: Path) -> None:
    path = own / "clips.csv"
    path.write_text(path.read_text().replace("scene0-city", "scene9-city", 1))
    with pytest.raises(StoreError, match=r"clips.csv: not the file"):
        Store.open(own)


def test_product_that_is_not_there(tmp_path: Path) -> None:
    store = small_store(tmp_path / "store", products=("images",))
    with pytest.raises(StoreError, match="has no scalogram; it has images"):
        Store.open(store, ("scalogram",))


def test_other_schema_version(own: Path) -> None:
    path = own / "store.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(StoreError, match=r"schema version 99.*reads 1"):
        read_description(own)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        Store.open(tmp_path)


def test_description_refuses_a_spec_that_was_edited(own: Path) -> None:
    path = own / "store.json"
    path.write_text(path.read_text().replace('"q": 41', '"q": 40'))
    with pytest.raises(StoreError, match="SHA-256 is not that of its content"):
        read_description(own)


def test_description_round_trip(own: Path) -> None:
    assert read_description(own) == Description("small", ("scene0", "scene1", "scene2"), 8, SPECS)


def test_external_data_is_refused(own: Path, tmp_path: Path) -> None:
    """An HDF5 file may keep its data in any other file; ours may not."""
    path = _part(own)
    part = read_part(path)
    with h5py.File(path, "r+") as file:
        shape, kind = file["data"].shape, file["data"].dtype
        del file["data"]
        secret = tmp_path / "secret"
        secret.write_bytes(b"\0" * 10_000_000)
        file.create_dataset("data", shape, kind, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(StoreError, match="not one contiguous run in the file itself"):
        read_part(path)
    with h5py.File(path, "r+") as file:
        del file["data"]
        file["data"] = h5py.ExternalLink(str(part.path), "/clip")
    with pytest.raises(StoreError, match="not kept in the file itself"):
        read_part(path)


def test_every_digest_differs_with_every_parameter() -> None:
    specs = [SPEC, replace(SPEC, q=40), replace(SPEC, floor=1e-9), replace(SPEC, version=2)]  # type: ignore[call-arg]
    assert len({spec.digest for spec in specs}) == len(specs)


def test_small_clips_have_folds() -> None:
    assert {clip.fold for clip in small_clips()} == {"train", "test"}
