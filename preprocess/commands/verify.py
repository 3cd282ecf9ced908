"""``avsc-prep verify``: recompute every checksum of a store."""

from pathlib import Path

import click

from avsc.features.store.verify import verify as verify_store
from avsc.manifests.errors import DONE, VERIFICATION_FAILED
from avsc.manifests.help import Verb


@click.command(cls=Verb, example="avsc-prep verify stores/TAU2021")
@click.argument("store", type=click.Path(path_type=Path))
def verify(store: Path) -> int:
    """Read every byte of a closed STORE and compare it with its checksums; changes nothing."""
    result = verify_store(store)
    for problem in result.problems:
        click.echo(problem, err=True)
    click.echo(f"{result.parts} parts, {result.records} records, {len(result.problems)} problems")
    click.echo(f"Fingerprint {result.fingerprint}")
    if result.earlier:
        click.echo(
            f"The store was closed with {result.earlier}, a fingerprint of ids and records alone, "
            "which fits them."
        )
    if not result.problems:
        return DONE
    click.echo("Run `avsc-prep extract --check content` to make what is damaged again.", err=True)
    return VERIFICATION_FAILED
