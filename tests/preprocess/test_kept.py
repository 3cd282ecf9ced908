"""What is kept of a block when clips come and go, and what is said of its work."""

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from extraction import ALL, World
from recordings import write_clips

from avsc.features.store.layout import receipt_file
from avsc.features.store.reader import Store
from avsc.manifests.table import read_table
from avsc.preprocess.block import peak_memory
from avsc.preprocess.receipt import read_receipt, write_receipt


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def contents(store: Path) -> dict[tuple[str, str, int], bytes]:
    """Return the bytes of every record of a store by product, id of the clip and key."""
    opened, found = Store.open(store), {}
    for product in opened.products:
        records = opened.records(product)
        for number in range(len(records)):
            place = product, opened.clips[records.clip[number]].id, int(records.key[number])
            found[place] = records.read(number).tobytes()
    return found


def listed(world: World, names: list[str]) -> None:
    """Take the clips of these names, in this order, for the data set."""
    head, *rows = world.manifest.read_text().splitlines()
    row_of = {row.partition(",")[0]: row for row in rows}
    world.manifest.write_text("\n".join([head, *(row_of[name] for name in names)]) + "\n")
    world.dataset = read_table(world.manifest, world.root, "small")


def test_a_clip_before_the_others_moves_them_and_each_keeps_what_is_its_own(world: World) -> None:
    world.make()
    before = contents(world.store)
    write_clips(world.root, 6)
    text = world.manifest.read_text().replace("clip-5,", "a,", 1)  # clips are ordered by id
    world.manifest.write_text(text)
    listed(world, ["a", *(f"clip-{n}" for n in range(5))])
    assert [clip.id for clip in world.dataset.clips][:2] == ["a", "clip-0"]
    assert [task.block for task in world.plan().tasks] == [0, 1, 2]
    world.make()
    after = contents(world.store)
    assert {place: after[place] for place in before} == before
    assert {name for _, name, _ in after.keys() - before.keys()} == {"a"}
    assert world.plan().tasks == ()


def test_a_clip_that_was_removed_leaves_its_block_without_it(world: World) -> None:
    listed(world, ["clip-0", "clip-1", "clip-2", "clip-3"])
    world.make()
    before = contents(world.store)
    listed(world, ["clip-0", "clip-1", "clip-2"])
    assert world.make().reasons == {"clips removed from this block": 3}
    wanted = {place: data for place, data in before.items() if place[1] != "clip-3"}
    assert contents(world.store) == wanted


def test_a_clip_that_failed_in_sound_alone_is_tried_again_for_sound_alone(world: World) -> None:
    """The receipt of each product names its own failures and no others'."""
    (world.root / "audio/clip-1.wav").write_bytes(b"RIFF")
    world.make()
    assert world.plan().reasons == {"failed before": 2}
    failed = {
        name: [f.product for f in receipt.failures]
        for name, spec in ALL.items()
        if (receipt := read_receipt(receipt_file(world.store, spec, 0)))
    }
    assert failed == {"scalogram": ["scalogram"], "fbank": ["fbank"], "images": []}


def test_a_receipt_that_was_written_over_is_none(world: World) -> None:
    world.make()
    path = receipt_file(world.store, ALL["images"], 0)
    receipt = read_receipt(path)
    assert receipt is not None
    path.write_bytes(path.read_bytes().replace(b'"clip-1"', b'"clip-7"', 1))
    assert read_receipt(path) is None
    other = replace(receipt, ids=("clip-0", "clip-7"))
    write_receipt(path, other)
    assert read_receipt(path) == other


def test_peak_memory_is_in_bytes() -> None:
    assert psutil.Process().memory_info().rss <= peak_memory() <= psutil.virtual_memory().total
