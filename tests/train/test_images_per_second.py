"""Training, evaluation and prediction on two images a second."""

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
import torch
from commands import refused
from inferred import LENGTHS, Trained

from avsc.features.specs import ImageSpec
from avsc.features.store.reader import Store
from avsc.train.data.source import Source
from avsc.train.data.time_shift import ClipImages
from avsc.train.evaluate.predict import predict_clips
from avsc.train.evaluate.robustness.alterations import UndefinedError
from avsc.train.evaluate.robustness.classifier_inputs import ClassifierInputs
from avsc.train.evaluate.robustness.conditions import Shifted
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.trained_run import restore
from avsc.train.infer import load
from avsc.train.protocol import PROTOCOLS

TWO = ImageSpec(per_second=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("two"), TWO)


def test_a_frame_is_paired_with_the_image_of_its_half_second(world):
    """Also where training, or a condition, shifts it by a second."""
    store = Store.open(world.store, ["scalogram", "images"])
    source = Source.open(store, "scalogram", images=True)
    pairs, images = source.every, store.records("images")
    row = [clip.id for clip in store.clips].index("clip-7")
    own = pairs.take(pairs.clip == row)
    assert len(own) == (round(12.7 * 16_000) - 8192) // 2736 + 1
    half_second = (np.arange(len(own)) * 2736 + 4096) * 2 // 16_000
    np.testing.assert_array_equal(images.key[own.image], half_second)
    np.testing.assert_array_equal(images.clip[own.image], row)
    np.testing.assert_array_equal(own.second, half_second // 2)
    shifted = ClipImages(source.image_samples).later(own, np.full(len(own), -1))
    before = (half_second - 2) % 26
    there = before < 25  # the clip ends before 12.75 s; frames that should see it keep their own
    np.testing.assert_array_equal(images.key[shifted], np.where(there, before, half_second))
    expected = np.stack([np.full(13, row), np.arange(13)])
    vectors = {"audio": np.zeros((len(own) + 1, 1)), "visual": np.zeros((len(images) + 1, 1))}
    inputs = ClassifierInputs(vectors, own, expected)
    altered = Shifted(-1)(inputs, 0)
    np.testing.assert_array_equal(altered.without, ~there)
    np.testing.assert_array_equal(images.key[altered.samples.image[there]], before[there])
    four = replace(inputs, samples=replace(own, time=2 * own.time, rate=4))
    with pytest.raises(UndefinedError, match="4 images a second, of which some meet no acoustic"):
        Shifted(-1)(four, 0)


@pytest.mark.parametrize("system", ["joint", "ablation-2"])
def test_predict_is_evaluate_bit_for_bit(world, system):
    """`ablation-2` reads stored embeddings of the images."""
    run, store = world.fit(system), Store.open(world.store)
    rows = [row for row, clip in enumerate(store.clips) if clip.id in LENGTHS]
    with Console() as console:
        how = (PROTOCOLS, Computing(torch.device("cpu"), 32, 0), console)
        evaluated = predict_clips(restore(run), store, rows, *how)
    assert evaluated.expected == sum(ceil(length - 0.5) for length in LENGTHS.values())
    model = load(run, device="cpu")
    for protocol, segments in evaluated.segments.items():
        assert len(segments) == evaluated.expected
        for row in rows:
            audio, video = world.files(store.clips[row].id)
            found = model.predict(video, audio=audio, protocol=protocol)
            wanted = segments.clip == row
            np.testing.assert_array_equal(found.probability, segments.probability[wanted])
            assert found.times[:, 0].tolist() == segments.second[wanted].tolist()


def test_a_store_of_another_rate_is_refused(world, tmp_path_factory, fit):
    one = Trained(tmp_path_factory.mktemp("one"))
    for system in ("joint", "ablation-2"):
        result = fit("evaluate", world.fit(system), "--store", one.store, "--allow-other-store")
        refused(result, 2, "its images are 8834978a446b (1 a second)", "trained on", "--store")
    result = fit("robustness", world.fit("joint"), "--store", one.store)
    refused(result, 2, "its images are 8834978a446b (1 a second)")
