"""``avsc-fit tsne``: t-SNE maps of two runs' embeddings, as in Figure 2 of the paper."""

from pathlib import Path

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import computing_options


@click.command(cls=Verb, example="avsc-fit tsne runs/joint runs/pipeline")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--layers",
    default="fused,hidden,acoustic",
    show_default=True,
    help="Rows of the figure: fused (the classifier's input), hidden (its hidden units), acoustic "
    "(the acoustic encoder's output).",
)
@click.option(
    "--fold",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Clips to draw.",
)
@click.option(
    "--points",
    type=click.IntRange(10),
    default=2000,
    show_default=True,
    help="Largest number of segments to draw, balanced over the scenes.",
)
@click.option(
    "--perplexity",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
    help="Of t-SNE: about how many neighbours each point is placed by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the choice of points, and of t-SNE.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Samples at a time.",
)
@computing_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the figure.  [default: tsne/FIRST-SECOND]",
)
@settings
def tsne(
    first: Path,
    second: Path,
    layers: str,
    fold: str,
    points: int,
    perplexity: float,
    seed: int,
    device: str,
    batch_size: int,
    workers: int | None,
    out: Path | None,
) -> int:
    """Map the embeddings of the runs FIRST and SECOND by t-SNE, side by side, with numbers."""
    from avsc.train.fit.compute import Computing
    from avsc.train.fit.console import Console
    from avsc.train.fit.memory import memory_limit
    from avsc.train.paper.tsne_embeddings import named_layers
    from avsc.train.paper.tsne_maps import MapOptions, make_maps
    from avsc.train.paper.tsne_report import legend, numbers_table, write_maps

    options = MapOptions(named_layers(layers), fold, points, seed, perplexity)
    folder = out or Path("tsne") / f"{first.resolve().name}-{second.resolve().name}"
    provenance = {
        "first": str(first),
        "second": str(second),
        "fold": fold,
        "seed": seed,
        "perplexity": perplexity,
    }
    with Console() as console, memory_limit(f"Choose a --batch-size below {batch_size}."):
        computing, text = Computing.chosen(device, batch_size, workers)
        console.say(text)
        maps = make_maps((first, second), options, computing, console)
        write_maps(folder, maps, provenance)
        console.say(numbers_table(maps))
        console.say(legend(maps))
        console.say(f"figure: {folder / 'tsne.png'}")
    return DONE
