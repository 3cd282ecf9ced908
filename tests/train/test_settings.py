"""Settings: the paper's defaults, limits, options, and which of them a run's numbers depend on."""

import doctest
import json
from dataclasses import fields, replace
from pathlib import Path

import click
import pytest

from avsc.manifests.errors import SettingError
from avsc.train.commands.fit import audio, joint, video
from avsc.train.settings import scenes as config
from avsc.train.settings.computing import ComputingSettings
from avsc.train.settings.declared import option
from avsc.train.settings.scenes import Settings
from avsc.train.settings.tuning import TuningSettings
from avsc.train.systems import SYSTEMS


def test_examples():
    assert doctest.testmod(config).failed == 0


def test_defaults_are_the_papers():
    paper = {
        "feature": "scalogram",
        "backbone": "effnetv2-s",
        "visual_weights": "pretrained",
        "batch_size": 256,
        "epochs": 150,
        "lr_max": 1e-2,
        "lr_min": 1e-5,
        "dropout": 0.5,
        "augment": "crop,flip,jitter",
    }
    assert {name: getattr(Settings(), name) for name in paper} == paper


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("batch_size", 1, "--batch-size is 1; wanted 2 or more."),
        ("epochs", 0, "--epochs is 0; wanted 1 or more."),
        ("lr_max", 0.0, "--lr-max is 0.0; wanted above 0."),
        ("lr_max", float("nan"), "--lr-max is nan; wanted above 0 and finite."),
        ("lr_max", float("inf"), "--lr-max is inf; wanted finite."),
        ("lr_min", 0.5, "--lr-min is 0.5, above --lr-max"),
        ("dropout", 1.5, "--dropout is 1.5; wanted 1 or less."),
        ("validation_fraction", 0.0, "--validation-fraction is 0.0; wanted above 0."),
        ("validation", "half", "--validation is 'half'; one of location, random, file, none."),
        ("validation", "file", "--validation-file is None"),
        ("validation_file", Path("x"), "--validation is location"),
        ("patience", -1, "--patience is -1; wanted 0 or more."),
        ("workers", -1, "--workers is -1; wanted 0 or more."),
        ("image_size", 0, "--image-size is 0; wanted 1 or more."),
        ("seed", -1, "--seed is -1; wanted 0 or more."),
        ("frames_per_image", "0", "--frames-per-image is '0'; a number, 1 or more, or all."),
        ("frames_per_image", "some", "--frames-per-image is 'some'; a number, 1 or more, or all."),
    ],
)
def test_values_out_of_their_limits_are_named(name, value, text):
    with pytest.raises(SettingError) as fault:
        Settings(**{name: value})
    assert text in str(fault.value)


def test_patience_needs_a_validation():
    with pytest.raises(SettingError, match="--patience is 3, but --validation none"):
        Settings(validation="none", patience=3)


def test_every_setting_is_an_option_of_every_system():
    for command in (audio, video, joint):
        found = {o: p for p in command.params if isinstance(p, click.Option) for o in p.opts}
        for each in fields(Settings):
            assert found[option(each.name)].default == each.default
            assert found[option(each.name)].help == each.metadata["help"]


def test_numbers_depend_on_the_settings_of_the_inputs_that_there_are():
    settings = Settings(
        frames_per_image="all", modality_dropout=0.3, shift=2, fusion_norm="batch",
        unimodal_heads=0.5, precision="float32", accumulate=2, validation_missing=0.5,
    )  # fmt: skip
    dropped = {"modality_dropout", "modality_dropout_epochs", "validation_missing"}
    fused = {"shift", "fusion_norm", "unimodal_heads"}
    off = {each.name for each in fields(TuningSettings)} - {
        each.name for each in fields(ComputingSettings)
    }
    off |= {"folds", "fold_number"}
    sound, sight = (set(settings.identity(SYSTEMS[name])) for name in ("audio", "video"))
    both = set(settings.identity(SYSTEMS["joint"]))
    assert both - sight == {"feature", "concat", "frames_per_image", *dropped, *fused}
    assert both - sound == {
        "backbone", "visual_weights", "image_size", "view", "augment", "frames_per_image",
        "precision", *dropped, *fused,
    }  # fmt: skip
    assert "frames_per_image" not in settings.identity(SYSTEMS["ablation-2"])
    # Runs from before there was the choice go on.
    assert both - set(Settings().identity(SYSTEMS["joint"])) == {
        "frames_per_image", "precision", "accumulate", *dropped, *fused
    }  # fmt: skip
    assert not dropped & set(Settings(modality_dropout_epochs=3).identity(SYSTEMS["joint"]))
    # What runs and files give is known by its content, which a run's records hold.
    given = {"acoustic_run", "visual_run", "acoustic_embeddings", "visual_embeddings", "embeddings"}
    given |= {"teacher", "teacher_temperature", "teacher_weight"}  # the last two go with the first
    free = {"store", "epochs", "validation_file", "patience", "device", "workers", "compile"}
    free |= {"preset"}
    free |= {"save_minutes", "checkpoint_activations"}
    assert {each.name for each in fields(Settings)} - both == free | given | off


def test_a_record_is_json_and_comes_back():
    settings = replace(Settings(), validation="file", validation_file=Path("a/b.csv"), workers=3)
    assert Settings.from_record(json.loads(json.dumps(settings.record()))) == settings
    with pytest.raises(SettingError, match="unknown setting 'learning_rate'"):
        Settings.from_record({"learning_rate": 1})


@pytest.mark.parametrize(
    ("system", "values", "names"),
    [
        ("joint", {}, []),
        ("joint", {"validation_missing": 0.5, "modality_dropout": 0.3, "mixup": 0.2}, []),
        ("end-to-end", {"visual_stages": 1, "visual_lr_factor": 0.1}, []),
        (
            "joint",
            {"visual_stages": 1, "mixup_lambda": "separate"},
            ["mixup_lambda", "visual_stages"],
        ),
        ("joint", {"validation_missing": 0.5, "epochs": 3}, ["validation_missing"]),
        ("joint", {"teacher_weight": 0.9}, ["teacher_weight"]),
        ("audio", {"shift": 1, "fusion_norm": "layer"}, ["fusion_norm", "shift"]),
        ("audio", {"teacher": Path("runs/joint"), "teacher_weight": 0.9, "augment": "none"}, []),
        ("baseline-audio", SYSTEMS["baseline-audio"].defaults, []),
    ],
)
def test_options_without_effect_are_named(system, values, names):
    files = {"acoustic_embeddings": Path("a.h5")} if system.startswith("baseline") else {}
    found = Settings(**values, **files).without_effect(SYSTEMS[system])
    assert sorted(found) == sorted(map(option, names))
