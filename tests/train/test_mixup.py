"""Mixup: against plain arithmetic, wherever a batch is made, and what it is part of."""

import doctest
from itertools import islice

import numpy as np
import pytest
import torch
from epochs import training_batches
from systems import fit_for, make, make_world, on_vectors
from torch.nn.functional import cross_entropy

from avsc.manifests.errors import SettingError
from avsc.train.data import mixup
from avsc.train.data.mixup import Mixup
from avsc.train.data.modality_dropout import ModalityDropout
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("mixed"))


def test_examples():
    assert doctest.testmod(mixup).failed == 0


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("dropped", [0.0, 0.5])
def test_batches_are_mixed_in_pairs(world, shared, dropped):
    trainer = on_vectors(world, world / "pairs")
    source, samples = trainer.run.source, trainer.run.training
    options = {
        "image_input": None, "batch_size": 16, "seed": 3, "epoch": 2,
        "modality_dropout": ModalityDropout(dropped, 0) if dropped else None,
    }  # fmt: skip
    for batch in islice(training_batches(source, samples, **options,
                                         mixup=Mixup(0.4, shared, 3)), 3):  # fmt: skip
        index = batch.index.numpy()
        partner = index.reshape(-1, 2)[:, ::-1].ravel()
        audio, visual = source.acoustic[samples.frame], source.visual[samples.image]
        shares = []
        for found, data in ((batch.acoustic, audio), (batch.images, visual)):
            x, y, z = data[index], data[partner], found.numpy()
            w = ((z - y) * (x - y)).sum(1) / np.square(x - y).sum(1)  # least squares
            assert ((w >= -1e-5) & (w <= 1 + 1e-5)).all()
            np.testing.assert_allclose(z, w[:, None] * x + (1 - w[:, None]) * y, atol=1e-5)
            shares.append(w)
        assert np.allclose(*shares, atol=1e-4) == shared
        label = np.zeros((16, 3))
        for row in range(16):
            has = [True, True] if not dropped else ~batch.missing[row].numpy()
            w = np.mean([share[row] for share, there in zip(shares, has, strict=True) if there])
            label[row, samples.scene[index[row]]] += w
            label[row, samples.scene[partner[row]]] += 1 - w
        np.testing.assert_allclose(batch.scene.numpy(), label, atol=1e-4)
        logits = torch.randn(16, 3)
        by_hand = -(torch.from_numpy(label) * torch.log_softmax(logits.double(), 1)).sum(1).mean()
        assert float(cross_entropy(logits, batch.scene)) == pytest.approx(float(by_hand), abs=1e-4)


def test_shares_have_the_beta_distribution():
    drawn = Mixup(0.2, False, 3).draw(np.random.default_rng(0), 20_000).astype(float)
    assert drawn.mean(0) == pytest.approx([0.5, 0.5], abs=0.01)
    assert drawn.var(0) == pytest.approx([1 / (4 * 1.4)] * 2, abs=0.005)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02


def test_draws_are_of_the_batch_wherever_it_is_made(world):
    trainer = on_vectors(world, world / "draws")

    def images(start=0, shard=(0, 1), epoch=0):
        batches = training_batches(
            trainer.run.source, trainer.run.training, image_input=None, batch_size=16, seed=1,
            epoch=epoch, start_batch=start, shard=shard, mixup=Mixup(0.4, False, 3),
        )  # fmt: skip
        return [batch.images.numpy() for batch in batches]

    whole = images()
    for wanted, found in zip(whole[3:], images(start=3), strict=True):
        assert np.array_equal(wanted, found)
    for wanted, *parts in zip(whole, images(shard=(0, 2)), images(shard=(1, 2)), strict=True):
        assert np.array_equal(wanted, np.concatenate(parts))
    assert not np.array_equal(whole[0], images(epoch=1)[0])


def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path):
    how = {"mixup": 0.3, "mixup_lambda": "separate", "epochs": 1}
    assert on_vectors(world, tmp_path / "straight", **how).fit()
    assert not fit_for(on_vectors(world, tmp_path / "run", **how), 3)
    assert on_vectors(world, tmp_path / "run", **how).fit()
    straight, run = (tmp_path / name / "metrics.csv" for name in ("straight", "run"))
    assert straight.read_bytes() == run.read_bytes()


def test_a_single_modality_is_mixed_by_its_share(world, tmp_path):
    trainer = make(world, tmp_path / "video", "video", mixup=0.3, batch_size=16, epochs=1)
    batch = next(trainer._batches())
    assert batch.scene.shape == (16, 3) and batch.acoustic is None
    torch.testing.assert_close(batch.scene.sum(1), torch.ones(16))
    assert trainer.fit()


def test_what_depends_on_it_and_what_is_refused(world, tmp_path):
    given = {"acoustic_embeddings": "a", "visual_embeddings": "b"}
    both, one = SYSTEMS["pipeline"], SYSTEMS["audio"]
    assert not {"mixup", "mixup_lambda"} & set(Settings(**given).identity(both))
    assert {"mixup", "mixup_lambda"} < set(Settings(mixup=0.2, **given).identity(both))
    assert "mixup_lambda" not in Settings(mixup=0.2).identity(one)
    with pytest.raises(SettingError, match=r"--mixup is 0\.2 and --frames-per-image is all"):
        Settings(mixup=0.2, frames_per_image="all")
    separate = {"mixup_lambda": "separate", "unimodal_heads": 1.0}
    with pytest.raises(SettingError, match="Use --mixup-lambda shared, or only one of them"):
        Settings(mixup=0.2, **separate)
    assert Settings(**separate).mixing(both, 3) is None
    with pytest.raises(SettingError, match="--batch-size is 15: --mixup needs an even number"):
        on_vectors(world, tmp_path / "odd", mixup=0.2, batch_size=15)
    with pytest.raises(SettingError, match="in each of 3 slices of it; wanted a multiple of 6"):
        mixup.check_pairs(15, 3)
    assert not (tmp_path / "odd").exists()
