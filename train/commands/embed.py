"""``avsc-fit embed``: embeddings by a run's encoders, or an image model, of a whole store."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from avsc.manifests.errors import DONE, SettingError
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import computing_options
from avsc.train.settings.declared import choices, option
from avsc.train.settings.scenes import Settings

if TYPE_CHECKING:
    from avsc.train.fit.embeddings import Encoder


GROUPS = {
    "Data": "store checkpoint out",
    "Image model, where no run is named": "backbone visual_weights image_size view seed",
    "Where it runs": "device batch_size workers",
}


@click.command(cls=Verb, example="avsc-fit embed runs/audio", groups=GROUPS)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--store", type=click.Path(path_type=Path), help="[default: the run's own store]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of stored embeddings.  [default: STORE-embeddings]",
)
@click.option("--backbone", help="Image model, if no run is named.")
@click.option("--visual-weights", help="Its weights: pretrained, random, or a file.")
@click.option("--image-size", type=click.IntRange(1), help="Its input height and width, pixels.")
@click.option(
    "--view", type=click.Choice(choices(Settings, "view")), help="How images are resized to it."
)
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights of the run's best epoch, or of its last checkpoint.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of random weights."
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Items at a time."
)
@computing_options
@settings
def embed(
    run: Path | None,
    store: Path | None,
    out: Path | None,
    checkpoint: Literal["best", "last"],
    seed: int,
    device: str,
    batch_size: int,
    workers: int | None,
    **model: Any,
) -> int:
    """Compute and store the embeddings of all clips of a store, by the encoders of a RUN.

    Without a RUN, by the image model that --visual-weights and --backbone name. pipeline and
    ablation-2 compute missing embeddings themselves; this does so beforehand, e.g. on another
    machine.
    """
    from avsc.features.store.reader import Store
    from avsc.train.fit.compute import Computing, Session
    from avsc.train.fit.console import Console
    from avsc.train.fit.embeddings import embeddings_folder
    from avsc.train.fit.make_embeddings import make_embeddings
    from avsc.train.fit.memory import memory_limit
    from avsc.train.fit.signals import StopRequest
    from avsc.train.model.acoustic import AcousticEncoder

    options = {name: value for name, value in model.items() if value is not None}
    if run is not None and options:
        name = option(next(iter(options)))
        raise SettingError(f"{name} says which image model, and so does {run}; omit one.")
    computing, text = Computing.chosen(device, batch_size, workers)
    if run is None:
        job = _named(Settings(**options, seed=seed, store=store or Settings().store))
    else:
        job = _of_run(run, checkpoint, store)
    products = [
        job.feature if isinstance(each, AcousticEncoder) else "images" for each in job.encoders
    ]
    opened = Store.open(job.store, products)
    folder = embeddings_folder(opened.path, out)
    remedy = f"Choose a --batch-size below {batch_size}."
    with StopRequest() as stop, Console() as console, memory_limit(remedy):
        console.say(text)
        session = Session(computing, console, stop)
        for encoder in job.encoders:
            made = make_embeddings(opened, job.feature, encoder, folder, session, option="--out")
            console.say(f"{made.products[0]}: {made.path}, fingerprint {made.fingerprint}")
    return DONE


class EmbeddingJob(NamedTuple):
    """The encoders of a set of embeddings, and what they encode.

    Attributes:
        encoders: acoustic, visual, or both.
        feature: acoustic product that the acoustic one takes.
        store: the store that they belong to.
    """

    encoders: "list[Encoder]"
    feature: str
    store: Path


def _named(settings: Settings) -> EmbeddingJob:
    from avsc.train.fit.trained_run import first_visual

    return EmbeddingJob([first_visual(settings)], settings.feature, settings.store)


def _of_run(run: Path, checkpoint: Literal["best", "last"], store: Path | None) -> EmbeddingJob:
    """Return a run's encoders of frames or images, and its store, or `store` in its place."""
    from avsc.train.fit.encoders import donor_encoder
    from avsc.train.fit.refs import find_store
    from avsc.train.fit.trained_run import restore
    from avsc.train.model.acoustic import AcousticEncoder
    from avsc.train.model.visual import VisualEncoder

    trained = restore(run, checkpoint)
    network = trained.network
    encoders: list[Encoder] = []
    if isinstance(network.acoustic, AcousticEncoder):
        encoders.append(network.acoustic)
    if isinstance(network.visual, VisualEncoder):
        encoder = donor_encoder(trained, "visual").encoder
        assert isinstance(encoder, VisualEncoder)
        encoders.append(encoder)
    if not encoders:
        raise SettingError(
            f"{run}: a run of {trained.record.system.name}, which reads stored embeddings and has "
            "no encoder of frames or images. Name a run that has, such as one of avsc-fit audio."
        )
    record = trained.record
    store = store or find_store(record.store.path, run, "Name it by --store.")
    return EmbeddingJob(encoders, record.settings.feature, store)
