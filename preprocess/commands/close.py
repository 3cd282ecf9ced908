"""``avsc-prep close``: finish a store whose parts came from job arrays."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from avsc.features.store.layout import Description, clips_file, read_description
from avsc.manifests import escape
from avsc.manifests.clips import Clip
from avsc.manifests.errors import DONE, DONE_WITH_FAILURES, StoreError
from avsc.manifests.help import Verb
from avsc.manifests.table import read_rows

if TYPE_CHECKING:
    from avsc.features.store.reader import Store
    from avsc.preprocess.close import Closed

SHOWN = 10


@click.command(cls=Verb, example="avsc-prep close stores/TAU2021")
@click.argument(
    "stores", metavar="STORE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
def close(stores: tuple[Path, ...]) -> int:
    """Finish each STORE whose parts were made by `extract --part`: index, failures, fingerprint."""
    from avsc.preprocess.block_claims import claimed_blocks

    statuses = []
    for store in stores:
        description = read_description(store)
        clips = tuple(read_rows(clips_file(store)))
        if makers := claimed_blocks(store):
            block, maker = next(iter(makers.items()))
            raise StoreError(
                f"{store}: {len(makers)} blocks are still being made (block {block} by {maker}). "
                "Close it when their jobs have ended."
            )
        statuses.append(show(store, finish(store, clips, description)))
    return max(statuses)


def finish(store: Path, clips: tuple[Clip, ...], description: Description) -> "Closed":
    """Close a store and say what it came to."""
    from avsc.preprocess.close import close as close_store

    done = close_store(store, clips, description)
    if done.environments > 1:
        click.echo(
            f"Note: the parts were made in {done.environments} different environments (versions or "
            "processors); their last bits may differ."
        )
    click.echo(f"Closed. Largest worker {done.peak_memory / 1e6:.0f} MB.")
    return done


def show(path: Path, store: "Closed | Store") -> int:
    """Say a closed store's fingerprint and what it lacks; return the exit status.

    Nothing is read: another run may have opened the store again by now.
    """
    click.echo(f"Fingerprint {store.fingerprint}")
    if not store.failures:
        return DONE
    click.echo(f"{len(store.failures)} things could not be made; see {path}/failures.csv:")
    for failure in store.failures[:SHOWN]:
        click.echo(escape.terminal(f"  {failure.clip} {failure.product}: {failure.message}"))
    if len(store.failures) > SHOWN:
        click.echo(f"  and {len(store.failures) - SHOWN} more")
    return DONE_WITH_FAILURES
