"""``avsc-fit evaluate``: evaluate a run on the test fold, as in the official task."""

from pathlib import Path
from typing import Any

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings

GROUPS = {
    "Data": "store fold allow_missing allow_other_store",
    "Model": "checkpoint temperature",
    "Scores": "protocol resamples seed",
    "Report": "out page media root single_file embeddings",
    "Where it runs": "device batch_size workers",
}


@click.command(cls=Verb, example="avsc-fit evaluate runs/joint", groups=GROUPS)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), help="[default: the run's own store]")
@click.option(
    "--fold",
    type=click.Choice(["test", "train", "validation"]),
    default="test",
    show_default=True,
    help="Clips to evaluate on; train and validation are the run's parts of the training fold.",
)
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights of the best epoch, or of the last checkpoint.",
)
@click.option(
    "--protocol",
    default="strict,centred",
    show_default=True,
    help="Which frames count: any of strict (windows wholly inside a second), centred (centred in "
    "it), clip (one prediction per clip, the mean over its frames; not the official task).",
)
@click.option(
    "--temperature",
    is_flag=True,
    help="Apply a temperature fitted on the run's validation clips.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100),
    default=10_000,
    show_default=True,
    help="Resamples of the locations within each scene, for the 95 % intervals.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the resampling."
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Score the segments that are there if some are missing.",
)
@click.option(
    "--allow-other-store",
    is_flag=True,
    help="Accept a store whose contents differ from what the run was trained on.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Samples at a time on a GPU; a CPU computes ten seconds of a clip at a time.  [default: "
    "the run's]",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Threads that prepare images; does not affect results.  [default: one per core]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: RUN/evaluation-FOLD, or RUN/evaluation-FOLD-temperature "
    "with --temperature]",
)
@click.option(
    "--embeddings",
    is_flag=True,
    help="Add each clip's embedding, the mean input of the network's last layer, to clips.csv.",
)
@click.option(
    "--page/--no-page",
    default=True,
    show_default=True,
    help="Write report.html with the images, scalograms and probabilities of every clip, too.",
)
@click.option("--media", is_flag=True, help="The clips' sound (Opus) beside report.html, too.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the recordings, for --media.  [default: that of the last extraction]",
)
@click.option(
    "--single-file", is_flag=True, help="Write report.html as one file, of at most 100 clips."
)
@settings
def evaluate(run: Path, protocol: str, resamples: int, seed: int, **values: Any) -> int:
    """Evaluate a RUN: log-loss and accuracy by two protocols, predictions, figures, report."""
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.evaluate import EvaluationRequest, evaluate_run
    from avsc.train.evaluate.report import summary
    from avsc.train.fit.console import Console
    from avsc.train.protocol import named_protocols

    request = EvaluationRequest(
        run,
        protocols=named_protocols(protocol),
        resampling=Resampling(resamples, seed),
        **values,
    )
    with Console() as console:
        for text in summary(evaluate_run(request, console)):
            console.say(text)
        console.say(f"report: {request.folder / ('report.html' if request.page else 'report.md')}")
    return DONE
