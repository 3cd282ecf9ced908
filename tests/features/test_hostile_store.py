"""Store files that somebody made to harm: refused, before memory is taken and nothing is followed.

All checksums in them are right; they are no damage but intent.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import SPECS, small_store

from avsc.features.store import hdf5
from avsc.features.store.index import RecordTable, read_index, write_index
from avsc.features.store.layout import (
    description_file,
    index_file,
    part_file,
    read_description,
)
from avsc.features.store.part import TABLES, read_part, table_crc32
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError

SPEC = SPECS["scalogram"]
HUGE = 1 << 50


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return small_store(tmp_path / "store", products=("scalogram",))


# Parts ---------------------------------------------------------------------------------------


def external_link(file: h5py.File, elsewhere: Path) -> None:
    with h5py.File(elsewhere, "w") as other:
        other["data"] = file["data"][()]
    del file["data"]
    file["data"] = h5py.ExternalLink(str(elsewhere), "/data")


def soft_link(file: h5py.File, elsewhere: Path) -> None:
    file.move("clip", "elsewhere")
    file["clip"] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, elsewhere: Path) -> None:
    data = file["data"][()]
    elsewhere.write_bytes(data.tobytes())
    del file["data"]
    places = [(str(elsewhere), 0, data.nbytes)]
    file.create_dataset("data", data.shape, data.dtype, external=places)


def virtual_source(file: h5py.File, elsewhere: Path) -> None:
    data = file["data"][()]
    with h5py.File(elsewhere, "w") as other:
        other["data"] = data
    del file["data"]
    layout = h5py.VirtualLayout(data.shape, data.dtype)
    layout[:] = h5py.VirtualSource(str(elsewhere), "data", data.shape)
    file.create_virtual_dataset("data", layout)


def compound_type(file: h5py.File, elsewhere: Path) -> None:
    del file["clip"]
    file["clip"] = np.zeros(8, [("a", "i4"), ("b", "f8")])


def text_of_any_length(file: h5py.File, elsewhere: Path) -> None:
    del file["ids"]
    file["ids"] = np.array(["a"] * 8, h5py.string_dtype())


def filtered(file: h5py.File, elsewhere: Path) -> None:
    data = file["data"][()]
    del file["data"]
    file.create_dataset("data", data=data, compression="gzip")


def larger_than_the_file(file: h5py.File, elsewhere: Path) -> None:
    """Nothing is kept of it, so that the file stays small; reading it would take 2^50 bytes."""
    del file["key"]
    file.create_dataset("key", (HUGE // 4,), "<i4")


def large_attribute(file: h5py.File, elsewhere: Path) -> None:
    file.attrs.create("spec", np.array(b"x" * 60_000, "S60000"))
    file.attrs["product"] = np.zeros(20_000, "<i4")


def a_group(file: h5py.File, elsewhere: Path) -> None:
    del file["crc32"]
    file.create_group("crc32")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external_link, "data is not kept in the file itself"),
        (soft_link, "clip is not kept in the file itself"),
        (external_storage, "data is not one contiguous run in the file itself"),
        (virtual_source, "data is not one contiguous run in the file itself"),
        (compound_type, "clip is of type"),
        (text_of_any_length, "ids is of type object"),
        (filtered, "data is not one contiguous run"),
        (larger_than_the_file, "key is larger than the file"),
        (large_attribute, "attribute product is not a number or a short text"),
        (a_group, "crc32 is no array"),
    ],
)
def test_part(
    store: Path, tmp_path: Path, change: Callable[[h5py.File, Path], None], said: str
) -> None:
    path = part_file(store, SPEC, 0)
    read_part(path)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file, tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=said) as caught:
        read_part(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("clip", lambda table: table + 100),
        ("clip", lambda table: table - 1),
        ("clip", lambda table: table[::-1]),
        ("clip", lambda table: table.astype("<i8")),
        ("clip", lambda table: table[:-1]),
        ("key", lambda table: table - 1),
        ("crc32", lambda table: table.reshape(2, -1)),
        ("offset", lambda table: table + 1),
        ("offset", lambda table: -table),
        ("offset", lambda table: np.where(table == table[1], HUGE, table)),
    ],
)
def test_tables_of_a_part(store: Path, name: str, change: Callable[..., np.ndarray]) -> None:
    path = part_file(store, SPEC, 0)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        tables = {table: file[table][()] for table in TABLES}
        tables[name] = np.ascontiguousarray(change(tables[name]))
        del file[name]
        file.create_dataset(name, data=tables[name])
        file.attrs["table_crc32"] = np.uint32(table_crc32(tables))
    with pytest.raises(StoreError, match="damaged"):
        read_part(path)


def test_part_of_another_spec(store: Path) -> None:
    with pytest.raises(StoreError, match=r"made by \{.*\"q\":41.*wanted \{.*\"q\":40"):
        read_part(part_file(store, SPEC, 0), replace(SPEC, q=40))  # type: ignore[call-arg]


PLUG_IN = """
#include <stdlib.h>
#include <stdio.h>
__attribute__((constructor)) static void loaded(void) { fclose(fopen(getenv("MARK"), "w")); }
"""
READ = "import h5py, sys; h5py.File(sys.argv[1], locking=False)['data'][()]"


def test_no_plug_in_is_loaded(store: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) to make a plug-in with")
    path, mark = part_file(store, SPEC, 0), tmp_path / "loaded"
    source, plug_ins = tmp_path / "plug_in.c", tmp_path / "plug_ins"
    source.write_text(PLUG_IN)
    plug_ins.mkdir()
    command = [compiler, "-shared", "-fPIC", "-o", str(plug_ins / "libplug.so"), str(source)]
    subprocess.run(command, check=True)
    with h5py.File(path, "r+") as file:
        del file["data"]
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((8,))
        how.set_filter(32_999, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((8,))
        made = h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U8LE, space, how)
        made.write_direct_chunk((0,), b"12345678")
    environment = {**os.environ, "HDF5_PLUGIN_PATH": str(plug_ins), "MARK": str(mark)}
    environment.pop("HDF5_PLUGIN_PRELOAD", None)
    plain = [sys.executable, "-c", READ, str(path)]
    subprocess.run(plain, env=environment, capture_output=True, check=False)
    assert mark.exists()  # as HDF5 does by itself
    mark.unlink()
    ours = [sys.executable, "-c", f"import avsc.features.store.reader; {READ}", str(path)]
    done = subprocess.run(ours, env=environment, capture_output=True, text=True, check=False)
    assert "OSError" in done.stderr and not mark.exists()
    late = [sys.executable, "-c", f"import h5py, avsc.features.store.hdf5; {READ}", str(path)]
    done = subprocess.run(late, env=environment, capture_output=True, text=True, check=False)
    assert "OSError" in done.stderr and not mark.exists()
    with pytest.raises(StoreError, match="not one contiguous run"):
        read_part(path)


def test_no_lock_is_taken_whatever_the_environment_says(
    store: Path, failing: Callable[..., dict[str, str]]
) -> None:
    """Locks fail for files in the store, and HDF5 is told to take them."""
    code = (
        "import sys; from pathlib import Path; from avsc.features.store.reader import Store\n"
        "from avsc.features.store.verify import verify\n"
        "records = Store.open(sys.argv[1]).records('scalogram'); records.load()\n"
        "assert not verify(Path(sys.argv[1])).problems"
    )
    environment = {**failing("flock:store/:37"), "HDF5_USE_FILE_LOCKING": "TRUE"}
    subprocess.run([sys.executable, "-c", code, str(store)], env=environment, check=True)


# Index ---------------------------------------------------------------------------------------


def rewritten(store: Path, **changes: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change columns of the index and write it as extraction does, with its checksums."""
    table: RecordTable = read_index(store).tables["scalogram"]
    changed = {name: change(getattr(table, name)) for name, change in changes.items()}
    description = read_description(store)
    write_index(store, description, {"scalogram": replace(table, **changed)})


@pytest.mark.parametrize(
    "name",
    [b"/etc/passwd", b"../../outside.h5", b"scalogram/../../outside.h5", b"clips.csv", b""],
)
def test_index_that_names_other_files(store: Path, name: bytes) -> None:
    rewritten(store, path=lambda path: np.array([name, *path[1:]]))
    with pytest.raises(StoreError, match="the parts are not those of this store"):
        Store.open(store)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("start", -1, "outside of their parts"),
        ("rows", -1, "outside of their parts"),
        ("rows", HUGE, "outside of their parts"),
        ("start", (1 << 63) - 1, "outside of their parts"),
        ("part", -1, "parts that are not there"),
        ("part", 9, "parts that are not there"),
        ("key", -1, "out of order"),
        ("clip", -1, "out of order"),
        ("clip", 1000, "out of order"),
    ],
)
def test_index_with_impossible_numbers(store: Path, column: str, value: int, said: str) -> None:
    def change(table: np.ndarray) -> np.ndarray:
        changed = table.copy()
        changed[2] = value
        return changed

    rewritten(store, **{column: change})
    with pytest.raises(StoreError, match=said):
        Store.open(store)


def test_index_with_clips_that_are_not_listed(store: Path) -> None:
    rewritten(store, clip=lambda table: table + 1)
    with pytest.raises(StoreError, match="records of clips that are not listed"):
        Store.open(store)


@pytest.mark.parametrize(("column", "value"), [("rows", 1 << 40), ("start", 1 << 40)])
def test_records_outside_of_their_parts(store: Path, column: str, value: int) -> None:
    """Numbers that a file could have, but not this one: refused before memory is taken."""

    def change(table: np.ndarray) -> np.ndarray:
        changed = table.copy()
        changed[2] = value
        return changed

    rewritten(store, **{column: change})
    records = Store.open(store).records("scalogram")
    records.read(1)
    for read in (lambda: records.read(2), records.load):
        with pytest.raises(StoreError, match=r"part-00000.h5: record 2 .*its part has \d+ bytes"):
            read()


def test_index_with_links(store: Path, tmp_path: Path) -> None:
    shutil.copy(index_file(store), tmp_path / "other.h5")
    with h5py.File(index_file(store), "r+", libver=("v110", "v110")) as file:
        del file["scalogram"]["start"]
        link = h5py.ExternalLink(str(tmp_path / "other.h5"), "/scalogram/start")
        file["scalogram"]["start"] = link
    with pytest.raises(StoreError, match="start is not kept in the file itself"):
        Store.open(store)


def test_rows_of_absurd_shape(store: Path) -> None:
    table = read_index(store).tables["scalogram"]
    for shape in ((1 << 20, 1 << 20), (2, 290, 1), (0, 290), (-1, 290)):
        tables = {"scalogram": replace(table, item_shape=shape)}
        write_index(store, read_description(store), tables)
        with pytest.raises(StoreError, match="rows are of shape"):
            Store.open(store)


# The rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[]", "7", '{"schema": 1}', '{"schema": 1, "products": {"x": {}}}', "\0", ""],
)
def test_description_of_any_content(store: Path, text: str) -> None:
    description_file(store).write_text(text)
    with pytest.raises(StoreError, match=r"store.json: damaged .*avsc-prep extract"):
        Store.open(store)


def test_nothing_is_left_of_hdf5s_plug_in_paths() -> None:
    assert hdf5.h5py.h5pl.size() == 0
    assert os.environ["HDF5_PLUGIN_PRELOAD"] == "::"
