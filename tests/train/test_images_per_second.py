"""Training, evaluation and prediction on two images a second."""

import numpy as np
import pytest
from commands import refused, run_fit
from inferred import LENGTHS, Trained

from avsc.features.specs import ImageSpec
from avsc.features.store.reader import Store
from avsc.train.data.source import Source
from avsc.train.data.time_shift import ClipImages
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.infer import load

TWO = ImageSpec(per_second=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("two"), TWO)


def test_a_frame_is_paired_with_the_image_of_its_half_second(world):
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


@pytest.mark.parametrize("system", ["joint", "ablation-2"])
def test_predict_is_evaluate_bit_for_bit(world, system, monkeypatch, capsys):
    run, report = world.fit(system), world.folder / f"report-{system}"
    status, _, err = run_fit(
        monkeypatch, capsys, "evaluate", run, "--device=cpu", "--workers=0", "--resamples=100",
        "--protocol=strict,centred", "--out", report,
    )  # fmt: skip
    assert status == 0, err
    model, clips = load(run, device="cpu"), world.dataset.clips
    for protocol in ("strict", "centred"):
        evaluated = read_predictions(report / f"predictions-{protocol}.tsv", clips, model.classes)
        for name in LENGTHS:
            row = [clip.id for clip in clips].index(name)
            audio, video = world.files(name)
            found = model.predict(video, audio=audio, protocol=protocol)
            wanted = evaluated.clip == row
            np.testing.assert_array_equal(found.probability, evaluated.probability[wanted])
            assert found.times[:, 0].tolist() == evaluated.second[wanted].tolist()
        assert len(evaluated.clip) == sum(np.ceil(np.array([*LENGTHS.values()]) - 0.5))


def test_a_store_of_another_rate_is_refused(world, tmp_path_factory, fit):
    one = Trained(tmp_path_factory.mktemp("one"))
    for system in ("joint", "ablation-2"):
        result = fit("evaluate", world.fit(system), "--store", one.store, "--allow-other-store")
        refused(result, 2, "its images are 8834978a446b (1 a second)", "trained on", "--store")
    result = fit("robustness", world.fit("joint"), "--store", one.store)
    refused(result, 2, "its images are 8834978a446b (1 a second)")
