"""``avsc-fit evaluate``: evaluate a run on the test fold, as in the official task."""

from pathlib import Path
from typing import Any

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import evaluation_options, page_options

GROUPS = {
    "Data": "store fold allow_missing allow_other_store",
    "Model": "checkpoint answer flip temperature",
    "Scores": "protocol conditions resamples seed",
    "Report": "out page media root single_file embeddings",
    "Where it runs": "device batch_size workers",
}


@click.command(cls=Verb, example="avsc-fit evaluate runs/joint", groups=GROUPS)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    default="strict,centred",
    show_default=True,
    help="Which frames count: any of strict (windows wholly inside a second), centred (centred in "
    "it), clip (one prediction per clip, the mean over its frames; not the official task).",
)
@click.option(
    "--conditions",
    default="",
    help="Evaluate under these, too, as avsc-fit robustness does: names with commas between them, "
    "such as no-audio,no-image; or all. Noise reads the recordings of --root.",
)
@click.option(
    "--flip",
    is_flag=True,
    help="Predict by the means of the probabilities of each image and its mirror image.",
)
@click.option(
    "--temperature",
    is_flag=True,
    help="Apply a temperature fitted on the run's validation clips; with --conditions, one for "
    "each pattern of what is there.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the resampling, and of what conditions draw.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Score the segments that are there if some are missing.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Samples at a time on a GPU; a CPU computes ten seconds of a clip at a time.  [default: "
    "the run's]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: RUN/evaluation-FOLD, with -ANSWER, -flip and "
    "-temperature added for these options]",
)
@click.option(
    "--embeddings",
    is_flag=True,
    help="Add each clip's embedding, the mean input of the network's last layer, to clips.csv.",
)
@evaluation_options
@page_options("report.html with the images, scalograms and probabilities of every clip")
@settings
def evaluate(
    run: Path, protocol: str, conditions: str, resamples: int, seed: int, **values: Any
) -> int:
    """Evaluate a RUN: log-loss and accuracy by two protocols, predictions, figures, report."""
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.evaluate import evaluate_run
    from avsc.train.evaluate.evaluation_request import EvaluationRequest
    from avsc.train.evaluate.report import summary
    from avsc.train.evaluate.robustness.conditions import named_conditions
    from avsc.train.fit.console import Console
    from avsc.train.protocol import named_protocols

    request = EvaluationRequest(
        run,
        protocols=named_protocols(protocol),
        conditions=named_conditions(conditions) if conditions else (),
        resampling=Resampling(resamples, seed),
        **values,
    )
    with Console() as console:
        for text in summary(evaluate_run(request, console)):
            console.say(text)
        console.say(f"report: {request.folder / ('report.html' if request.page else 'report.md')}")
    return DONE
