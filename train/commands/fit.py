"""``avsc-fit audio|video|joint``: train one system on a store."""

from pathlib import Path
from typing import Any

import click

from avsc.manifests.shell import DONE, settings
from avsc.train.config import Settings, options
from avsc.train.systems import SYSTEMS, System


def command(system: System) -> click.Command:
    """Return the command that trains a system."""

    @click.command(system.name, help=system.help)
    @click.option(
        "--store",
        type=click.Path(path_type=Path),
        default=Path("stores/TAU2021"),
        show_default=True,
        help="A closed store, from avsc-prep extract.",
    )
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        help=f"Folder of the run.  [default: runs/{system.name}]",
    )
    @click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Go on with the run that --out holds, or put it aside and start anew.",
    )
    @options
    @settings
    def fit(store: Path, out: Path | None, resume: bool, **chosen: Any) -> int:
        run = out or Path("runs") / system.name
        return train(Settings(system=system.name, **chosen), store, run, resume)

    return fit


def train(chosen: Settings, store_path: Path, run: Path, resume: bool) -> int:
    """Train a run, or go on with it; return the exit status."""
    from avsc.features.store.reader import Store
    from avsc.train.fit.prepare import prepare
    from avsc.train.fit.signals import Stop

    system = SYSTEMS[chosen.system]
    wanted = ([chosen.feature] if system.sound else []) + (["images"] if system.pictures else [])
    store = Store.open(store_path, wanted)
    with Stop() as stop:
        training = prepare(chosen, store, run, resume, click.echo)
        if not training.fit(stop):
            return stop.status
    at = training.progress
    if at.history and "validation_log_loss" in at.history[0]:
        click.echo(f"Best epoch {at.best_epoch}, validation log-loss {at.best:.4f}.")
    else:
        click.echo("No validation; the last epoch is kept as best.")
    click.echo(f"Next: avsc-fit evaluate {run}")
    return DONE


audio, video, joint = (command(SYSTEMS[name]) for name in ("audio", "video", "joint"))
