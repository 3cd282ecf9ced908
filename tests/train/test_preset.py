"""Presets: values of several options, which give way to those that are given."""

import click
import pytest
from click.testing import CliRunner

from avsc.train.commands.fit import fit_command, places
from avsc.train.settings.robust import PRESETS
from avsc.train.settings.scenes import Settings

ROBUST = PRESETS.rows["robust"]


@pytest.fixture
def joint(tmp_path):
    """Return what settings the command makes of its arguments."""

    def made(*arguments, env=None):
        seen = []
        command = fit_command("joint", "", Settings, lambda chosen, *_: seen.append(chosen), "")
        done = CliRunner().invoke(command, [str(each) for each in arguments], env=env)
        return seen[0] if seen else done

    return made


def test_a_preset_gives_way_to_what_is_given(joint, tmp_path):
    robust = joint("--preset", "robust")
    assert robust == Settings(preset="robust") != Settings() == joint()
    assert {name: getattr(robust, name) for name in ROBUST} == ROBUST
    assert joint("--preset=robust", "--modality-dropout=0") == Settings(
        preset="robust", modality_dropout=0.0
    )
    config = tmp_path / "settings.toml"
    config.write_text('preset = "robust"\nmodality-dropout = 0.1\n')
    assert joint("--config", config).modality_dropout == 0.1
    assert joint("--config", config).unimodal_heads == ROBUST["unimodal_heads"]
    given = joint("--preset=robust", env={"AVSC_UNIMODAL_HEADS": "0"})
    assert given.unimodal_heads == 0 and given.modality_dropout == robust.modality_dropout


def test_a_preset_is_shown_and_others_are_refused(joint):
    shown = " ".join(joint("--help").output.split()).replace("- ", "-")  # wrapped at hyphens
    assert "robust: --modality-dropout 0.5 --unimodal-heads 1.0 --validation-missing 1.0 " in shown
    assert "0.3 --validation-missing 1.0 --weight-average 0.99 --weight-decay 0.01." in shown
    refused = joint("--preset=rubust")
    assert refused.exit_code == 2 and "'robust'" in refused.output
    assert all(each.name != "preset" for each in places.params if isinstance(each, click.Option))
