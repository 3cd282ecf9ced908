"""``avsc-fit compare``: compare two systems on the same segments."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import page_options

if TYPE_CHECKING:
    from avsc.features.pages.page import Page

PAGE = "comparison.html"


@click.command(cls=Verb, example="avsc-fit compare runs/joint runs/pipeline")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="Store or manifest with each clip's scene, city and location.  [default: the store of "
    "the first run]",
)
@click.option(
    "--fold",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Which evaluation of a run to compare.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "centred", "clip"]),
    default="strict",
    show_default=True,
    help="Which predictions of a run to compare.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100),
    default=10_000,
    show_default=True,
    help="Resamples of the locations within each scene, and random sign patterns.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the resampling."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: comparisons/FIRST-SECOND]",
)
@page_options("comparison.html with every clip")
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
    page: bool,
    media: bool,
    root: Path | None,
    single_file: bool,
) -> int:
    """Compare FIRST and SECOND: evaluated runs, or predictions files in the challenge's form."""
    from avsc.features.pages.clip_sounds import ClipSounds
    from avsc.features.pages.page import check_page_options, remove_page
    from avsc.features.store.reader import Store
    from avsc.manifests.errors import SettingError
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.compare import compare as compare_segments
    from avsc.train.evaluate.compare_page import ComparisonPage
    from avsc.train.evaluate.compare_report import (
        comparison_tables,
        in_words,
        legend,
        write_comparison,
    )
    from avsc.train.evaluate.submissions import find_truth, read_submission

    check_page_options(page, media, single_file)
    known = find_truth(truth, first, second, fold=fold)
    segments, others = (read_submission(path, protocol, known, fold) for path in (first, second))
    resampling = Resampling(resamples, seed)
    comparison = compare_segments(segments, others, known.clips, known.classes, resampling)
    rows = set(segments.clip.tolist())
    tested = [row for row, clip in enumerate(known.clips) if clip.fold == "test"]
    of_test_fold = f"{len(rows.intersection(tested))} of {len(tested)}"
    provenance = {
        **{"first": str(first), "second": str(second), "truth": str(known.path)},
        **{"protocol": protocol, "segments": len(segments), "clips": len(rows)},
        **{"clips of the test fold": of_test_fold, "resamples": resamples, "seed": seed},
    }
    folder = out or Path("comparisons") / f"{first.stem}-{second.stem}"
    store = Store.open(known.path) if known.path.is_dir() else None
    if media and store is None:
        raise SettingError(f"--media needs a store, and the ground truth is {known.path}.")
    sound = ClipSounds(store, root) if media and store else None
    words, notes = in_words(comparison, resamples), legend(comparison, resamples)
    remove_page(folder / PAGE)  # of an earlier comparison, before its numbers go
    write_comparison(folder, comparison, provenance)
    if page:
        systems = [(str(first), segments), (str(second), others)]
        made = ComparisonPage(comparison, systems, known, store, sound).page([words, notes])
        _write_page(folder, made, single_file, sound.notes if sound else list)
    click.echo(f"first:  {first}\nsecond: {second}")
    click.echo(f"{len(segments):,} segments; {of_test_fold} clips of the test fold")
    click.echo(f"\n{comparison_tables(comparison)}\n\n{notes}\n\n{words}")
    click.echo(f"report: {folder / (PAGE if page else 'comparison.md')}")
    return DONE


def _write_page(
    folder: Path, page: "Page", single_file: bool, notes: Callable[[], Sequence[str]]
) -> None:
    from avsc.features.pages.page import write_page
    from avsc.manifests.folder_claims import claimed

    with claimed(folder, "a page is being written here", "", click.echo, wait=True) as claim:
        write_page(folder / PAGE, page, single_file, before=claim.check)
    for note in notes():
        click.echo(note)
