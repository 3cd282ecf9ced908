"""Predictions files: the exact way there and back, and what is refused."""

import numpy as np
import pytest

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.score.predictions import encode_predictions, read_predictions
from avsc.train.score.protocol import Segments

CLASSES = ("bus", "metro", "park")
CLIPS = [Clip(f"{scene}-x_{n}", scene, None, None) for scene in CLASSES for n in range(4)]


def make(seed=0, count=40):
    rng = np.random.default_rng(seed)
    place = np.sort(rng.choice(12 * 12, count, replace=False))
    clip, second = place // 12, place % 12
    probability = rng.dirichlet([0.02] * 3, count)
    return Segments(probability / probability.sum(1, keepdims=True), clip, second, clip // 4)


def equal(one, other):
    for name in ("probability", "clip", "second", "scene"):
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(5))
def test_there_and_back_is_exact(tmp_path, seed):
    path, segments = tmp_path / "predictions.tsv", make(seed)
    path.write_bytes(encode_predictions(segments, CLIPS, CLASSES))
    equal(read_predictions(path, CLIPS, CLASSES), segments)


def test_the_form_is_the_challenges():
    probability = np.array([[0.25, 0.5, 0.25], [0.1, 0.2, 0.7]])
    segments = Segments(probability, np.array([3, 8]), np.array([0, 11]), np.array([0, 2]))
    assert encode_predictions(segments, CLIPS, CLASSES).decode().split("\n") == [
        "filename\tscene_label\tbus\tmetro\tpark",
        "bus-x_3_0.wav\tmetro\t0.25\t0.5\t0.25",
        "park-x_0_11.wav\tpark\t0.1\t0.2\t0.7",
        "",
    ]


def test_rows_columns_and_line_ends_of_other_systems(tmp_path):
    path, segments = tmp_path / "other.tsv", make(count=20)
    lines = encode_predictions(segments, CLIPS, CLASSES).decode().splitlines()
    cells = [line.split("\t") for line in [lines[0], *lines[:0:-1]]]
    swapped = ["\t".join([a, b, e, c, d]) for a, b, c, d, e in cells]
    path.write_text("\r\n".join(swapped), newline="")
    equal(read_predictions(path, CLIPS, CLASSES), segments)


def test_whole_clips_there_and_back(tmp_path):
    path, rng = tmp_path / "clips.tsv", np.random.default_rng(1)
    clip = np.array([1, 5, 11])
    segments = Segments(rng.dirichlet(np.ones(3), 3), clip, None, clip // 4)
    text = encode_predictions(segments, CLIPS, CLASSES)
    assert b"\nbus-x_1.wav\t" in text and b"\npark-x_3.wav\t" in text
    path.write_bytes(text)
    again = read_predictions(path, CLIPS, CLASSES)
    assert again.second is None
    np.testing.assert_array_equal(again.probability, segments.probability)
    np.testing.assert_array_equal(again.clip, clip)


HEAD = "filename\tscene_label\tbus\tmetro\tpark\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns are none; wanted"),
        ("filename,scene_label,bus,metro,park\n", "wanted, with TABs between them, filename, sc"),
        ("filename\tscene_label\tbus\tmetro\n", "its columns are filename, scene_label, bus, met"),
        (HEAD + "bus-x_0_0.wav\tbus\t1\t0\n", "line 2: wanted 5 columns"),
        (HEAD + "bus-x_0_0.wav\tbus\t1\t0\t0\t0\n", "line 2: wanted 5 columns"),
        (HEAD + "bus-x_0_0.wav\tbus\t1\t0\tno\n", "line 2: could not convert .*'no'"),
        (HEAD + "bus-x_0_0.wav\tbus\t1\t0\tnan\n", "line 2: the probabilities are 1.0, 0.0, nan"),
        (HEAD + "bus-x_0_0.wav\tbus\t1.2\t-0.2\t0\n", "line 2: the probabilities are 1.2"),
        (HEAD + "bus-x_0_0.wav\tbus\t0.5\t0.2\t0\n", "whose sum is 1"),
        (HEAD + "bus-x_0_0.wav\ttram\t1\t0\t0\n", "scene_label is 'tram', which is not the most"),
        (HEAD + "bus-x_0_0.wav\tmetro\t1\t0\t0\n", "scene_label is 'metro', which is not the mo"),
        (HEAD + "0.wav\tbus\t1\t0\t0\n", "'0.wav' is not a segment of this store; wanted a name"),
        (HEAD + "bus-x_9_0.wav\tbus\t1\t0\t0\n", "'bus-x_9_0.wav' is not a segment"),
        (HEAD + "bus-x_0.wav\tbus\t1\t0\t0\nbus-x_1_0.wav\tbus\t1\t0\t0\n", "line 3: 'bus-x_1_0"),
        (HEAD + 2 * "bus-x_0_0.wav\tbus\t1\t0\t0\n", "line 3: 'bus-x_0_0.wav' is there twice"),
    ],
)
def test_what_is_not_of_the_form_is_refused(tmp_path, text, message):
    path = tmp_path / "predictions.tsv"
    path.write_text(text)
    with pytest.raises(AvscError, match=message) as fault:
        read_predictions(path, CLIPS, CLASSES)
    assert str(path) in str(fault.value)
