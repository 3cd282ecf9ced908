"""``avsc-prep synth``: synthesise a miniature data set."""

import os
import shlex
from collections import Counter
from pathlib import Path

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings


def read_size(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    """Return the (width, height) that ``320x180`` stands for."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r}; width and height such as 320x180 are wanted.")
    return int(width), int(height)


@click.command(cls=Verb, example="avsc-prep synth --out data/miniature")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make it in.")
@click.option("--clips-per-scene", type=int, default=12, show_default=True, help="At least 4.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option(
    "--size",
    metavar="WxH",
    callback=read_size,
    default="320x180",
    show_default=True,
    help="Size of the images, pixels.",
)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of a clip.")
@click.option(
    "--world",
    metavar="[NAME]",
    is_flag=False,
    flag_value="world",
    default="miniature",
    help="Use another design than the miniature's ring: world (scenes overlap; also without NAME) "
    "or faint-cue (a faint sound decides beside the picture).",
)
@click.option(
    "--pictures-out",
    type=click.Path(path_type=Path),
    help="Also make labelled images in this folder, for avsc-fit places.",
)
@click.option(
    "--pictures-per-class",
    type=int,
    help="Training images per class; a fifth as many for validation.  [default: 200]",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@settings
def synth(
    out: Path,
    clips_per_scene: int,
    seed: int,
    size: tuple[int, int],
    seconds: float,
    world: str,
    pictures_out: Path | None,
    pictures_per_class: int | None,
    workers: int | None,
) -> int:
    """Synthesise a miniature of TAU2021: its layout and scenes, with synthetic audio and video.

    Audio alone or video alone identifies half of the scenes, both together all of them. With
    --world scenes overlap, and both together identify most. The best possible scores are kept in
    world.json. Safe to run again: only what is missing is made.
    """
    from avsc.preprocess.synth.designs import named_design
    from avsc.preprocess.synth.labelled_images import write_labelled
    from avsc.preprocess.synth.miniature import write_miniature

    if pictures_per_class is not None and pictures_out is None:
        raise click.UsageError("--pictures-per-class needs --pictures-out.")
    design = named_design(world)
    clips = write_miniature(
        out,
        design=design,
        clips_per_scene=clips_per_scene,
        seed=seed,
        seconds=seconds,
        size=size,
        workers=workers or len(os.sched_getaffinity(0)),
        begin=lambda missing: click.echo(f"{out}: {missing} clips to make"),
    )
    folds = Counter(clip.fold for clip in clips)
    places = len({clip.location for clip in clips})
    click.echo(
        f"{len(clips)} clips of {len(design.scenes)} scenes at {places} places: "
        f"{folds['train']} to train on, {folds['test']} to test."
    )
    for name, best in design.best_possible().items():
        click.echo(
            f"  best from {name}: accuracy {best.accuracy:.3f}, log-loss {best.log_loss:.3f}"
        )
    if pictures_out is not None:
        made = write_labelled(
            pictures_out,
            design,
            per_class=200 if pictures_per_class is None else pictures_per_class,
            seed=seed,
            size=size,
        )
        click.echo(f"{pictures_out}: {made} labelled images")
    command = ["avsc-prep", "extract", "--dataset", "TAU2021", "--root", str(out)]
    click.echo(f"Next: {shlex.join(command)}")
    return DONE
