"""Segments, and which of them there should be: against loops, exact fractions and TAU2021."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avsc.features.framing import n_frames
from avsc.features.specs import ImageSpec, ScalogramSpec
from avsc.features.store.failures import Failure
from avsc.features.store.labels import Labels
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.samples import Samples, frame_samples, image_samples, pair
from avsc.train.evaluate.expected import expected_segments, missing_segments, within
from avsc.train.protocol import PROTOCOLS, frame_mask, named_protocols, segments

SPEC = ScalogramSpec()
PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def sound(frames):
    """All frames of clips that have so many each."""
    has = np.flatnonzero(frames)
    return frame_samples(
        has, np.asarray(frames)[has], Labels.whole(np.arange(len(frames)) % 3), SPEC
    )


def images(seconds):
    """Images of clips that have these seconds each."""
    place = [(clip, second) for clip, there in enumerate(seconds) for second in there]
    clip, second = np.array(place, np.int64).reshape(-1, 2).T
    return image_samples(clip, second, Labels.whole(np.arange(len(seconds)) % 3))


def fake(every, clips, images=None, failures=()):
    """A store and a source, as far as segments depend on them."""
    store = SimpleNamespace(
        path="stores/fake",
        clips=[SimpleNamespace(id=f"clip{row}") for row in range(clips)],
        failures=failures,
        products=("images",),
        spec=lambda product: ImageSpec(),
    )
    return store, SimpleNamespace(image_samples=images, every=every)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(5))
def test_segments_are_the_means_of_their_samples(protocol, seed):
    rng = np.random.default_rng(seed)
    samples = sound(rng.integers(0, 80, 20))
    samples = samples.take(rng.permutation(len(samples)))
    probability = rng.dirichlet(np.ones(4), len(samples))
    by_place = {}
    for i in range(len(samples)):
        if protocol == "centred" or samples.strict[i]:
            place = samples.clip[i], samples.second[i], samples.scene[i]
            by_place.setdefault(place, []).append(probability[i])
    found = segments(probability, samples, protocol)
    places = list(zip(found.clip, found.second, found.scene, strict=True))
    assert places == sorted(by_place)
    for place, mean in zip(places, found.probability, strict=True):
        np.testing.assert_allclose(mean, np.mean(by_place[place], axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.probability.sum(1), 1, rtol=1e-13)


def test_frames_a_second_are_those_that_the_page_states():
    length, hop = Fraction(SPEC.window, SPEC.sample_rate), Fraction(SPEC.hop, SPEC.sample_rate)
    starts = [i * hop for i in range(n_frames(10 * SPEC.sample_rate, SPEC))]
    centred = [sum(k <= s + length / 2 < k + 1 for s in starts) for k in range(10)]
    strict = [sum(k <= s and s + length <= k + 1 for s in starts) for k in range(10)]
    samples = sound([len(starts)])
    for protocol, count in (("strict", strict), ("centred", centred)):
        heard = samples.second[frame_mask(samples, protocol)]
        np.testing.assert_array_equal(np.bincount(heard), count)
        line = next(x for x in PAGE.read_text().splitlines() if x.startswith(f"| `{protocol}` |"))
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[3:5] == [" ".join(map(str, count)), f"{sum(count)} of 56"]


def test_the_test_fold_of_tau2021_has_36450_segments():
    every = images([range(10)] * 12_291)
    joint = pair(sound([56] * 12_291), every)
    rows = list(range(3, 3 + 3645))
    for samples, shown in ((joint, every), (every, every), (sound([56] * 12_291), None)):
        expected = expected_segments(*fake(samples, 12_291, shown), rows)
        assert expected.shape == (2, 36_450)
        heard = samples.take(np.isin(samples.clip, rows))
        for protocol in PROTOCOLS:
            found = segments(np.full((len(heard), 2), 0.5), heard, protocol)
            np.testing.assert_array_equal(np.stack([found.clip, found.second]), expected)


def test_a_second_without_an_image_is_missed():
    """Clip 0 lacks second 2, clip 1 its last second, clip 2 all its images."""
    every = images([(0, 1, 3), (0, 1, 2), (), (0, 1, 2, 3)])
    faults = [
        Failure("clip0", "images", 2, "pictures", "no-picture", ""),
        Failure("clip1", "images", 3, "pictures", "no-picture", ""),
        Failure("clip2", "images", None, "pictures", "missing", ""),
        Failure("clip3", "scalogram", None, "sound", "missing", ""),
    ]
    store, source = fake(every, 4, every, faults)
    expected = expected_segments(store, source, [0, 1, 2, 3])
    assert expected.T.tolist() == [[clip, second] for clip in range(4) for second in range(4)]
    lost = missing_segments(expected, every)
    assert lost.T.tolist() == [[0, 2], [1, 3], [2, 0], [2, 1], [2, 2], [2, 3]]


def test_a_clip_of_which_nothing_is_there_counts_as_most_of_the_others():
    frames = [n_frames(seconds * 16_000, SPEC) for seconds in (3, 3, 7, 7, 5)]
    every = sound([*frames, 0])
    for rows, usual in (([0, 1, 4, 5], 3), ([0, 2, 5], 7), ([0, 1, 2, 3, 4, 5], 7)):
        expected = expected_segments(*fake(every, 6), rows)
        assert (expected[0] == 5).sum() == usual, rows


def test_nothing_of_any_clip_is_an_error():
    with pytest.raises(AvscError, match="nothing of any of the 2 clips"):
        expected_segments(*fake(sound([9, 0, 0]), 3), [1, 2])


@pytest.mark.parametrize("tenths", range(6, 48))
def test_seconds_of_sound_that_does_not_end_on_a_second(tenths):
    """Every segment expected of sound alone has a strict frame; what is left over may have none."""
    every = sound([n_frames(1600 * tenths, SPEC)])
    expected = expected_segments(*fake(every, 1), [0])
    for protocol in PROTOCOLS:
        heard = within(every, expected)
        assert missing_segments(expected, heard.take(frame_mask(heard, protocol))).size == 0
        assert np.unique(heard.second).tolist() == expected[1].tolist()
    assert abs(expected.shape[1] - tenths / 10) < 1


def test_samples_outside_the_expected_segments_are_left_out():
    samples = Samples(None, np.arange(4), np.zeros(4, int), np.array([0, 0, 1, 1]),
                      np.array([0, 1, 0, 1]), np.ones(4, bool))  # fmt: skip
    kept = within(samples, np.array([[0, 1, 1], [0, 0, 1]]))
    assert kept.image.tolist() == [0, 2, 3]


def test_a_whole_clip_is_the_mean_of_all_its_frames():
    rng = np.random.default_rng(0)
    samples = sound([56, 0, 20, 5])
    probability = rng.dirichlet(np.ones(4), len(samples))
    found = segments(probability, samples, "clip")
    assert found.second is None
    assert found.clip.tolist() == [0, 2, 3] and found.scene.tolist() == [0, 2, 0]
    expected = [probability[samples.clip == clip].mean(0) for clip in (0, 2, 3)]
    np.testing.assert_allclose(found.probability, expected, rtol=1e-12)


def test_protocols_are_named_in_a_list():
    assert named_protocols("centred, strict") == ("strict", "centred")
    with pytest.raises(SettingError, match=r"'whole' is unknown; any of strict, centred, clip"):
        named_protocols("strict,whole")
    with pytest.raises(SettingError, match="'' is unknown"):
        named_protocols("")
