"""Samples against the definitions, clip by clip in exact fractions; the order of an epoch."""

import sys
from fractions import Fraction

import numpy as np
import pytest

from avsc.features.specs import ScalogramSpec
from avsc.features.store.labels import Labels
from avsc.train.data.samples import (
    frame_samples,
    image_samples,
    pair,
    shuffled,
    shuffled_together,
)

SPEC = ScalogramSpec()


def by_definition(frames, seconds, scene):
    """(row, image, scene, clip, second, strict) of each pair, from clips' frame counts."""
    rows, records = 0, {}
    for clip, there in enumerate(seconds):
        for second in there:
            records[clip, second] = len(records)
    for clip, count in enumerate(frames):
        for i in range(count):
            start = Fraction(i * SPEC.hop, SPEC.sample_rate)
            length = Fraction(SPEC.window, SPEC.sample_rate)
            second = int(start + length / 2)
            strict = second <= start and start + length <= second + 1
            if (clip, second) in records:
                yield rows + i, records[clip, second], scene[clip], clip, second, strict
        rows += count


def arrays(frames, seconds):
    """The records of a store whose clips have so many frames and images of these seconds."""
    has = [clip for clip, count in enumerate(frames) if count]
    images = [(clip, second) for clip, there in enumerate(seconds) for second in there]
    sound = np.array(has, np.int64), np.array([frames[clip] for clip in has], np.int64)
    return sound, np.array(images, np.int64).reshape(-1, 2).T


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_frames_with_the_image_of_their_centres_second(seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 80, 30) * (rng.random(30) < 0.8)
    seconds = [np.flatnonzero(rng.random(12) < rng.choice([0, 0.5, 1])) for _ in frames]
    scene = rng.integers(0, 10, 30)
    (clip, count), (image_clip, second) = arrays(frames, seconds)
    labels = Labels.whole(scene)
    frames_in = frame_samples(clip, count, labels, SPEC)
    pairs = pair(frames_in, image_samples(image_clip, second, labels))
    expected = np.array(list(by_definition(frames, seconds, scene)))
    made = (pairs.frame, pairs.image, pairs.scene, pairs.clip, pairs.second, pairs.strict)
    np.testing.assert_array_equal(np.stack(made, axis=1), expected)


def test_tau2021_has_56_pairs_a_clip():
    clips = 12_291
    scene = Labels.whole(np.arange(clips) % 10)
    frames = frame_samples(np.arange(clips), np.full(clips, 56), scene, SPEC)
    images = image_samples(np.repeat(np.arange(clips), 10), np.tile(np.arange(10), clips), scene)
    pairs = pair(frames, images)
    assert len(pairs) == clips * 56
    np.testing.assert_array_equal(pairs.frame, np.arange(clips * 56))
    per_second = np.bincount(pairs.second[:56])
    assert set(per_second) <= {4, 5, 6, 7} and per_second.sum() == 56
    np.testing.assert_array_equal(np.unique(pairs.image), np.arange(clips * 10))


def test_no_images_no_pairs():
    none = np.zeros(0, np.int64)
    scene = Labels.whole(np.zeros(3, np.int64))
    frames = frame_samples(np.arange(3), np.full(3, 56), scene, SPEC)
    assert len(pair(frames, image_samples(none, none, scene))) == 0
    assert len(pair(frame_samples(none, none, scene, SPEC), image_samples(none, none, scene))) == 0


def test_sound_alone_uses_every_frame_and_sight_alone_every_image_once():
    scene = Labels.whole(np.array([3, 1]))
    frames = frame_samples(np.array([0, 1]), np.array([2, 3]), scene, SPEC)
    assert frames.image is None
    assert frames.frame.tolist() == [0, 1, 2, 3, 4]
    assert frames.scene.tolist() == [3, 3, 1, 1, 1]
    images = image_samples(np.array([0, 1, 1]), np.array([0, 0, 4]), scene)
    assert images.frame is None
    assert images.image.tolist() == [0, 1, 2]
    assert images.second.tolist() == [0, 0, 4]
    assert images.strict.all()


def test_take_keeps_rows_together():
    scene = Labels.whole(np.array([3, 1]))
    samples = frame_samples(np.array([0, 1]), np.array([2, 3]), scene, SPEC)
    taken = samples.take(np.array([4, 0]))
    assert taken.frame.tolist() == [4, 0]
    assert taken.scene.tolist() == [1, 3]
    assert taken.image is None and len(taken) == 2


# Images of one to six samples each, the samples in no order.
COUNTS = np.random.default_rng(5).integers(1, 7, 40)
IMAGE = np.random.default_rng(6).permutation(np.repeat(np.arange(40), COUNTS))


def order(together, seed=0):
    return shuffled_together(IMAGE, together, np.random.default_rng(seed))


def batches(found, size, shard=(0, 1)):
    return [found.batch(b, size, shard) for b in range(len(IMAGE) // size)]


@pytest.mark.parametrize("together", [1, 2, 3, 6, sys.maxsize])
def test_groups_are_of_one_image_and_as_large_as_can_be(together):
    found = order(together)
    np.testing.assert_array_equal(np.sort(found.sample), np.arange(len(IMAGE)))
    ends = np.flatnonzero(np.diff(found.group)) + 1
    groups = np.split(IMAGE[found.sample], ends)
    assert len(np.unique(found.group)) == len(groups)  # equal ones lie side by side
    sizes = {image: [] for image in range(40)}
    for group in groups:
        assert len(set(group)) == 1
        sizes[int(group[0])].append(len(group))
    for image, count in enumerate(COUNTS):
        whole, rest = divmod(int(count), min(together, 99))
        assert sorted(sizes[image]) == sorted([*[min(together, 99)] * whole, *[rest] * (rest > 0)])


def test_orders_differ_by_their_generator_alone():
    np.testing.assert_array_equal(order(4).sample, order(4).sample)
    assert (order(4).sample != order(4, seed=1).sample).any()
    # Which samples of an image go together, and where an image comes, are both drawn anew.
    first, second = order(2), order(2, seed=1)
    assert (IMAGE[first.sample] != IMAGE[second.sample]).any()

    def mates(found):
        ends = np.flatnonzero(np.diff(found.group)) + 1
        return {frozenset(group.tolist()) for group in np.split(found.sample, ends)}

    assert mates(first) != mates(second)
    assert mates(order(sys.maxsize)) == mates(order(sys.maxsize, seed=1))


def test_without_sharing_each_sample_is_drawn_for_itself():
    found = shuffled(50, np.random.default_rng(3))
    np.testing.assert_array_equal(found.sample, np.random.default_rng(3).permutation(50))
    part = found.batch(1, 20)
    np.testing.assert_array_equal(part.sample, found.sample[20:40])
    for each in (part.view, part.first, part.drawn):
        np.testing.assert_array_equal(each, np.arange(20))


@pytest.mark.parametrize("together", [1, 3, sys.maxsize])
def test_samples_of_a_view_have_its_image(together):
    seen = np.concatenate([part.sample for part in batches(order(together), 16)])
    assert len(seen) == len(set(seen)) == len(IMAGE) // 16 * 16
    for part in batches(order(together), 16):
        np.testing.assert_array_equal(IMAGE[part.sample], IMAGE[part.sample[part.first]][part.view])
        assert (np.diff(part.drawn) > 0).all()
        assert np.bincount(part.view).max() <= min(together, 6)


def test_processes_take_equal_runs_and_the_same_views():
    found = order(sys.maxsize)
    for b, whole in enumerate(batches(found, 24)):
        parts = [found.batch(b, 24, (i, 3)) for i in range(3)]
        np.testing.assert_array_equal(np.concatenate([part.sample for part in parts]), whole.sample)
        views = np.concatenate([part.drawn[part.view] for part in parts])
        np.testing.assert_array_equal(views, whole.drawn[whole.view])
        assert len(whole.drawn) <= sum(len(part.drawn) for part in parts) <= len(whole.drawn) + 2
