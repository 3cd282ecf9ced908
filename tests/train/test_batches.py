"""Batches: the same for any number of workers, from any start, and made of the right samples."""

import dataclasses
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import simplejpeg
import torch
from epochs import training_batches

from avsc.features import jpeg
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data import render_cpu
from avsc.train.data.augment import UNCHANGED, Augment, ImageInput
from avsc.train.data.batches import Preparation, batches_per_epoch, image_batches
from avsc.train.data.source import Source

CPU = torch.device("cpu")
IMAGE = ImageInput(24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
SCENES = ("bus", "park", "bus", "tram", "park")
CLASSES = ("bus", "park", "tram")
FRAMES = 56


@dataclass
class MemoryRecords:
    """Records that lie in memory."""

    clip: np.ndarray
    key: np.ndarray
    data: list[np.ndarray]

    def __post_init__(self):
        self.rows = np.array([len(record) for record in self.data])

    def __len__(self):
        return len(self.data)

    def where(self, record):
        return f"image {record} in memory"

    def read(self, record):
        return self.data[record]

    def load(self, which=None):
        chosen = self.data if which is None else [self.data[i] for i in which]
        return np.concatenate(chosen), np.cumsum([0, *map(len, chosen)])


class MemoryStore:
    """Five clips: the second has no image 3, the fourth has no sound."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.classes = CLASSES
        self.clips = tuple(Clip(f"c{i}", scene, None, None) for i, scene in enumerate(SCENES))
        sound = np.array([0, 1, 2, 4])
        frames = [rng.normal(size=(FRAMES, 2, 5)).astype(np.float32) for _ in sound]
        places = [(c, k) for c in range(5) for k in range(10) if (c, k) != (1, 3)]
        clip, key = np.array(places, np.int32).T
        self._records = {
            "scalogram": MemoryRecords(sound.astype(np.int32), np.zeros(4, np.int32), frames),
            "images": MemoryRecords(clip, key, [self._jpeg(rng) for _ in places]),
        }
        self._specs = {"scalogram": ScalogramSpec(), "images": ImageSpec()}

    @staticmethod
    def _jpeg(rng):
        height, width = (30, 53) if rng.random() < 0.7 else (44, 30)
        image = np.clip(rng.normal(rng.integers(256, size=3), 40, (height, width, 3)), 0, 255)
        encoded = simplejpeg.encode_jpeg(image.astype(np.uint8), quality=95)
        return np.frombuffer(encoded, np.uint8).copy()

    def records(self, product):
        return self._records[product]

    def spec(self, product):
        return self._specs[product]


@pytest.fixture(scope="module")
def source():
    return Source.open(MemoryStore(), "scalogram", images=True)


def epoch(source, samples, **changes):
    settings = {
        "batch_size": 32,
        "seed": 1,
        "epoch": 0,
        "image_input": IMAGE,
        "augment": Augment(),
        "workers": 0,
        "device": CPU,
    }
    return list(training_batches(source, samples, **{**settings, **changes}))


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        for name in ("acoustic", "images", "scene", "index"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)


def test_source_pairs_sound_and_images(source):
    assert source.acoustic.shape == (4 * FRAMES, 2, 5)
    pairs = source.samples(range(5))
    missing = np.sum(source.samples([0]).second == 3)
    assert missing > 0
    assert len(pairs) == 4 * FRAMES - missing
    assert set(pairs.clip) == {0, 1, 2, 4}
    assert 3 not in source.samples([1]).second
    np.testing.assert_array_equal(source.images.clip[pairs.image], pairs.clip)
    np.testing.assert_array_equal(source.images.key[pairs.image], pairs.second)
    assert [CLASSES[scene] for scene in pairs.scene] == [SCENES[clip] for clip in pairs.clip]


def test_source_of_one_modality():
    sound = Source.open(MemoryStore(), "scalogram", images=False)
    assert sound.images is None and sound.samples([3]).frame.size == 0
    assert len(sound.samples(range(5))) == 4 * FRAMES
    sight = Source.open(MemoryStore(), None, images=True)
    assert sight.acoustic is None and len(sight.samples(range(5))) == 49
    with pytest.raises(SettingError, match="neither was asked for"):
        Source.open(MemoryStore(), None, images=False)


def test_clips_may_be_named_in_any_order(source):
    np.testing.assert_array_equal(source.samples([4, 0]).clip, source.samples([0, 4]).clip)
    assert set(source.samples([4, 0]).clip) == {0, 4}


def test_each_epoch_and_batch_draws_augmentation_of_its_own():
    """All images are the same one, so that batches differ by what was drawn alone."""
    store = MemoryStore()
    images = store.records("images")
    images.data = [images.data[0]] * len(images)
    same = Source.open(store, None, images=True)
    samples = same.samples(range(5))
    every = [batch.images for n in range(3) for batch in epoch(same, samples, epoch=n)]
    again = [batch.images for batch in epoch(same, samples, epoch=1)]
    assert len(every) == 3 and len(again) == 1
    assert torch.equal(every[1], again[0])
    assert not any(torch.equal(every[i], every[j]) for i in range(3) for j in range(i))
    first = epoch(same, samples, batch_size=16)
    assert not torch.equal(first[0].images, first[1].images)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_nothing(source, workers):
    samples = source.samples(range(5))
    assert_same(epoch(source, samples, workers=workers), epoch(source, samples))


@pytest.mark.parametrize("start", [1, 4])
def test_an_epoch_is_taken_up_where_it_was_left(source, start):
    samples = source.samples(range(5))
    rest = epoch(source, samples, start_batch=start, workers=2)
    assert_same(rest, epoch(source, samples)[start:])


def test_an_epoch_visits_each_sample_at_most_once_and_drops_the_rest(source):
    samples = source.samples(range(5))
    batches = epoch(source, samples)
    visited = torch.cat([batch.index for batch in batches])
    assert len(batches) == len(samples) // 32 == batches_per_epoch(samples, 32)
    assert len(visited) == len(visited.unique()) == len(batches) * 32
    assert visited.tolist() != sorted(visited.tolist())


def test_a_batch_holds_what_its_samples_name(source):
    samples = source.samples(range(5))
    for batch in epoch(source, samples, augment=None):
        which = batch.index.numpy()
        np.testing.assert_array_equal(batch.acoustic, source.acoustic[samples.frame[which]])
        np.testing.assert_array_equal(batch.scene, samples.scene[which])
        (views,) = image_batches(source, samples.image[which], 99, Preparation(IMAGE, 0, CPU))
        torch.testing.assert_close(batch.images, views, rtol=0, atol=0)


def test_epochs_seeds_and_batches_differ(source):
    samples = source.samples(range(5))
    first = epoch(source, samples)
    for other in (epoch(source, samples, epoch=1), epoch(source, samples, seed=2)):
        assert not torch.equal(first[0].index, other[0].index)
    # The same image looks different each time: no two samples share their augmentation.
    drawn_alike = epoch(source, samples.take(np.zeros(64, np.int64)))
    shown = torch.cat([batch.images for batch in drawn_alike])
    assert len(torch.unique(shown.flatten(1), dim=0)) == 64


def test_shards_are_disjoint_and_make_up_the_batch(source):
    samples = source.samples(range(5))
    whole = epoch(source, samples)
    shards = [epoch(source, samples, shard=(i, 2)) for i in range(2)]
    for batch, *parts in zip(whole, *shards, strict=True):
        for name in ("acoustic", "images", "scene", "index"):
            for i, part in enumerate(parts):
                assert torch.equal(getattr(batch, name)[16 * i : 16 * (i + 1)], getattr(part, name))
    with pytest.raises(SettingError, match="32 cannot be shared evenly by 3"):
        epoch(source, samples, shard=(0, 3))


ALL = sys.maxsize


@pytest.mark.parametrize("together", [2, ALL])
def test_samples_of_a_image_share_a_view(source, together):
    samples = source.samples(range(5))
    batches = epoch(source, samples, together=together)
    visited = torch.cat([batch.index for batch in batches])
    assert len(visited) == len(visited.unique()) == len(samples) // 32 * 32
    frames, views = [], 0
    for batch in batches:
        assert batch.view.shape == batch.scene.shape == (32,)
        views += len(batch.images)
        image = torch.from_numpy(samples.image)[batch.index]
        for view in range(len(batch.images)):
            seen = image[batch.view == view]
            assert len(seen.unique()) == 1
            frames.append(len(seen))
        np.testing.assert_array_equal(batch.acoustic, source.acoustic[samples.frame[batch.index]])
    # Four to six frames an image; a group is parted at most at the end of each batch.
    images = len(np.unique(samples.image))
    assert max(frames) == min(together, 6)
    least = sum(-(-count // together) for count in np.bincount(samples.image))
    assert least - 32 <= views <= (images if together == ALL else least) + len(batches)


def test_what_a_view_shows_is_its_image_as_drawn(source):
    samples = source.samples(range(5))
    first = epoch(source, samples, together=ALL)[0]
    drawn = Augment().draw(np.random.default_rng((2, 1, 0, 0)), 32)
    place = np.empty((3, 24, 24), np.float32)
    for view, shown in enumerate(first.images):
        row = int(np.flatnonzero(first.view == view)[0])
        image = jpeg.decode(source.images.read(samples.image[first.index[row]]))
        window = Augment().window(drawn[row], *image.shape[:2], IMAGE)
        render_cpu.render(image, window, drawn[row], IMAGE, place)
        np.testing.assert_array_equal(shown, place)


def test_shared_views_are_the_same_for_any_workers_start_and_shards(source):
    samples = source.samples(range(5))
    whole = epoch(source, samples, together=ALL)
    assert_same(epoch(source, samples, together=ALL, workers=3, start_batch=2), whole[2:])
    shards = [epoch(source, samples, together=ALL, shard=(i, 2)) for i in range(2)]
    for batch, *parts in zip(whole, *shards, strict=True):
        assert torch.equal(torch.cat([part.index for part in parts]), batch.index)
        shown = torch.cat([part.images[part.view] for part in parts])
        assert torch.equal(shown, batch.images[batch.view])


def test_nothing_is_shared_where_a_image_is_one_sample(source):
    sight = Source.open(MemoryStore(), None, images=True)
    samples = sight.samples(range(5))
    assert_same(epoch(sight, samples, together=ALL), epoch(sight, samples))
    vectors = dataclasses.replace(source, images=None, visual=np.zeros((49, 3), np.float32))
    samples = source.samples(range(5))
    assert_same(epoch(vectors, samples, together=ALL), epoch(vectors, samples))


def test_one_modality_alone():
    sound = Source.open(MemoryStore(), "scalogram", images=False)
    batch = epoch(sound, sound.samples(range(5)), image_input=None, augment=None)[0]
    assert batch.images is None and batch.acoustic.shape == (32, 2, 5)
    sight = Source.open(MemoryStore(), None, images=True)
    batch = epoch(sight, sight.samples(range(5)))[0]
    assert batch.acoustic is None and batch.images.shape == (32, 3, 24, 24)
    assert batch.images.dtype == torch.float32 and batch.scene.dtype == torch.int64


def test_fewer_samples_than_a_batch_are_refused_at_once(source):
    samples = source.samples([0])
    with pytest.raises(SettingError, match="56 training samples, fewer than one batch of 57"):
        epoch(source, samples, batch_size=57)
    with pytest.raises(SettingError, match="batch size is 0"):
        epoch(source, samples, batch_size=0)
    with pytest.raises(SettingError, match="workers is -1"):
        epoch(source, samples, workers=-1)


def test_global_generators_are_left_alone(source):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    epoch(source, source.samples(range(5)), workers=2)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_images_come_in_order_and_none_is_dropped(source):
    which = np.arange(49)[::-1].copy()
    batches = list(image_batches(source, which, 20, Preparation(IMAGE, 2, CPU)))
    assert [len(batch) for batch in batches] == [20, 20, 9]
    neutral = UNCHANGED.draw(np.random.default_rng(0), 1)[0]
    expected = np.empty((3, 24, 24), np.float32)
    for record, shown in zip(which, torch.cat(batches), strict=True):
        image = jpeg.decode(source.images.read(record))
        window = UNCHANGED.window(neutral, *image.shape[:2], IMAGE)
        render_cpu.render(image, window, neutral, IMAGE, expected)
        np.testing.assert_array_equal(shown, expected)
    none = image_batches(source, which[:0], 20, Preparation(IMAGE, 2, CPU))
    assert list(none) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_ends_the_epoch_with_its_error(workers):
    store = MemoryStore()
    images = store.records("images")
    images.data[7] = images.data[7][:40]
    source = Source.open(store, None, images=True)
    with pytest.raises(AvscError, match="image 7 in memory: 40 bytes are not a JPEG"):
        epoch(source, source.samples(range(5)), batch_size=49, workers=workers)
    assert not [thread for thread in threading.enumerate() if "images" in thread.name]


def test_no_thread_outlives_an_epoch_that_is_left_early(source):
    batches = training_batches(
        source, source.samples(range(5)), batch_size=32, seed=1, epoch=0, image_input=IMAGE,
        augment=Augment(), workers=2, device=CPU,
    )  # fmt: skip
    next(batches)
    assert [thread for thread in threading.enumerate() if "images" in thread.name]
    batches.close()
    del batches
    assert not [thread for thread in threading.enumerate() if "images" in thread.name]
