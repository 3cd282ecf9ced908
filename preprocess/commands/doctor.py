"""``avsc-prep doctor``: try out what extraction needs."""

from pathlib import Path

import click

from avsc.manifests.errors import BAD_DATA, DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.preprocess.workers.batch_systems import BATCH_SYSTEMS


@click.command(cls=Verb, example="avsc-prep doctor --out stores --root data/TAU2021")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="stores",
    show_default=True,
    help="Folder for stores; it need not exist yet.",
)
@click.option("--root", type=click.Path(path_type=Path), help="Folder of a data set.")
@click.option(
    "--cluster", type=click.Choice(list(BATCH_SYSTEMS)), help="Also check this batch system."
)
@settings
def doctor(out: Path, root: Path | None, cluster: str | None) -> int:
    """Check what extraction needs of this machine, its file systems and its cluster.

    One line for each check; one that fails names the remedy. Leaves nothing behind. Run it where
    the workers will run, for what holds on a login node may not hold on the others.
    """
    from avsc.manifests.checks import examine
    from avsc.preprocess.doctor.checklist import checks_for
    from avsc.preprocess.doctor.target import Target, trial_folder

    fatal = 0
    try:
        with trial_folder(out) as folder:
            target = Target(out, folder, root, cluster)
            for finding in examine(target, checks_for(target)):
                click.echo(str(finding))
                fatal += finding.is_fatal
    except OSError as fault:
        click.echo(f"FAIL  folder: {fault.filename}: {fault.strerror}. Name another with --out.")
        fatal += 1
    if fatal == 0:
        return DONE
    click.echo(f"{fatal} of what extraction needs does not work here.", err=True)
    return BAD_DATA
