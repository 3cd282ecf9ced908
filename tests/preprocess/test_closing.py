"""Opening and closing: stale indexes, interrupted rewriting, labels corrected, power cuts."""

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result
from extraction import ALL, World, everything
from recordings import write_sound

from avsc.features.store.failures import Failure, encode_failures
from avsc.features.store.index import read_index, write_index
from avsc.features.store.layout import (
    failures_file,
    index_file,
    part_file,
    read_description,
    receipt_file,
)
from avsc.features.store.reader import Store
from avsc.features.store.verify import verify
from avsc.manifests.errors import StoreError
from avsc.manifests.files import publish, remove
from avsc.manifests.table import read_table
from avsc.preprocess import block
from avsc.preprocess.block import make_block
from avsc.preprocess.cli import program
from avsc.preprocess.close import open_store
from avsc.preprocess.receipt import read_receipt, write_receipt


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("made"))
    world.make()
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    shutil.copytree(made.root.parent, tmp_path, dirs_exist_ok=True, symlinks=True)
    return World(tmp_path, write=False)


def extract(world: World, *more: str) -> Result:
    """Run avsc-prep extract on what is made; nothing of it needs a worker."""
    what = ["--manifest", str(world.manifest), "--root", str(world.root), "--block-size", "2"]
    command = ["extract", *what, "--out", str(world.store), *more]
    return CliRunner().invoke(program, command, catch_exceptions=False)


def relabel(world: World) -> None:
    """Swap the two scenes in the manifest."""
    text = world.manifest.read_text()
    text = text.replace("scene0", "scene-").replace("scene1", "scene0").replace("scene-", "scene1")
    world.manifest.write_text(text)
    world.dataset = read_table(world.manifest, world.root, "small")


def rename_set(world: World) -> None:
    """Give the manifest the name of the data set, as the command line takes it."""
    world.manifest = world.manifest.rename(world.manifest.with_name("small.csv"))


# Stale indexes -------------------------------------------------------------------------------


@pytest.mark.parametrize("check", ["time", "content"])
def test_an_older_index_beside_newer_parts_is_made_anew(world: World, check: str) -> None:
    rename_set(world)
    older = index_file(world.store).read_bytes()
    write_sound(world.root / "audio/clip-1.wav", seed=77)
    world.make()
    wanted, newer = everything(world.store), index_file(world.store).read_bytes()
    index_file(world.store).write_bytes(older)
    assert verify(world.store).problems
    done = extract(world, "--check", check)
    assert done.exit_code == 0, done.output
    assert "Nothing to make; the store is closed with what there is." in done.output
    assert index_file(world.store).read_bytes() == newer
    assert everything(world.store) == wanted and verify(world.store).problems == ()
    assert "Nothing to do." in extract(world, "--check", check).output


def test_older_failures_beside_newer_receipts_are_written_anew(world: World) -> None:
    """A clip that lacked its last second was cut shorter since: the same images, no failure."""
    rename_set(world)
    wanted, tables = everything(world.store), read_index(world.store).tables
    lost = Failure("clip-1", "images", 2, "pictures", "gap", "made up")
    failures_file(world.store).write_bytes(encode_failures([lost]))
    write_index(world.store, world.description, tables)
    assert Store.open(world.store).failures == (lost,)
    assert extract(world).exit_code == 0
    assert everything(world.store) == wanted


# Rewriting -----------------------------------------------------------------------------------


def test_a_store_is_not_to_be_read_while_it_is_open(world: World) -> None:
    os.utime(world.root / "audio/clip-3.wav", ns=(1, 1))
    plan = world.plan()
    open_store(world.store, world.dataset.clips, world.description)
    with pytest.raises(StoreError, match="not closed"):
        Store.open(world.store)
    for task in plan.tasks:
        make_block(task)
    with pytest.raises(StoreError, match="not closed"):
        Store.open(world.store)


def test_a_part_is_never_taken_for_what_its_old_receipt_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run ends between a part and its receipt, and the recording is what it was before.

    Old and new part have one size, so that the old receipt would seem to fit.
    """
    before = world.parts()
    path, hidden = world.root / "audio/clip-2.wav", world.root / "hidden"
    path.rename(hidden)
    write_sound(path, seed=99)
    open_store(world.store, world.dataset.clips, world.description)
    (task,) = world.plan().tasks

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(block, "write_receipt", killed)
        with pytest.raises(KeyboardInterrupt):
            make_block(task)
    hidden.replace(path)
    world.make()
    assert world.parts() == before


def test_a_kept_record_whose_checksum_differs_is_made_again(world: World) -> None:
    """The flipped byte is in a record that would be kept, of a clip that has not changed."""
    before = world.parts()
    path = part_file(world.store, ALL["scalogram"], 0)
    with h5py.File(path) as file:
        assert file["clip"][()].tolist() == [0, 1]
        row = file["data"].dtype.itemsize * file["data"].shape[1] * file["data"].shape[2]
        at = file["data"].id.get_offset() + int(file["offset"][1]) * row + 5
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    os.utime(world.root / "audio/clip-0.wav", ns=(1, 1))
    world.make()
    assert world.parts() == before


# Labels, and what is whose ------------------------------------------------------------------


def test_scenes_may_become_segments_and_nothing_is_made(world: World) -> None:
    world.make()
    before = Store.open(world.store)
    rows = [line.split(",") for line in world.manifest.read_text().splitlines()]
    rows = [[*row[:1], "", *row[2:], "0-1 quiet; 1-2 tram" if i else "segments"]
            for i, row in enumerate(rows)]  # fmt: skip
    rows[0][1] = "scene"
    world.manifest.write_text("\n".join(map(",".join, rows)) + "\n")
    changed = World(world.root.parent, write=False)
    assert changed.plan().tasks == ()
    changed.make()
    after = Store.open(world.store)
    assert after.classes == ("quiet", "tram") and after.fingerprint != before.fingerprint
    assert after.clips == changed.dataset.clips and after.clips[0].labels == ("quiet", "tram")
    assert changed.parts().keys() == world.parts().keys()
    text = world.manifest.read_text().replace("1-2 tram", "1-4 tram", 1)
    world.manifest.write_text(text)
    World(world.root.parent, write=False).make()
    said = CliRunner().invoke(program, ["info", str(world.store)]).output
    outside = "segment '1-4 tram' lies outside the recording, which has 2 seconds."
    assert f"Note: clip 'clip-0': {outside}" in said


def test_corrected_scenes_change_the_store_and_nothing_is_made(world: World) -> None:
    rename_set(world)
    before, parts = Store.open(world.store), world.parts()
    relabel(world)
    done = extract(world)
    assert done.exit_code == 0 and "to do: 0 clips" in done.output
    after = Store.open(world.store)
    assert f"Fingerprint {after.fingerprint}" in done.output
    assert after.fingerprint != before.fingerprint
    assert [c.scene for c in after.clips] == ["scene1", "scene0"] * 2 + ["scene1"]
    kept = {name: digest for name, digest in world.parts().items() if name != "index.h5"}
    assert kept == {name: digest for name, digest in parts.items() if name != "index.h5"}
    assert after.first_clips == before.identity.parts["clips"]
    relabel(world)
    assert extract(world).exit_code == 0
    again = Store.open(world.store)
    assert again.fingerprint == before.fingerprint
    assert again.first_clips == before.identity.parts["clips"]
    assert "Nothing to do." in extract(world).output


def test_what_the_clips_were_first_is_not_forgotten_by_a_run_that_knew_nothing_of_it(
    world: World,
) -> None:
    """Two runs at once: the description that the second had read says nothing of it yet."""
    relabel(world)
    for _ in range(2):
        open_store(world.store, world.dataset.clips, replace(world.description, first_clips=""))
    assert len(read_description(world.store).first_clips) == 64


def test_sound_and_images_that_change_places_are_made_again(world: World) -> None:
    """The same two files, each with an image and a sound, now in each other's place."""
    (clip, *others) = world.dataset.clips
    assert world.plan().tasks == ()
    swapped = replace(clip, audio=clip.video, video=clip.audio)
    world.dataset = replace(world.dataset, clips=(swapped, *others))
    (task,) = world.plan().tasks
    assert dict(task.todo) == dict.fromkeys(ALL, frozenset({0}))
    assert world.plan().reasons == {"source changed": 3}


def test_a_receipt_of_before_roles_were_kept_is_taken_as_it_is(world: World) -> None:
    for spec in ALL.values():
        path = receipt_file(world.store, spec, 0)
        receipt = read_receipt(path)
        assert receipt is not None and receipt.roles[0] == ("audio/clip-0.wav", "video/clip-0.mp4")
        write_receipt(path, replace(receipt, roles=()))
    assert world.plan().tasks == ()


# Power cuts ----------------------------------------------------------------------------------


class Journal:
    """What is done to names in folders, and whether it would outlive a power cut.

    A name that is made, renamed to or removed is safe once its folder was flushed after it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.unsafe: dict[Path, str] = {}
        self.faults: list[str] = []
        for name in ("mkdir", "unlink", "replace", "rename"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))
        flush = os.fsync

        def fsync(descriptor: int) -> None:
            flush(descriptor)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                folder = Path(f"/proc/self/fd/{descriptor}").resolve()
                self.unsafe = {p: how for p, how in self.unsafe.items() if p.parent != folder}

        monkeypatch.setattr(os, "fsync", fsync)

    def _recorded(self, name: str, call: object) -> object:
        def recorded(*arguments: object, **how: object) -> object:
            found = call(*arguments, **how)  # type: ignore[operator]
            renamed = name in ("replace", "rename")
            path = Path(str(arguments[-1 if renamed else 0])).absolute()
            if renamed:  # what came before must be safe by now
                others = [f"{how} {p.name}" for p, how in self.unsafe.items()]
                self.faults += [f"{path.name} before {other}" for other in others]
            self.unsafe[path] = name
            return found

        return recorded


def test_what_was_done_outlives_a_power_cut_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders made, an index and a receipt removed, a part and its receipt renamed into place."""
    world = World(tmp_path)
    with monkeypatch.context() as patch:
        journal = Journal(patch)
        publish(tmp_path / "a/b/c/file", b"content")
        assert (journal.unsafe, journal.faults) == ({}, [])
        remove(tmp_path / "a/b/c/file")
        remove(tmp_path / "a/b/c/file")
        assert (journal.unsafe, journal.faults) == ({}, [])
        world.make()
        assert (journal.unsafe, journal.faults) == ({}, [])
        os.utime(world.root / "audio/clip-3.wav", ns=(1, 1))
        world.make()
        assert (journal.unsafe, journal.faults) == ({}, [])
