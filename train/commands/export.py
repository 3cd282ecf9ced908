"""``avsc-fit export``: a run as one folder that needs nothing else."""

from pathlib import Path

import click

from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings


@click.command(cls=Verb, example="avsc-fit export runs/joint --out models/joint")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder to make; must not exist."
)
@click.option(
    "--forms",
    default="safetensors,onnx,pt2",
    show_default=True,
    help="Files of the model: any of safetensors (all weights), onnx (needs the extra onnx), pt2 "
    "(torch.export).",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="Evaluation whose figures the model card states, and whose temperature the model takes.  "
    "[default: RUN/evaluation-test, if it is there]",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The run's store, if its features were not made by default and it has moved.",
)
@settings
def export(run: Path, out: Path, forms: str, evaluation: Path | None, store: Path | None) -> int:
    """Export the weights of a RUN's best epoch, with all that is needed to use them elsewhere.

    Each form is opened again and compared with the run before the folder is published.
    """
    from avsc.train.infer import export as exporting

    wanted = exporting.ExportRequest(run, out, exporting.named_forms(forms), evaluation, store)
    exporting.export(wanted, click.echo)
    click.echo(f"exported: {out}")
    return DONE
