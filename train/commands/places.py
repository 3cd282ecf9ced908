"""``avsc-fit places``: train an image model on labelled pictures, for ``--visual-weights``."""

import shlex
from pathlib import Path
from typing import Any

import click

from avsc.manifests.shell import settings
from avsc.train.commands.fit import options, waiting
from avsc.train.settings import PlacesSettings


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/places"),
    show_default=True,
    help="Folder of the run.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with the run in --out if there is one, or rename it and begin anew.",
)
@waiting
@options(PlacesSettings)
@settings
def places(out: Path, resume: bool, wait: bool, **values: Any) -> int:
    """Train an image model on Places365, or on any folder of labelled pictures.

    Name the run's folder by --visual-weights, with the same --backbone, to train systems with it.
    """
    from avsc.train.fit.prepare_places import prepare_places
    from avsc.train.fit.train import run_training

    chosen = PlacesSettings(**values)
    following = ["avsc-fit", "joint", "--backbone", chosen.backbone]
    if chosen.image_size is not None:
        following += ["--image-size", str(chosen.image_size)]
    return run_training(
        lambda folder, console, _, processes: prepare_places(
            chosen, folder, resume, console, processes
        ),
        out,
        shlex.join([*following, "--visual-weights", str(out)]),
        wait,
    )
