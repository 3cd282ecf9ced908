"""``avsc-fit doctor``: try out what training needs."""

import click

from avsc.manifests.errors import BAD_DATA, DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings


@click.command(cls=Verb, example="avsc-fit doctor --backbone resnet50")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--backbone", default="effnetv2-s", show_default=True, help="Image model of the timed step."
)
@click.option(
    "--image-size",
    type=click.IntRange(1),
    help="Height and width that it sees, pixels.  [default: its own]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    default=8,
    show_default=True,
    help="Samples of the timed step.",
)
@settings
def doctor(device: str, backbone: str, image_size: int | None, batch_size: int) -> int:
    """Try out what training needs of this machine, and time a step of the joint system.

    One line for each check; one that fails names the remedy. Downloads nothing and leaves nothing
    behind.
    """
    from avsc.manifests.checks import examine
    from avsc.train.fit.doctor import DEVICE, OTHERS, Trial

    trial = Trial(device, backbone, image_size, batch_size)
    fatal = 0
    for checks in ((DEVICE,), OTHERS):
        for finding in examine(trial, checks):
            click.echo(str(finding))
            fatal += finding.is_fatal
        if fatal and checks == (DEVICE,):
            trial = Trial("cpu", backbone, image_size, batch_size)
    if fatal == 0:
        return DONE
    click.echo(f"{fatal} of what training needs does not work here.", err=True)
    return BAD_DATA
