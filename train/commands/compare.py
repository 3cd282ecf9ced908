"""``avsc-fit compare``: two systems on the same segments, and whether they differ."""

from pathlib import Path

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings


@click.command(cls=Verb, example="avsc-fit compare runs/joint runs/pipeline")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="Store or manifest that says each clip's scene, city and location.  [default: the store "
    "of a run]",
)
@click.option(
    "--fold",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Which evaluation of a run.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "centred", "clip"]),
    default="strict",
    show_default=True,
    help="Which predictions of a run.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100),
    default=10_000,
    show_default=True,
    help="Resamples of the locations within each scene, and sign flips.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the resampling."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: comparisons/FIRST-SECOND]",
)
@settings
def compare(
    first: Path,
    second: Path,
    truth: Path | None,
    fold: str,
    protocol: str,
    resamples: int,
    seed: int,
    out: Path | None,
) -> int:
    """Compare FIRST and SECOND: evaluated runs, or predictions in the challenge's form."""
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.compare import compare as compare_segments
    from avsc.train.evaluate.compare_report import (
        comparison_tables,
        in_words,
        legend,
        write_comparison,
    )
    from avsc.train.evaluate.submissions import find_truth, read_entrant

    known = find_truth(truth, first, second, fold=fold)
    here, there = (read_entrant(path, protocol, known, fold) for path in (first, second))
    how = Resampling(resamples, seed)
    found = compare_segments(here, there, known.clips, known.classes, how)
    rows = set(here.clip.tolist())
    tested = [row for row, clip in enumerate(known.clips) if clip.fold == "test"]
    stamp = {
        "first": str(first),
        "second": str(second),
        "truth": str(known.path),
        "protocol": protocol,
        "segments": len(here),
        "clips": len(rows),
        "clips of the test fold": f"{len(rows.intersection(tested))} of {len(tested)}",
        "resamples": resamples,
        "seed": seed,
    }
    folder = out or Path("comparisons") / f"{first.stem}-{second.stem}"
    write_comparison(folder, found, stamp)
    click.echo(f"first:  {first}\nsecond: {second}")
    click.echo(f"{len(here):,} segments; {stamp['clips of the test fold']} clips of the test fold")
    click.echo(f"\n{comparison_tables(found)}\n\n{legend(found, resamples)}")
    click.echo(f"\n{in_words(found, resamples)}")
    click.echo(f"report: {folder / 'comparison.md'}")
    return DONE
