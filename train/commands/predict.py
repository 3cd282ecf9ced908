"""``avsc-fit predict``: what scene recordings are of, second by second."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avsc.manifests.errors import DONE, DONE_WITH_FAILURES
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.train.commands.evaluation_options import answer_option
from avsc.train.commands.live_options import (
    LIVE,
    live_addresses,
    live_options,
    predict_live,
)

if TYPE_CHECKING:
    from avsc.manifests.display import Display
    from avsc.train.infer.formats import Format
    from avsc.train.infer.inputs import Item
    from avsc.train.infer.many import Work
    from avsc.train.infer.model import Model
    from avsc.train.infer.output import Output
    from avsc.train.infer.prediction import Prediction
    from avsc.train.infer.windows import Windows

EVERY = ("strict", "centred", "clip")
FORMATS = ("table", "csv", "jsonl", "audacity", "webvtt", "challenge")
SHOWN = 3
"""Scenes of an answer in the table, unless another number is asked for."""


LOADING = ("device", "store", "runtime", "temperature", "answer")
"""Options that say how a model is loaded."""

GROUPS = {
    "Recordings": "audio audio_late root max_seconds max_megabytes clip_timeout",
    "Answers": "window hop smooth protocol answer temperature top_k form out",
    "A live source": LIVE,
    "Where it runs": "workers runtime device store",
}


def _lag(_: click.Context, parameter: click.Parameter, value: str) -> float | str:
    """Return a number of seconds, or auto."""
    if value == "auto":
        return value
    try:
        return float(value)
    except ValueError as fault:
        raise click.BadParameter(
            f"{value!r}; wanted seconds, such as 2 or -0.5, or auto."
        ) from fault


@click.command(cls=Verb, example="avsc-fit predict runs/joint walk.mp4", groups=GROUPS)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@live_options
@click.option("--audio", type=click.Path(path_type=Path), help="File of the sound of one INPUT.")
@click.option(
    "--audio-late",
    callback=_lag,
    metavar="SECONDS|auto",
    default="0",
    show_default=True,
    help="Seconds by which the audio of the recordings is late (below 0: early); it is moved back. "
    "auto: what the run's offset head (`avsc-fit offset`) finds of each, where it is sure.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder that the paths of a manifest are relative to.  [default: the manifest's own]",
)
@click.option("--window", type=float, default=1.0, show_default=True, help="Seconds of an answer.")
@click.option("--hop", type=float, help="Seconds from one answer to the next.  [default: --window]")
@click.option(
    "--smooth", type=float, default=0.0, show_default=True, help="Average over so many seconds."
)
@click.option(
    "--protocol",
    type=click.Choice(EVERY),
    help="Which frames count: strict (windows wholly inside), centred (centred inside), or clip "
    "(one answer a recording).  [default: the model's]",
)
@answer_option
@click.option(
    "--temperature",
    is_flag=True,
    help="Apply the temperatures that avsc-fit evaluate --temperature fitted for the run.",
)
@click.option(
    "--top-k",
    type=click.IntRange(1),
    help="Scenes of an answer (table, jsonl).  [default: 3 in the table, all in jsonl]",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File of the answers; folder of them where there is one for each of several recordings "
    "(audacity, webvtt).  [default: standard output]",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that decode.  [default: one per core]"
)
@click.option(
    "--runtime",
    type=click.Choice(["torch", "onnx"]),
    default="torch",
    show_default=True,
    help="What computes; onnx: the graph of an exported folder, by ONNX Runtime.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The model's store, where its features are not the default ones and it was moved.",
)
@click.option(
    "--max-seconds",
    type=click.IntRange(1),
    default=86_400,
    show_default=True,
    help="Longest recording.",
)
@click.option(
    "--max-megabytes",
    type=click.IntRange(1),
    default=1_000,
    show_default=True,
    help="Largest file of a recording; it is held in memory.",
)
@click.option(
    "--clip-timeout",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help="Seconds after which decoding ten seconds of a recording is given up.",
)
@settings
def predict(
    model: Path,
    inputs: Sequence[str],
    audio: Path | None,
    live: str | None,
    **values: Any,
) -> int:
    """Classify recordings by a trained MODEL, the folder of a run or an exported one.

    INPUT: a file, a folder, a manifest (CSV with columns audio, video, id), or - for any container
    on standard input. Answers go to standard output or --out, what else is to be said to standard
    error. With --out, the same command resumes after an interruption. A source that is still
    running takes the place of INPUT by --live.
    """
    if not inputs and live is None:
        raise click.UsageError("Missing argument 'INPUT...', or --live SOURCE.")
    addresses = None if live is None else live_addresses(live, inputs, audio, values)
    from avsc.features.limits import Limits
    from avsc.manifests.display import Display
    from avsc.train.fit.compute import cores
    from avsc.train.infer.inputs import opened_inputs
    from avsc.train.infer.loading import load
    from avsc.train.infer.many import Work
    from avsc.train.infer.windows import Windows

    limits = Limits(
        seconds=values["max_seconds"],
        megabytes=values["max_megabytes"],
        timeout=values["clip_timeout"],
    )
    windows = Windows(values["window"], values["hop"], values["smooth"], values["protocol"])
    loaded = load(model, **{name: values[name] for name in LOADING})
    if addresses is not None:
        return predict_live(loaded, addresses, windows, _format(loaded, windows, values), values)
    sees = loaded.images is not None
    with (
        Display(60.0, stderr=True) as display,
        opened_inputs(inputs, audio, values["root"], sees, limits) as items,
    ):
        workers = values["workers"] or cores()
        work = Work(loaded, windows, limits, workers, values["audio_late"])
        return _predict(work, items, values, display)


def _predict(
    work: "Work", items: Sequence["Item"], values: dict[str, Any], display: "Display"
) -> int:
    from avsc.train.infer.offset import check_audio_late
    from avsc.train.infer.output import check_names, opened_output

    model, windows, late = work.model, work.windows, work.audio_late
    check_audio_late(model, late)
    form = _format(model, windows, values)
    if form.needs_names:
        check_names(items)
    request = {
        "model": model.fingerprint + (f", audio late {late}" if late else ""),
        "format": form.name,
        "top": form.top,
        "windows": [windows.length, windows.hop, windows.smooth],
        "protocol": windows.protocol or model.protocol,
    }
    names = [item.name for item in items]
    with opened_output(values["out"], form, request, names) as output:
        for failure in output.failures:
            display.say(f"failed: {failure}")
        _run(work, items, output, display)
        failed = len(output.failures)
    if failed:
        display.say(f"{failed} of {len(items)} recordings failed")
    return DONE_WITH_FAILURES if failed else DONE


def _format(model: "Model", windows: "Windows", values: dict[str, Any]) -> "Format":
    from avsc.manifests.errors import SettingError
    from avsc.train.infer.formats import Format

    name, top = values["form"], values["top_k"]
    whole = (windows.protocol or model.protocol) == "clip"
    if name == "challenge" and not whole and (windows.length, windows.hop or 1.0) != (1.0, 1.0):
        raise SettingError(
            "--format challenge names seconds: wanted --window 1 --hop 1, or --protocol clip."
        )
    top = top or (SHOWN if name == "table" else len(model.classes))
    top, late = min(top, len(model.classes)), values["audio_late"] != 0
    return Format(name, model.classes, top, whole, model.takes_missing, late)


def _run(work: "Work", items: Sequence["Item"], output: "Output", display: "Display") -> None:
    """Classify what is not done yet."""
    from avsc.manifests.errors import AvscError
    from avsc.train.infer.many import predict_many

    todo = [item for item in items if item.name not in output.done]
    if len(todo) < len(items):
        display.say(f"{len(items) - len(todo)} of {len(items)} recordings are done already")
    done = len(items) - len(todo)
    for outcome in predict_many(work, todo):
        done += 1
        if outcome.prediction is None and len(items) == 1:
            raise AvscError(outcome.failure)
        output.add(outcome)
        if outcome.failure:
            display.say(f"failed: {outcome.failure}")
        for remark in _remarks(outcome.prediction):
            display.say(f"note: {remark}")
        if display.due():
            failed = f", {len(output.failures)} failed" if output.failures else ""
            count = f"{done}/{len(items)} recordings{failed}"
            display.draw("predict", done, len(items), count, count)


def _remarks(found: "Prediction | None") -> list[str]:
    """Return what the user should know of an answer."""
    if found is None:
        return []
    lost = [f"{start:g} to {end:g} s" for start, end in found.missing]
    some = f"{', '.join(lost[:3])}{' and more' if len(lost) > 3 else ''}"
    corrected = found.correction.remark if found.correction else ""
    said = [corrected] if corrected else []
    return [*said, *found.warnings, *([f"{found.file}: no answer for {some}"] if lost else [])]
