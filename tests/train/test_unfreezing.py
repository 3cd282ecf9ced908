"""The image model trained from a stage on, and at a learning rate of its own."""

import pytest
import torch
from stores import small_store
from systems import fit_for, make

from avsc.manifests.errors import SettingError
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfrozen")
    small_store(folder / "store", products=("scalogram", "images"), seconds=2)
    return folder


def started(world, out, **changes):
    """Make end-to-end ready; its image model has the stages 0 to 5: stem, blocks.0 to blocks.4."""
    return make(world, out, "end-to-end", **{"epochs": 1, "batch_size": 16, **changes})


def copied(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_the_last_stages_learn_and_the_others_do_not(world, tmp_path):
    trainer = started(world, tmp_path / "run", visual_stages=1)
    before = copied(trainer.network)
    assert trainer.fit()
    after = copied(trainer.network)
    last = ("visual.model.blocks.4.", "visual.model.conv_head", "visual.model.bn2.")
    for name, value in before.items():
        if name.startswith("visual."):
            assert torch.equal(value, after[name]) != name.startswith(last), name
    assert not torch.equal(
        before["classifier.layers.0.weight"], after["classifier.layers.0.weight"]
    )
    normalisations = [layer for layer in trainer.network.visual.modules()
                      if isinstance(layer, torch.nn.BatchNorm2d)]  # fmt: skip
    trainer.network.train()
    modes = [layer.training for layer in normalisations]
    assert 0 < sum(modes) < len(modes) and modes == sorted(modes)


def test_its_rate_is_a_multiple_of_the_others(world, tmp_path):
    """One step of SGD without momentum moves by the rate times the gradient."""
    moved = {}
    for factor in (1.0, 0.1):
        trainer = started(world, tmp_path / f"run-{factor}", visual_lr_factor=factor, momentum=0.0,
                          visual_stages=2)  # fmt: skip
        before = copied(trainer.network)
        trainer.network.train()
        trainer._step(next(trainer._batches()))
        moved[factor] = {
            name: value - before[name] for name, value in trainer.network.named_parameters()
        }
    for name, full in moved[1.0].items():
        factor = 0.1 if name.startswith("visual") else 1.0
        torch.testing.assert_close(moved[0.1][name], factor * full, rtol=1e-3, atol=1e-7)
    groups = trainer.optimiser.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([1e-2, 1e-3])


def test_a_run_that_was_stopped_ends_as_one_that_was_not(world, tmp_path):
    how = {"visual_stages": 1, "visual_lr_factor": 0.1}
    assert started(world, tmp_path / "straight", **how).fit()
    assert not fit_for(started(world, tmp_path / "run", **how), 3)
    resumed = started(world, tmp_path / "run", **how)
    assert resumed.progress.batch > 0 and resumed.fit()
    straight, run = (tmp_path / name / "metrics.csv" for name in ("straight", "run"))
    assert straight.read_bytes() == run.read_bytes()


def test_what_depends_on_it_and_what_is_refused(world, tmp_path):
    how = {"visual_stages": 1, "visual_lr_factor": 0.1}
    assert set(how) < set(Settings(**how).identity(SYSTEMS["end-to-end"]))
    for system, settings in (("joint", Settings(**how)), ("end-to-end", Settings())):
        assert not set(how) & set(settings.identity(SYSTEMS[system]))
    joint = make(world, tmp_path / "joint", "joint", **how)
    assert len(joint.optimiser.param_groups) == 1 and joint.network.frozen_visual
    with pytest.raises(SettingError, match="--visual-stages is 7, but the image model has 6"):
        started(world, tmp_path / "no", visual_stages=7)
    assert not (tmp_path / "no").exists()
    everything = started(world, tmp_path / "all", visual_stages=6)
    assert all(p.requires_grad for p in everything.network.visual.parameters())
