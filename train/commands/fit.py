"""``avsc-fit audio``, ``joint`` and the others, and ``places``: train one system.

Every system takes every option, so that one file of settings and one script serve all; a setting of
an input that a system does not have has no effect on it, which the run says.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click

from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.settings.declared import CheckedSettings, choices, option, plain_type
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings
from avsc.train.systems import ENCODER, VERBS, System, trained_alone

Command = Callable[..., Any]
Train = Callable[[Any, Path, bool, bool], int]
"""Trains by settings, in a folder, resuming or not, waiting or not; returns the exit status."""

GROUPS = {
    "Data": "store data data_name size feature acoustic_embeddings visual_embeddings embeddings",
    "Model": "concat backbone visual_weights image_size view acoustic_run visual_run dropout "
    "visual_stages",
    "Optimisation": "epochs batch_size augment frames_per_image optimiser lr_max lr_min lr_period "
    "lr_factor warmup recipe head_images batch_norm momentum weight_decay visual_lr_factor "
    "label_smoothing seed",
    "Validation": "validation validation_fraction validation_file protocol patience folds "
    "fold_number",
    "Beyond the paper": "preset modality_dropout modality_dropout_epochs validation_missing "
    "unimodal_heads teacher teacher_temperature teacher_weight shift fusion_norm mixup "
    "mixup_lambda weight_average",
    "Where it runs": "out resume wait save_minutes device workers accumulate "
    "checkpoint_activations precision compile",
}
"""Groups of options in the help of what trains."""


def fit_command(
    verb: str,
    about: str,
    declared: type[CheckedSettings],
    train: Train,
    example: str,
    defaults: Mapping[str, Any] | None = None,
) -> click.Command:
    """Return a command that trains.

    Args:
        verb: its name.
        about: its help.
        declared: the class of its settings, each of which is an option.
        train: called with them.
        example: arguments of an example.
        defaults: of settings, in place of the declared ones.
    """
    example = f"avsc-fit {verb} {example} --out runs/{verb}"

    @click.command(verb, cls=Verb, help=about, example=example, groups=GROUPS)
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("runs") / verb,
        show_default=True,
        help="Folder of the run.",
    )
    @click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Resume the run in --out if there is one, or rename it and start over.",
    )
    @click.option(
        "--wait",
        is_flag=True,
        help="Wait while another process trains in --out, instead of ending with status 1.",
    )
    @_options(declared, defaults or {})
    @settings
    def fit(out: Path, resume: bool, wait: bool, **values: Any) -> int:
        return train(declared(**values), out, resume, wait)

    return fit


def _options(
    declared: type[CheckedSettings], defaults: Mapping[str, Any]
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command one option for each declared setting."""

    def give(command: Command) -> Command:
        for field in reversed(fields(declared)):
            needed = field.default is MISSING
            default = {} if needed else {"default": defaults.get(field.name, field.default)}
            command = click.option(
                option(field.name),
                type=parameter(declared, field.name),
                required=needed,
                show_default="[default: " not in field.metadata["help"],
                help=field.metadata["help"],
                **default,
            )(command)
        return command

    return give


def parameter(declared: type[CheckedSettings], name: str) -> Any:
    """Return click's type of a setting."""
    if choices(declared, name):
        return click.Choice(choices(declared, name))
    kind = plain_type(declared, name)
    return click.Path(path_type=Path) if kind is Path else kind


def _system(system: System) -> Train:
    def train_system(chosen: Settings, out: Path, resume: bool, wait: bool) -> int:
        from avsc.train.fit.cross_validate import cross_validate
        from avsc.train.fit.train import train

        if chosen.folds:
            return cross_validate(system, chosen, out, resume, wait)
        return train(system, chosen, out, resume, wait)

    return train_system


def _places(chosen: PlacesSettings, out: Path, resume: bool, wait: bool) -> int:
    from avsc.train.fit.train import train_images

    return train_images(chosen, out, resume, wait)


def _example(system: System) -> str:
    """Return the arguments that a system needs, and its store."""
    needs = ["--store stores/TAU2021"]
    for modality, branch in system.branches.items():
        encoder, vectors = ENCODER[modality], branch.reads == "vectors"
        if vectors:
            needs.append(f"--{encoder}-embeddings openl3-{encoder}.h5")
        if branch.start == "run":
            needs.append(f"--{encoder}-run runs/{trained_alone(modality, vectors=vectors)}")
    return " ".join(needs)


for _verb, _row in VERBS.items():
    globals()[_verb.replace("-", "_")] = fit_command(
        _verb, _row.about, Settings, _system(_row), _example(_row), _row.defaults
    )

places = fit_command(
    "places",
    "Train an image model on Places365, or on any folder of labelled images.\n\n"
    "To train systems with it, name its folder by --visual-weights, with the same --backbone.",
    PlacesSettings,
    _places,
    "--data data/places365",
)
