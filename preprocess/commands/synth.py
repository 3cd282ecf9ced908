"""``avsc-prep synth``: make a miniature data set."""

import os
from collections import Counter
from pathlib import Path

import click

from avsc.manifests.shell import DONE, settings


def read_size(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    """Return the (width, height) that ``320x180`` stands for."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r}; width and height such as 320x180 are wanted.")
    return int(width), int(height)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make it in.")
@click.option("--clips-per-scene", type=int, default=12, show_default=True, help="At least 4.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything drawn.")
@click.option(
    "--size",
    metavar="WxH",
    callback=read_size,
    default="320x180",
    show_default=True,
    help="Pixels of a picture.",
)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of a clip.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@settings
def synth(
    out: Path,
    clips_per_scene: int,
    seed: int,
    size: tuple[int, int],
    seconds: float,
    workers: int | None,
) -> int:
    """Make a miniature of TAU2021: its layout and scenes, with made sounds and sights.

    Sound alone or sight alone tells half of the scenes, both together all of them. Run it again at
    will: only what is missing is made.
    """
    from avsc.preprocess.synth.design import DESIGN, best_possible, joint
    from avsc.preprocess.synth.miniature import write_miniature

    clips = write_miniature(
        out,
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
        f"{len(clips)} clips of {len(DESIGN)} scenes at {places} places: {folds['train']} to train "
        f"on, {folds['test']} to test."
    )
    for name, best in best_possible(joint(DESIGN)).items():
        click.echo(
            f"  best from {name}: accuracy {best.accuracy:.2f}, log-loss {best.log_loss:.3f}"
        )
    click.echo(f"Next: avsc-prep extract --dataset TAU2021 --root {out}")
    return DONE
