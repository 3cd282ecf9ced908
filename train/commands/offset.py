"""``avsc-fit offset``: by how much a recording's sound and images are apart."""

from pathlib import Path

import click
from click.core import ParameterSource

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import computing_options
from avsc.train.settings.declared import option

AT_ONCE = 256  # samples whose embeddings are computed together
TRAINING = ("max_offset", "epochs", "patience", "seed", "store", "workers")
"""Options of the head's training; files and variables may set them all the same."""


@click.command(cls=Verb, example="avsc-fit offset runs/joint --input lecture.mp4")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "recording",
    type=click.Path(path_type=Path),
    help="Recording whose offset is stated by the head that was trained before.",
)
@click.option(
    "--audio",
    type=click.Path(path_type=Path),
    help="File of its sound, if that is not the recording's own.",
)
@click.option(
    "--max-offset",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Largest offset that the head tells, seconds; clips are at least two seconds longer.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=200, show_default=True, help="Epochs to train."
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Stop after this many epochs without improvement in validation.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")
@click.option("--store", type=click.Path(path_type=Path), help="The run's store, if it has moved.")
@computing_options
@settings
def offset(
    run: Path,
    recording: Path | None,
    audio: Path | None,
    max_offset: int,
    epochs: int,
    patience: int,
    seed: int,
    store: Path | None,
    device: str,
    workers: int | None,
) -> int:
    """Train a small head on a RUN's embeddings that finds the offset, or state one by it.

    It is trained on shifts within the clips of the run's training part, and tested on those of the
    test part. With --input it says by how much the audio of a recording is late.
    """
    if recording is not None:
        source = click.get_current_context().get_parameter_source
        for name in TRAINING:
            if source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(
                    f"{option(name)} is of the head's training, and --input asks the head that was "
                    "trained. Omit it, or train another head first, without --input."
                )
        from avsc.train.infer import load

        click.echo(str(load(run, device=device).offset(recording, audio=audio)))
        return DONE
    if audio is not None:
        raise click.UsageError(f"--audio is {audio}, but no recording is named by --input.")
    from avsc.train.evaluate.offset import OffsetRequest, train_offset
    from avsc.train.fit.compute import Computing
    from avsc.train.fit.console import Console
    from avsc.train.fit.memory import memory_limit

    request = OffsetRequest(run, max_offset, epochs, patience, seed, store)
    with Console() as console, memory_limit("Compute on the CPU by --device cpu."):
        computing, text = Computing.chosen(device, AT_ONCE, workers)
        console.say(text)
        found = train_offset(request, computing, console)
        chance = 1 / (2 * max_offset + 1)
        console.say(
            f"test: {found.clips} clips at each of {2 * max_offset + 1} offsets: found "
            f"{100 * found.accuracy:.1f} % (chance {100 * chance:.1f} %), within 1 s "
            f"{100 * found.within_1s:.1f} %; mean probability of what was found "
            f"{found.confidence:.2f}; log-loss {found.log_loss:.3f}"
        )
        console.say(f"report: {run / 'offset' / 'offset.json'}")
    return DONE
