"""Opening and closing a store: what is taken away, what is looked at, what is said."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from extraction import ALL, World
from stale import stale_file

from avsc.features.specs import FbankSpec, ImageSpec
from avsc.features.store.layout import index_file, part_file, read_description, receipt_file
from avsc.features.store.part import read_part, write_part
from avsc.features.store.reader import Store
from avsc.manifests.clips import Clip
from avsc.manifests.errors import StoreError
from avsc.manifests.table import read_rows
from avsc.preprocess.block_claims import BlockClaims, claim_file
from avsc.preprocess.close import close, open_store
from avsc.preprocess.receipt import Receipt, read_receipt, write_receipt


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Five clips in blocks of two; the sound of one cannot be read, the video of another."""
    world = World(tmp_path_factory.mktemp("world"))
    (world.root / "audio/clip-1.wav").write_bytes(b"RIFF")
    (world.root / "video/clip-4.mp4").unlink()
    world.make()
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> Iterator[World]:
    kept = made.store
    made.store = shutil.copytree(kept, tmp_path / "store")
    yield made
    made.store = kept


def files(store: Path) -> set[str]:
    return {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}


def rewritten(world: World, product: str, block: int, **changes: object) -> Receipt:
    """Write a receipt with other values, whole in itself."""
    path = receipt_file(world.store, ALL[product], block)
    receipt = read_receipt(path)
    assert receipt is not None
    write_receipt(path, replace(receipt, **changes))  # type: ignore[arg-type]
    return receipt


def test_an_open_store_has_no_index_and_nothing_unfinished(world: World) -> None:
    before = files(world.store)
    half = stale_file(part_file(world.store, ALL["fbank"], 1).parent, "part-00001.h5")
    open_store(world.store, world.dataset.clips, world.description)
    assert not half.exists()
    assert files(world.store) == before - {"index.h5"}
    with pytest.raises(StoreError, match="not closed"):
        Store.open(world.store)


def test_a_closed_store_has_nothing_unfinished_and_no_claims_of_the_dead(world: World) -> None:
    before = files(world.store)
    stale_file(world.store / "images", "part-00001.h5")
    with BlockClaims(world.store) as claims:
        assert claims.take(1) is None
        claim = claim_file(world.store, 1)
        kept, text = claim.with_name("kept"), claim.read_text()
        claim.rename(kept)
    kept.rename(claim)
    host = text.partition("@")[2]
    claim.write_text(f"{stale_file(world.store, 'gone').name[5:].partition('@')[0]}@{host}")
    close(world.store, world.dataset.clips, world.description)
    assert files(world.store) == before


def test_a_store_is_headed_by_what_it_is_to_hold(world: World) -> None:
    """A product more, and a clip of another scene."""
    description = replace(world.description, specs={**ALL, "images": ImageSpec(quality=70)})
    clips = [replace(clip, scene="scene1") for clip in world.dataset.clips]
    open_store(world.store, clips, description)
    assert read_description(world.store).specs["images"] == ImageSpec(quality=70)
    assert [clip.scene for clip in read_rows(world.store / "clips.csv")] == ["scene1"] * 5


def test_blocks_of_other_clips_are_not_closed(world: World) -> None:
    rewritten(world, "fbank", 1, ids=("clip-2", "clip-7"))
    with pytest.raises(StoreError, match=r"not made yet \(fbank: 1\)"):
        close(world.store, world.dataset.clips, world.description)


def test_the_last_block_is_asked_for_though_it_is_not_full(world: World) -> None:
    for name in ("scalogram", "images"):
        receipt_file(world.store, ALL[name], 2).unlink()
    receipt_file(world.store, ALL["images"], 0).unlink()
    with pytest.raises(StoreError, match=r"not made yet \(scalogram: 2; images: 0, 2\)"):
        close(world.store, world.dataset.clips, world.description)


def test_a_part_of_another_spec_is_not_taken(world: World) -> None:
    path = part_file(world.store, ALL["fbank"], 0)
    empty = np.empty((0, 2, 256), np.float32)
    write_part(path, FbankSpec(floor=1e-9), read_part(path).ids, [], empty)
    with pytest.raises(StoreError, match=r"part-00000\.h5.*made by"):
        close(world.store, world.dataset.clips, world.description)


def test_what_a_closed_store_says_of_its_making(world: World) -> None:
    receipt = rewritten(world, "images", 1, peak_memory=10**12)
    closed = close(world.store, world.dataset.clips, world.description)
    assert (closed.environments, closed.peak_memory) == (1, 10**12)
    versions = {**receipt.versions, "numpy": "0"}
    rewritten(world, "fbank", 2, versions=versions)
    assert close(world.store, world.dataset.clips, world.description).environments == 2


def test_failures_of_every_product_are_listed(world: World) -> None:
    os.truncate(world.store / "failures.csv", 0)
    index_file(world.store).unlink()
    closed = close(world.store, world.dataset.clips, world.description)
    wanted = [("clip-1", "fbank"), ("clip-1", "scalogram"), ("clip-4", "images")]
    assert [(f.clip, f.product) for f in closed.failures] == wanted
    assert Store.open(world.store).failures == closed.failures
    assert isinstance(Store.open(world.store).clips[0], Clip)
