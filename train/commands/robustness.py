"""``avsc-fit robustness``: evaluate a system with a modality missing, late, or of another clip."""

from pathlib import Path
from typing import Any

import click

from avsc.manifests.errors import DONE, SettingError
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import evaluation_options

GROUPS = {
    "Conditions": "conditions predictions realign seed",
    "Compared with": "audio_run visual_run margin resamples",
    "Data": "store root truth fold allow_missing allow_other_store",
    "Model": "checkpoint answer temperature protocol",
    "Where it runs": "out save_predictions device batch_size workers",
}


@click.command(cls=Verb, example="avsc-fit robustness runs/joint", groups=GROUPS)
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option(
    "--conditions",
    default="all",
    show_default=True,
    help="Names with commas between them, such as no-audio,no-image; or all.",
)
@click.option(
    "--predictions",
    multiple=True,
    metavar="CONDITION=FILE",
    help="In the place of RUN: predictions of any system, one file for each condition.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the segments that lack a modality and of the clips that lend images.",
)
@click.option(
    "--audio-run",
    type=click.Path(path_type=Path),
    help="Evaluated run (or predictions file) of a system of audio alone.",
)
@click.option(
    "--visual-run",
    type=click.Path(path_type=Path),
    help="Evaluated run (or predictions file) of a system of images alone.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.02,
    show_default=True,
    help="Nats by which the system may be worse than those and count as no worse.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the recordings, for noise.  [default: that of the last extraction]",
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="For --predictions: store or manifest with each clip's scene, city and location.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Score the segments that are there if some are missing in the store.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "centred", "clip"]),
    default="strict",
    show_default=True,
    help="Which frames count, as for evaluate.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the report.  [default: RUN/robustness-FOLD, then -ANSWER with --answer, "
    "-realigned with --realign, -temperature with --temperature]",
)
@click.option(
    "--realign",
    is_flag=True,
    help="Shift each clip back by the offset that the run's offset head (`avsc-fit offset`) finds "
    "in it under each condition, where it is sure.",
)
@click.option(
    "--temperature",
    is_flag=True,
    help="Apply temperatures fitted on the run's validation clips: one for complete segments, one "
    "without audio, one without images.",
)
@click.option("--save-predictions", is_flag=True, help="Write the predictions of each condition.")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Samples at a time.  [default: the run's]"
)
@evaluation_options
@settings
def robustness(
    run: Path | None,
    conditions: str,
    predictions: tuple[str, ...],
    audio_run: Path | None,
    visual_run: Path | None,
    margin: float,
    resamples: int,
    protocol: str,
    seed: int,
    allow_missing: bool,
    root: Path | None,
    **values: Any,
) -> int:
    """Evaluate a RUN when a modality is missing, out of time, or of another clip."""
    from avsc.train.evaluate.bootstrap import Resampling
    from avsc.train.evaluate.robustness.condition_predictions import Asked
    from avsc.train.evaluate.robustness.conditions import named_conditions
    from avsc.train.evaluate.robustness.measures import Rivals
    from avsc.train.evaluate.robustness.report import remarks
    from avsc.train.evaluate.robustness.run import RobustnessRequest, evaluate_robustness
    from avsc.train.evaluate.robustness.tables import conditions_table
    from avsc.train.fit.console import Console
    from avsc.train.protocol import named_protocols
    from avsc.train.systems import Modality

    singles: dict[Modality, Path | None] = {"audio": audio_run, "visual": visual_run}
    request = RobustnessRequest(
        run,
        Asked(named_conditions(conditions), named_protocols(protocol), seed, allow_missing, root),
        predictions=dict(map(_named_file, predictions)),
        singles={modality: path for modality, path in singles.items() if path is not None},
        rivals=Rivals(margin=margin, resampling=Resampling(resamples)),
        **values,
    )
    with Console() as console:
        found = evaluate_robustness(request, console)
        console.say(conditions_table(found.rows, found.alone))
        for text in remarks(found):
            console.say(text)
        console.say(f"report: {request.folder / 'robustness.md'}")
    return DONE


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (equals and path):
        raise SettingError(
            f"--predictions is {text!r}; wanted CONDITION=FILE, such as no-audio=predictions.tsv."
        )
    return name, Path(path)
