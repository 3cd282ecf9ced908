"""Predictions files: the exact way there and back, and what is refused."""

import unicodedata

import numpy as np
import pytest
from sklearn.metrics import log_loss

from avsc.manifests.clips import Clip
from avsc.manifests.errors import AvscError
from avsc.train.evaluate.predictions import encode_predictions, read_predictions
from avsc.train.evaluate.submissions import Truth, read_submission
from avsc.train.metrics import scores
from avsc.train.protocol import Segments

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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_files_in_any_encoding_that_says_what_it_is(tmp_path, encoding):
    path, segments = tmp_path / "predictions.tsv", make(count=20)
    path.write_bytes(encode_predictions(segments, CLIPS, CLASSES).decode().encode(encoding))
    equal(read_predictions(path, CLIPS, CLASSES), segments)


def test_other_encodings_are_refused_with_the_line(tmp_path):
    path = tmp_path / "predictions.tsv"
    path.write_bytes(encode_predictions(make(count=3), CLIPS, CLASSES) + b"caf\xe9\t")
    with pytest.raises(AvscError, match=r"tsv, line 5: not UTF-8 text; save it as UTF-8\.$"):
        read_predictions(path, CLIPS, CLASSES)


def test_names_and_columns_in_another_unicode_form(tmp_path):
    classes = ("café", "ñ")
    clips = [Clip(f"{name}-1", name, None, None) for name in classes]
    path, clip = tmp_path / "predictions.tsv", np.array([0, 0, 1])
    segments = Segments(
        np.array([[0.75, 0.25], [0.5, 0.5], [0, 1]]), clip, np.array([0, 1, 0]), clip
    )
    text = encode_predictions(segments, clips, classes).decode()
    path.write_text(unicodedata.normalize("NFD", text))
    equal(read_predictions(path, clips, classes), segments)


@pytest.mark.parametrize("form", [repr, lambda x: repr(0.9991 * x), "{:.3f}".format])
def test_probabilities_are_divided_by_their_sum_as_scikit_learn_does(tmp_path, form):
    path, clip = tmp_path / "predictions.tsv", np.arange(12)
    exact = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    given = [list(map(form, row)) for row in exact.tolist()]
    rows = [
        [f"{CLIPS[row].id}.wav", CLASSES[exact[row].argmax()], *cells]
        for row, cells in enumerate(given)
    ]
    path.write_text("\n".join(["filename\tscene_label\tbus\tmetro\tpark", *map("\t".join, rows)]))
    found = read_predictions(path, CLIPS, CLASSES)
    table = np.array(given, float)
    if form is repr:
        np.testing.assert_array_equal(found.probability, exact)
    else:
        assert np.abs(table.sum(1) - 1).max() > 5e-4
    table /= table.sum(1, keepdims=True)
    wanted = [log_loss(clip[k : k + 4] // 4, table[k : k + 4], labels=[0, 1, 2]) for k in (0, 4, 8)]
    assert scores(found, CLASSES).log_loss == pytest.approx(np.mean(wanted), rel=1e-12)
    assert found.probability.sum(1) == pytest.approx(1, abs=1e-15)


AMBIGUOUS = [Clip(name, "bus", None, None) for name in ("rec", "rec_1", "rec_1_0", "rec_2")]


@pytest.mark.parametrize("whole", [None, False])
def test_ids_that_are_another_with_a_number_in_files_of_segments(tmp_path, whole):
    path = tmp_path / "predictions.tsv"
    clip, second = np.array([0, 0, 0, 1, 2, 3]), np.array([0, 1, 2, 0, 0, 5])
    segments = Segments(np.ones((6, 1)), clip, second, np.zeros(6, np.int64))
    path.write_bytes(encode_predictions(segments, AMBIGUOUS, ("bus",)))
    equal(read_predictions(path, AMBIGUOUS, ("bus",), whole), segments)


@pytest.mark.parametrize("whole", [None, True])
def test_ids_that_are_another_with_a_number_in_files_of_whole_clips(tmp_path, whole):
    path, clip = tmp_path / "predictions.tsv", np.arange(4)
    segments = Segments(np.ones((4, 1)), clip, None, np.zeros(4, np.int64))
    path.write_bytes(encode_predictions(segments, AMBIGUOUS, ("bus",)))
    found = read_predictions(path, AMBIGUOUS, ("bus",), whole)
    assert found.second is None and found.clip.tolist() == clip.tolist()


def test_a_file_that_can_be_read_in_two_ways_is_refused_unless_it_is_known(tmp_path):
    path, row = tmp_path / "predictions.tsv", "rec_1.wav\tbus\t1\n"
    path.write_text(f"filename\tscene_label\tbus\n{row}")
    with pytest.raises(AvscError, match=r"'rec_1\.wav' is second 1 of clip 'rec', or a whole clip"):
        read_predictions(path, AMBIGUOUS, ("bus",))
    segment, clip = (read_predictions(path, AMBIGUOUS, ("bus",), kind) for kind in (False, True))
    assert (segment.clip.tolist(), segment.second.tolist()) == ([0], [1])
    assert (clip.clip.tolist(), clip.second) == ([1], None)


def test_what_an_evaluation_wrote_is_read_as_its_protocol(tmp_path):
    truth = Truth(tmp_path, tuple(AMBIGUOUS), ("bus",))
    (tmp_path / "metrics.json").write_text("{}")
    for protocol in ("strict", "clip"):
        file = tmp_path / f"predictions-{protocol}.tsv"
        file.write_text("filename\tscene_label\tbus\nrec_1.wav\tbus\t1\n")
        found = read_submission(tmp_path, protocol, truth)
        assert (found.second is None) == (protocol == "clip")
        assert found.clip.tolist() == [1 if protocol == "clip" else 0]


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
        (HEAD + "bus-x_0_0.wav\tbus\t1.0001\t0\t0\n", "line 2: the probabilities are 1.0001, 0"),
        (HEAD + "bus-x_0_0.wav\tbus\tinf\t0\t0\n", "line 2: the probabilities are inf, 0"),
        (HEAD + "bus-x_0_0.wav\tbus\t0.998\t0\t0\n", r"whose sum is 1 \(to 0\.001\)"),
        (HEAD + "bus-x_0_99999999999999999999.wav\tbus\t1\t0\t0\n", "is not a segment of this s"),
        (HEAD + "x" * 200_000 + "\tbus\t1\t0\t0\n", "line 2: not CSV: field larger than field"),
        (HEAD + 2 * "bus-x_0_0.wav\tbus\t1\t0\t0\n", "line 3: 'bus-x_0_0.wav' appears twice"),
    ],
)
def test_what_is_not_of_the_form_is_refused(tmp_path, text, message):
    path = tmp_path / "predictions.tsv"
    path.write_text(text)
    with pytest.raises(AvscError, match=message) as fault:
        read_predictions(path, CLIPS, CLASSES)
    assert str(path) in str(fault.value)
