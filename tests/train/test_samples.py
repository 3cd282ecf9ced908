"""Samples: against the definitions, computed clip by clip in exact fractions of a second."""

from fractions import Fraction

import numpy as np
import pytest

from avsc.features.specs import ScalogramSpec
from avsc.train.data.samples import frame_samples, image_samples, pair

SPEC = ScalogramSpec()


def by_definition(frames, seconds, scene):
    """(row, picture, scene, clip, second, strict) of each pair, from clips' frame counts."""
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
    """The records of a store whose clips have so many frames and pictures of these seconds."""
    has = [clip for clip, count in enumerate(frames) if count]
    pictures = [(clip, second) for clip, there in enumerate(seconds) for second in there]
    sound = np.array(has, np.int64), np.array([frames[clip] for clip in has], np.int64)
    return sound, np.array(pictures, np.int64).reshape(-1, 2).T


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_frames_with_the_picture_of_their_centres_second(seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 80, 30) * (rng.random(30) < 0.8)
    seconds = [np.flatnonzero(rng.random(12) < rng.choice([0, 0.5, 1])) for _ in frames]
    scene = rng.integers(0, 10, 30)
    (clip, count), (picture_clip, second) = arrays(frames, seconds)
    pairs = pair(
        frame_samples(clip, count, scene, SPEC), image_samples(picture_clip, second, scene)
    )
    expected = np.array(list(by_definition(frames, seconds, scene)))
    made = (pairs.frame, pairs.image, pairs.scene, pairs.clip, pairs.second, pairs.strict)
    np.testing.assert_array_equal(np.stack(made, axis=1), expected)


def test_tau2021_has_56_pairs_a_clip():
    clips = 12_291
    scene = np.arange(clips) % 10
    frames = frame_samples(np.arange(clips), np.full(clips, 56), scene, SPEC)
    pictures = image_samples(np.repeat(np.arange(clips), 10), np.tile(np.arange(10), clips), scene)
    pairs = pair(frames, pictures)
    assert len(pairs) == clips * 56
    np.testing.assert_array_equal(pairs.frame, np.arange(clips * 56))
    per_second = np.bincount(pairs.second[:56])
    assert set(per_second) <= {4, 5, 6, 7} and per_second.sum() == 56
    np.testing.assert_array_equal(np.unique(pairs.image), np.arange(clips * 10))


def test_no_pictures_no_pairs():
    none = np.zeros(0, np.int64)
    scene = np.zeros(3, np.int64)
    frames = frame_samples(np.arange(3), np.full(3, 56), scene, SPEC)
    assert len(pair(frames, image_samples(none, none, scene))) == 0
    assert len(pair(frame_samples(none, none, scene, SPEC), image_samples(none, none, scene))) == 0


def test_sound_alone_uses_every_frame_and_sight_alone_every_picture_once():
    scene = np.array([3, 1])
    frames = frame_samples(np.array([0, 1]), np.array([2, 3]), scene, SPEC)
    assert frames.image is None
    assert frames.frame.tolist() == [0, 1, 2, 3, 4]
    assert frames.scene.tolist() == [3, 3, 1, 1, 1]
    pictures = image_samples(np.array([0, 1, 1]), np.array([0, 0, 4]), scene)
    assert pictures.frame is None
    assert pictures.image.tolist() == [0, 1, 2]
    assert pictures.second.tolist() == [0, 0, 4]
    assert pictures.strict.all()


def test_take_keeps_rows_together():
    scene = np.array([3, 1])
    samples = frame_samples(np.array([0, 1]), np.array([2, 3]), scene, SPEC)
    taken = samples.take(np.array([4, 0]))
    assert taken.frame.tolist() == [4, 0]
    assert taken.scene.tolist() == [1, 3]
    assert taken.image is None and len(taken) == 2
