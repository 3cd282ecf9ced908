"""Time shift in training: pairs as defined and as robustness pairs them, draws, resuming."""

from itertools import islice

import h5py
import numpy as np
import pytest
import torch
from epochs import training_batches
from stores import small_clips, small_store
from systems import fit_for, make, make_world, on_vectors

from avsc.features.store.labels import Labels
from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.data.samples import image_samples
from avsc.train.data.time_shift import ClipImages, TimeShift
from avsc.train.evaluate.robustness.changes import Shifted
from avsc.train.evaluate.robustness.classifier_inputs import ClassifierInputs
from avsc.train.model.inference import evaluating
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("shifted"))


@pytest.mark.parametrize("seed", range(3))
def test_images_are_those_of_the_definition(seed):
    draw = np.random.default_rng(seed)
    there = [
        (c, k) for c in (0, 2, 3, 5) for k in range(draw.integers(2, 8)) if draw.random() < 0.8
    ]
    clip, second = np.array(there, np.int64).T
    images = image_samples(clip, second, Labels.whole(np.zeros(6, np.int64)))
    own = draw.integers(len(there), size=200)
    late = draw.integers(-9, 10, 200)
    found = ClipImages(images).later(images.take(own), late)
    for sample, s, row in zip(own, late, found, strict=True):
        c, k = there[sample]
        length = 1 + max(second for number, second in there if number == c)
        wanted = (c, (k + s) % length)
        assert row == (there.index(wanted) if wanted in there else sample)


@pytest.mark.parametrize("seconds", [-2, -1, 1, 2])
def test_pairs_are_those_of_the_robustness_report(world, seconds):
    trainer = on_vectors(world, world / "pairs", epochs=1)
    source = trainer.run.source
    samples = source.every
    clips = np.unique(samples.clip)
    expected = np.stack([np.repeat(clips, 3), np.tile(np.arange(3), len(clips))])
    inputs = ClassifierInputs(
        {"audio": source.acoustic, "visual": np.append(source.visual, [source.visual[0]], 0)},
        samples,
        expected,
    )
    altered = Shifted(seconds)(inputs, 0)
    assert not altered.without.any()
    late = np.full(len(samples), seconds)
    found = ClipImages(source.image_samples).later(samples, late)
    np.testing.assert_array_equal(found, altered.samples.image)
    assert not (found == samples.image).any()


def test_draws_are_uniform():
    drawn = TimeShift(2).draw(np.random.default_rng(0), 10_000)
    assert np.bincount(drawn + 2) / 10_000 == pytest.approx([0.2] * 5, abs=0.02)


@pytest.mark.parametrize("vectors", [True, False])
def test_draws_are_of_the_batch_wherever_it_is_made(world, vectors):
    start = on_vectors if vectors else lambda *home: make(*home, "joint", augment="none")
    trainer = start(world, world / f"draws-{vectors}")
    source, samples = trainer.run.source, trainer.run.training

    def images(seed=0, epoch=1, start=0, shard=(0, 1), workers=0, shift=2):
        batches = training_batches(
            source, samples, image_input=trainer.network.image_input, batch_size=16, seed=seed,
            epoch=epoch, start_batch=start, shard=shard, workers=workers,
            time_shift=TimeShift(shift) if shift else None,
        )  # fmt: skip
        return [batch.images.numpy() for batch in islice(batches, 3 - start)]

    def same(one, other):
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    whole = images()
    assert same(whole, images(workers=2)) and same(whole[2:], images(start=2))
    parts = zip(images(shard=(0, 2)), images(shard=(1, 2)), strict=True)
    assert same(whole, [np.concatenate(both) for both in parts])
    others = [images(shift=0), images(shift=1), images(seed=1), images(epoch=2)]
    assert not any(same(whole, other) for other in others)


def test_samples_that_share_a_view_are_shifted_alike(world):
    trainer = make(world, world / "shared", "joint", frames_per_image="all", shift=2)
    (batch, *_) = list(trainer._batches())
    assert batch.view is not None and len(batch.images) < len(batch.view)
    assert batch.view.max() == len(batch.images) - 1


@pytest.mark.parametrize("looks", [3])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path, looks):
    plain, straight = (on_vectors(world, tmp_path / name, shift=s) for name, s in
                       (("plain", 0), ("straight", 2)))  # fmt: skip
    assert plain.fit() and straight.fit()
    assert not fit_for(on_vectors(world, tmp_path / "run", shift=2), looks)
    resumed = on_vectors(world, tmp_path / "run", shift=2)
    assert resumed.progress.batch > 0 and resumed.fit()
    texts = [
        (tmp_path / name / "metrics.csv").read_bytes() for name in ("straight", "run", "plain")
    ]
    assert texts[0] == texts[1] != texts[2]
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["network"]
              for name in ("straight", "run")]  # fmt: skip
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_what_depends_on_it(tmp_path):
    both, one = SYSTEMS["pipeline"], SYSTEMS["audio"]
    given = {"acoustic_embeddings": "a", "visual_embeddings": "b"}
    assert Settings(shift=3, **given).identity(both)["shift"] == 3
    assert "shift" not in Settings(**given).identity(both)
    assert "shift" not in Settings(shift=3).identity(one)
    assert Settings(shift=3).time_shift(one) is None
    small_store(tmp_path / "store", products=("scalogram", "images"), seconds=1)
    with pytest.raises(SettingError, match="--shift is 2, but no training clip has images of two"):
        make(tmp_path, tmp_path / "run", "joint", shift=2, batch_size=2)
    assert not (tmp_path / "run").exists()


def test_it_is_calibrated_for_streams_that_are_apart(tmp_path):
    """Where the scene is told by what coincides within a second, against Bayes' rule.

    The sound is one of three at random, the sight the one so many places after it as the scene
    says, in 0.8 of the seconds; the sight has the scene's own look in 0.6. A second later both are
    independent, so that only the look tells anything.
    """
    clips = small_clips(locations=12, clips_per_location=4)
    store = Store.open(small_store(tmp_path / "store", products=("scalogram", "images"),
                                   clips=clips, seconds=10))  # fmt: skip
    draw = np.random.default_rng(3)
    scene = np.repeat([store.classes.index(clip.scene) for clip in clips], 10)
    sound = draw.integers(3, size=len(scene))
    follows = np.where(draw.random(len(scene)) < 0.7, scene, draw.integers(3, size=len(scene)))
    look = np.where(draw.random(len(scene)) < 0.4, scene, draw.integers(3, size=len(scene)))
    symbols = {"acoustic": sound, "visual": 3 * look + (sound + follows) % 3}
    for name, symbol in symbols.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["clip"] = np.repeat([clip.id for clip in clips], 10).astype("S")
            file["time"] = np.tile(np.arange(10) + 0.5, len(clips))
            file["vector"] = np.eye(9, dtype=np.float32)[symbol]
    test = np.repeat([clip.fold == "test" for clip in clips], 10)
    late = {0: np.arange(len(scene)), 1: np.arange(len(scene)).reshape(-1, 10)}
    late[1] = np.roll(late[1], -1, axis=1).ravel()  # the image of the next second

    def losses(predict):
        return {
            s: -float(np.log(predict(sound[test], symbols["visual"][rows][test])[
                np.arange(test.sum()), scene[test]]).mean())
            for s, rows in late.items()
        }  # fmt: skip

    def bayes(share):
        """p(scene | sound, sight) where so great a share of the pairs is of the same second."""

        def predict(sound, sight):
            found = np.stack([
                np.where(sight // 3 == c, 0.6, 0.2)
                * (share * np.where((sound + c) % 3 == sight % 3, 0.8, 0.1) + (1 - share) / 3)
                for c in range(3)
            ], axis=1)  # fmt: skip
            return found / found.sum(1, keepdims=True)

        return predict

    def trained(shift):
        trainer = on_vectors(tmp_path, tmp_path / f"run-{shift}", shift=shift, epochs=8,
                             lr_period=8, batch_size=64)  # fmt: skip
        assert trainer.fit()

        def predict(sound, sight):
            with evaluating(trainer.network):
                vectors = (torch.eye(9)[torch.from_numpy(each)] for each in (sound, sight))
                return torch.softmax(trainer.network.classify(*vectors), 1).numpy()

        return predict

    plain, shifted = losses(trained(0)), losses(trained(1))
    best, mixed = losses(bayes(1.0)), losses(bayes(1 / 3))
    assert plain[0] == pytest.approx(best[0], abs=0.03)
    assert shifted == pytest.approx(mixed, abs=0.03)
    assert shifted[1] < plain[1] - 0.3 and plain[0] < shifted[0] - 0.1
