"""``avsc-prep browse``: a page of what a store holds, to look at."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings


@click.command(cls=Verb, example="avsc-prep browse stores/TAU2021")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="[default: STORE/browse/index.html]")
@click.option("--clip", "clips", multiple=True, help="Show this clip; may be given several times.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Clips to draw, as evenly from all scenes as they allow.",
)
@click.option("--all", "every", is_flag=True, help="Show all clips.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the drawing.")
@click.option("--media", is_flag=True, help="Also their sound (Opus), from the recordings.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the recordings, for --media.  [default: that of the last extraction]",
)
@click.option("--single-file", is_flag=True, help="Write one file, of at most 100 clips.")
@settings
def browse(
    store: Path,
    out: Path | None,
    clips: tuple[str, ...],
    sample: int,
    every: bool,
    seed: int,
    media: bool,
    root: Path | None,
    single_file: bool,
) -> int:
    """Write a page that shows what a closed STORE holds: images, acoustic frames, failures.

    It opens in any browser from wherever its folder was copied to.
    """
    from avsc.features.pages.clip_sounds import ClipSounds
    from avsc.features.pages.page import write_page
    from avsc.features.store.reader import Store
    from avsc.manifests.folder_claims import claimed
    from avsc.preprocess.browse import choose, page
    from avsc.preprocess.progress import Reporter

    opened = Store.open(store)
    rows = choose(opened, clips, None if every else sample, seed)
    sound = ClipSounds(opened, root) if media else None
    path = out or store / "browse" / "index.html"

    def shown(numbers: Iterable[int]) -> Iterator[int]:
        with Reporter(len(rows), "browse") as reporter:
            for number in numbers:
                yield number
                reporter.advance(1, 0)

    made = page(opened, rows, sound)
    doing = "a page is being written here"
    with claimed(path.parent, doing, "", click.echo, wait=True) as claim:
        write_page(path, made, single_file, shown, claim.check)
    for note in sound.notes() if sound else ():
        click.echo(note, err=True)
    click.echo(f"{len(rows)} of {len(opened.clips)} clips: {path}")
    return DONE
