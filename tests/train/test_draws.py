"""What is drawn for whom, and which records a source has of some of a store's clips."""

import numpy as np
import pytest
import stores
import torch
from epochs import training_batches
from stores import small_store

from avsc.features.store.part import Record
from avsc.features.store.reader import Store
from avsc.train.data.augment import Augment, ImageInput
from avsc.train.data.source import Source

IMAGE = ImageInput(16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


@pytest.fixture(scope="module")
def sight(tmp_path_factory):
    store = small_store(tmp_path_factory.mktemp("store") / "store", products=("images",))
    return Source.open(Store.open(store), None, images=True)


def views(sight, seed=1, epoch=0):
    """The views of two batches that show one image only, as bytes, batch by batch."""
    samples = sight.samples(range(24)).take(np.zeros(16, np.int64))
    batches = training_batches(
        sight, samples, batch_size=8, seed=seed, epoch=epoch, image_input=IMAGE, augment=Augment(),
        workers=0, device=torch.device("cpu"),
    )  # fmt: skip
    return [{view.numpy().tobytes() for view in batch.images} for batch in batches]


def test_no_view_is_seen_twice_in_any_seed_epoch_or_batch(sight):
    every = [views(sight, *key) for key in ((1, 0), (1, 1), (2, 0))]
    assert [len(view) for batches in every for view in batches] == [8] * 6
    assert len(set().union(*(view for batches in every for view in batches))) == 48
    assert views(sight) == every[0]


@pytest.fixture
def uneven(tmp_path, monkeypatch):
    """A store whose clip r has r + 1 frames, all of the value r, and images of r + 9 bytes."""

    def records(product, row_in_block, row, *rest):
        if product == "images":
            return [Record(row_in_block, k, np.full(row + 9, k, np.uint8)) for k in range(2)]
        return [Record(row_in_block, 0, np.full((row + 1, 2, 290), row, np.float32))]

    monkeypatch.setattr(stores, "_records", records)
    return Store.open(small_store(tmp_path / "store", products=("scalogram", "images")))


@pytest.mark.parametrize("rows", [None, (5, 2), (23,)])
def test_frames_belong_to_their_clips_whichever_are_asked_for(uneven, rows):
    source = Source.open(uneven, "scalogram", images=False, rows=rows)
    wanted = np.repeat(np.arange(24), np.arange(24) + 1)
    wanted = wanted if rows is None else wanted[np.isin(wanted, rows)]
    np.testing.assert_array_equal(source.every.clip, wanted)
    np.testing.assert_array_equal(source.acoustic[source.every.frame][:, 0, 0], wanted)


def test_images_of_the_clips_asked_for_alone_are_samples(uneven):
    source = Source.open(uneven, None, images=True, rows=(5, 2))
    assert source.every.clip.tolist() == [2, 2, 5, 5]
    assert source.every.second.tolist() == [0, 1, 0, 1]
    sizes = [len(source.images.read(record)) for record in source.every.image]
    assert sizes == [11, 11, 14, 14]


def test_scenes_are_numbered_in_the_order_of_the_classes(uneven):
    """`small_clips` has eight clips of each scene, in the order of their names."""
    source = Source.open(uneven, "scalogram", images=True)
    assert uneven.classes == ("scene0", "scene1", "scene2")
    np.testing.assert_array_equal(source.every.scene, source.every.clip // 8)
    np.testing.assert_array_equal(source.image_samples.scene, source.image_samples.clip // 8)
