"""Plan and block: what is made, what is kept, what is said of the rest. No Dask."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from extraction import ALL, World
from recordings import write_clips, write_sound

from avsc.features.isolate import make_clip_in_time
from avsc.features.limits import Limits
from avsc.features.specs import SPECS, AcousticSpec
from avsc.features.store.layout import (
    Description,
    part_file,
    receipt_file,
)
from avsc.features.store.reader import Store
from avsc.manifests.errors import StoreError
from avsc.manifests.table import read_table
from avsc.preprocess.block import make_block
from avsc.preprocess.close import close
from avsc.preprocess.plan import make_plan
from avsc.preprocess.receipt import read_receipt, write_receipt


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_everything_is_made_once(world: World) -> None:
    plan = world.make()
    assert plan.blocks == 3 and plan.n_clips == 5 and plan.reasons == {"missing": 15}
    assert world.plan().tasks == ()
    store = Store.open(world.store, tuple(ALL))
    assert store.failures == ()
    assert store.records("images").key.tolist() == [0, 1] * 5
    assert store.records("scalogram").rows.tolist() == [9] * 5


def test_changed_source_makes_that_clip_again_and_keeps_the_rest(world: World) -> None:
    world.make()
    before = world.parts()
    os.utime(world.root / "audio/clip-3.wav", ns=(1, 1))
    plan = world.plan()
    assert [(task.block, dict(task.todo)) for task in plan.tasks] == [
        (1, dict.fromkeys(ALL, frozenset({1})))
    ]
    world.make()
    assert world.parts() == before


def test_levels_are_kept_with_the_clips_and_not_known_of_earlier_receipts(world: World) -> None:
    def levels(block: int, product: str = "scalogram") -> tuple[float | None, ...]:
        receipt = read_receipt(receipt_file(world.store, ALL[product], block))
        assert receipt is not None
        return receipt.levels

    world.make()
    before = levels(1)
    assert all(level is not None and abs(level + 44.8) < 0.3 for level in before)
    assert len(before) == 2 and levels(1, "images") == ()
    path = receipt_file(world.store, ALL["scalogram"], 0)
    receipt = read_receipt(path)
    assert receipt is not None
    write_receipt(path, replace(receipt, levels=()))
    for name in ("clip-0", "clip-3"):
        os.utime(world.root / f"audio/{name}.wav", ns=(1, 1))
    world.make()
    assert levels(1) == before
    first, second = levels(0)
    assert first is not None and second is None


def test_content_check_finds_a_byte_changed_with_its_time_restored(world: World) -> None:
    world.make()
    path = world.root / "audio/clip-2.wav"
    state, data = path.stat(), bytearray(path.read_bytes())
    data[-5] ^= 0x40
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert world.plan().tasks == ()
    assert [task.todo["scalogram"] for task in world.plan("content").tasks] == [frozenset({0})]


def test_broken_and_missing_recordings_cost_only_themselves(world: World) -> None:
    (world.root / "audio/clip-1.wav").unlink()
    (world.root / "video/clip-2.mp4").write_bytes(b"")
    world.make()
    store = Store.open(world.store)
    missing = f"{world.root / 'audio/clip-1.wav'}: no such file; wanted a recording."
    empty = f"{world.root / 'video/clip-2.mp4'}: 0 bytes; copy the file again."
    assert {(f.clip, f.product, f.code, f.message) for f in store.failures} == {
        ("clip-1", "scalogram", "missing", missing),
        ("clip-1", "fbank", "missing", missing),
        ("clip-2", "images", "empty", empty),
    }
    assert set(store.records("images").clip.tolist()) == {0, 1, 3, 4}
    (world.root / "video/clip-2.mp4").unlink()
    write_clips(world.root)
    assert world.make().reasons["failed before"] == 0  # the sources changed: that is the reason
    assert Store.open(world.store).failures == ()


def test_some_of_the_failed_clips_are_made_and_the_others_stay_failed(world: World) -> None:
    """Both are in one block; what is kept of it is kept as a failure, and as of its old source."""
    hidden = {}
    for name in ("clip-2", "clip-3"):
        path = world.root / f"audio/{name}.wav"
        hidden[path] = path.rename(path.with_suffix(".hidden"))
    world.make()
    for path, place in hidden.items():
        place.rename(path)
    only = {"scalogram": frozenset({"clip-3"})}
    what = (world.store, world.dataset, world.description, "time")
    plan = make_plan(*what, only=only)  # type: ignore[arg-type]
    assert plan.reasons == {"source changed": 1} and plan.n_clips == 1
    for task in plan.tasks:
        make_block(task)
    close(world.store, world.dataset.clips, world.description)
    failed = {(f.clip, f.product) for f in Store.open(world.store).failures}
    assert failed == {("clip-2", "scalogram"), ("clip-2", "fbank"), ("clip-3", "fbank")}
    assert world.make().reasons == {"source changed": 5}, "images are of both recordings"
    assert Store.open(world.store).failures == ()


def test_mended_store_equals_one_that_never_failed(tmp_path: Path) -> None:
    whole = World(tmp_path / "whole")
    whole.make()
    shutil.copytree(tmp_path / "whole", tmp_path / "mended")
    mended = World(tmp_path / "mended", write=False)
    shutil.rmtree(mended.store)
    hidden = mended.root / "audio/hidden"
    (mended.root / "audio/clip-1.wav").rename(hidden)
    mended.make()
    assert mended.parts() != whole.parts()
    hidden.rename(mended.root / "audio/clip-1.wav")
    mended.make()
    assert mended.parts() == whole.parts()


@pytest.mark.parametrize("what", ["part", "receipt", "half a receipt", "half a part"])
def test_lost_files_are_made_again(world: World, what: str) -> None:
    world.make()
    before = world.parts()
    spec = ALL["images"]
    part, receipt = part_file(world.store, spec, 1), receipt_file(world.store, spec, 1)
    victim = receipt if "receipt" in what else part
    if "half" in what:
        victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    else:
        victim.unlink()
    plan = world.make()
    assert [task.block for task in plan.tasks] == [1]
    assert world.parts() == before


def test_damaged_record_is_not_kept(world: World) -> None:
    """A block that is written again takes records from its old part only when they are right."""
    world.make()
    before = world.parts()
    path = part_file(world.store, ALL["scalogram"], 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(world.root / "audio/clip-0.wav", ns=(1, 1))
    world.make()
    assert world.parts() == before


def test_clips_added_to_the_manifest(world: World) -> None:
    world.make()
    write_clips(world.root, 7)
    world.dataset = read_table(world.manifest, world.root, "small")
    plan = world.make()
    assert plan.reasons == {"new in this block": 3, "missing": 3}
    assert len(Store.open(world.store).clips) == 7


def test_other_spec_makes_that_product_only(world: World) -> None:
    world.make()
    specs = {**ALL, "images": SPECS["images"](quality=70)}  # type: ignore[call-arg]
    world.description = Description("small", world.dataset.classes, 2, specs)
    plan = world.plan()
    assert {name for task in plan.tasks for name in task.todo} == {"images"}
    assert plan.reasons == {"spec changed": 5}


def test_store_with_a_block_missing_is_not_closed(world: World) -> None:
    world.make()
    receipt_file(world.store, ALL["fbank"], 2).unlink()
    with pytest.raises(StoreError, match=r"blocks are not made yet \(fbank: 2\)"):
        close(world.store, world.dataset.clips, world.description)


def test_isolated_block_gives_the_same_bytes(world: World) -> None:
    world.make()
    before = world.parts()
    part_file(world.store, ALL["images"], 2).unlink()
    (task,) = world.plan().tasks
    make_block(replace(task, isolate=True))
    close(world.store, world.dataset.clips, world.description)
    assert world.parts() == before


def test_crash_while_decoding_is_that_clips_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is made to die of a segmentation fault whenever it is given clip-1."""
    from avsc.features import isolate

    crash = (
        "import os, signal; from avsc.features import isolate; make = isolate.make_clip;"
        "die = lambda: os.kill(os.getpid(), signal.SIGSEGV);"
        "isolate.make_clip = lambda clip, *rest: die() if clip == 'clip-1' else make(clip, *rest);"
        "isolate.serve()"
    )
    monkeypatch.setattr(isolate, "_CHILD", crash)
    task = world.plan().tasks[0]
    summary = make_block(replace(task, isolate=True))
    assert {failure.clip for failure in summary.failures} == {"clip-1"}
    assert {(failure.code, failure.message) for failure in summary.failures} == {
        (
            "crashed",
            "clip-1: the process that decoded it was ended by SIGSEGV. Look at the recording, or "
            "leave it out.",
        )
    }


def test_workers_start_without_what_they_do_not_need() -> None:
    """Each of these would take every worker, and every clip in a process of its own, long."""
    code = "import sys, avsc.preprocess.block; print({'scipy.signal', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_nobody_foresaw_is_a_failure_of_its_clip_alone(tmp_path: Path) -> None:
    class Odd(AcousticSpec):
        product: ClassVar[str] = "odd"

    sound = write_sound(tmp_path / "a.wav")
    made = make_clip_in_time("a", sound, None, {"odd": Odd()}, Limits())
    (failure,) = made.failures
    assert failure.code == "unforeseen" and made.records == {"odd": []}
    assert "KeyError" in failure.message and "defect of avsc" in failure.message
    assert made.sources[sound].size > 0
