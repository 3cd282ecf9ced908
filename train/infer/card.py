"""The model card of an exported folder, in the form of Hugging Face's (README.md with YAML).

What cannot be known from the run (licences, intended use) is marked to be filled in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avsc.manifests.errors import AvscError, SettingError
from avsc.train.evaluate.robustness.conditions import PATTERNS
from avsc.train.fit.trained_run import Trained

EVALUATION = "evaluation-test"
FILL = "*to be filled in*"
TASKS = {(True, False): "audio-classification"}
"""Hugging Face's name of the task, by whether a model takes sound and images."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a run.

    Attributes:
        values: what its metrics.json says.
    """

    values: Mapping[str, Any]

    @property
    def temperatures(self) -> dict[str, float]:
        """Temperatures that probabilities were given, by what is there of a recording; or none.

        Of the first protocol that has one.
        """
        for each in self.values["protocols"].values():
            if each["temperature"]:
                complete = {PATTERNS[None]: float(each["temperature"]["value"])}
                fitted = each.get("temperatures", {})
                return complete | {name: float(value["value"]) for name, value in fitted.items()}
        return {}

    def figures(self) -> list[tuple[str, str, float, list[float] | None]]:
        """Return protocol, metric, value and 95 % interval of each figure."""
        return [
            (protocol, metric, each[metric], each[f"{metric}_interval"])
            for protocol, each in self.values["protocols"].items()
            for metric in ("log_loss", "accuracy")
        ]


def read_evaluation(run: Path, named: Path | None, trained: Trained) -> Evaluation | None:
    """Return the evaluation that is named, or RUN/evaluation-test if it is there.

    Raises:
        SettingError: it is of another run, or of another epoch's weights.
        AvscError: it cannot be read.
    """
    folder = run / EVALUATION if named is None else named
    path = folder / "metrics.json"
    if named is None and not path.exists():
        return None
    try:
        values = json.loads(path.read_bytes())
        found = (values["run_digest"], values["epoch"])
        evaluation = Evaluation(values)
        evaluation.figures()
        _ = evaluation.temperatures
    except OSError as fault:
        raise AvscError(
            f"{path}: cannot be read ({fault.strerror}). Name a folder that `avsc-fit evaluate` "
            "wrote."
        ) from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise AvscError(
            f"{path}: not what `avsc-fit evaluate` of this version wrote ({fault}). Evaluate again."
        ) from fault
    if values.get("flip"):
        raise SettingError(
            f"{path}: is of images and their mirror images (--flip), and an exported model sees "
            "images alone. Evaluate without --flip."
        )
    if found != (trained.record.digest, trained.epoch):
        raise SettingError(
            f"{path}: is of the run {found[0][:12]} after {found[1]} epochs; exported are the "
            f"weights of {trained.record.digest[:12]} after {trained.epoch}. Run `avsc-fit "
            f"evaluate {run}` again."
        )
    return evaluation


def model_card(config: Mapping[str, Any], evaluation: Evaluation | None) -> str:
    """Return README.md.

    Args:
        config: what config.json says.
        evaluation: of the run; None says that it was not evaluated.
    """
    sections = (
        f"---\n{yaml.safe_dump(_front(config, evaluation), sort_keys=False)}---",
        f"# {config['run']['name']}\n\n{_summary(config)}",
        f"## Use\n\n{_use(config)}",
        f"## Inputs and outputs\n\n{_interface(config)}",
        f"## Training\n\n{_training(config)}",
        f"## Evaluation\n\n{_evaluation(evaluation)}",
        f"## Limits\n\n{_limits(config)}",
        f"## Licences\n\nOf the training data: {FILL}. Of the pre-trained weights: {FILL}. Of this "
        f"model: {FILL}.",
    )
    return "\n\n".join(sections) + "\n"


def _front(config: Mapping[str, Any], evaluation: Evaluation | None) -> dict[str, Any]:
    hears, sees = (config["features"][name] is not None for name in ("audio", "visual"))
    front: dict[str, Any] = {
        "license": "unknown",
        "library_name": "avsc",
        "pipeline_tag": TASKS.get((hears, sees), "video-classification"),
        "tags": ["acoustic-scene-classification", "audio-visual-scene-classification"],
    }
    if evaluation is not None:
        metrics = [
            {"type": metric, "name": f"{metric} ({protocol})", "value": value}
            for protocol, metric, value, _ in evaluation.figures()
        ]
        dataset = {"name": evaluation.values["dataset"], "type": evaluation.values["dataset"]}
        dataset["split"] = evaluation.values["fold"]
        task = {"type": front["pipeline_tag"], "name": "Scene classification"}
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        front["model-index"] = [{"name": config["run"]["name"], "results": [result]}]
    return front


def _summary(config: Mapping[str, Any]) -> str:
    names = {"audio": "sound", "visual": "images"}
    takes = [word for name, word in names.items() if config["features"][name]]
    return (
        f"Scene classification from {' and '.join(takes)}: the system `{config['system']}` of "
        "avsc, after C. Chen, M. Wang and P. Zhang, *Audio-visual scene classification using a "
        "transfer learning based joint optimization strategy* (2022). "
        f"{len(config['classes'])} scenes: {', '.join(config['classes'])}."
    )


def _use(config: Mapping[str, Any]) -> str:
    lines = ["With avsc installed, on recordings:", "", "    avsc-fit predict THIS_FOLDER clip.mp4"]
    if "model.onnx" in config["files"]:
        lines += [
            "",
            "Without it, on features, by ONNX Runtime (inputs as below):",
            "",
            "    import onnxruntime",
            '    session = onnxruntime.InferenceSession("model.onnx")',
            '    (logits,) = session.run(["logits"], inputs)',
        ]
    if "model.pt2" in config["files"]:
        lines += [
            "",
            "By PyTorch alone:",
            "",
            "    import torch",
            '    model = torch.export.load("model.pt2").module()',
            "    logits, embedding = model(**inputs)",
        ]
    return "\n".join(lines)


def _interface(config: Mapping[str, Any]) -> str:
    graph = config["graph"]
    meaning = {
        "frames": "natural logarithms of magnitudes, float32, not normalised",
        "images": "RGB, normalised by the mean and std of `image_input`, float32",
        "view": "which of the images each sample sees, int64",
        "missing": "which samples lack sound (first column) or images (second), bool; whatever is "
        "given in their place has no effect",
        "logits": "softmax gives the probabilities of the scenes, in the order of `classes`",
        "embedding": "what the classifier sees, acoustic, then visual",
    }
    rows = [
        f"| `{name}` | {kind[:-1]} | {' x '.join(map(str, shape))} | {meaning[name]} |"
        for kind in ("inputs", "outputs")
        for name, shape in graph[kind].items()
    ]
    return "\n".join(
        [
            "The graph begins after the features; `config.json` has all of their parameters.",
            "Words stand for numbers that are free.",
            "",
            "| name | | shape | |",
            "|---|---|---|---|",
            *rows,
            "",
            f"ONNX opset {graph['opset']}. Temperature {config['temperature']:g}"
            f"{_without(config)}: divide the logarithms of the probabilities of a segment by it.",
        ]
    )


def _without(config: Mapping[str, Any]) -> str:
    words = {"audio": "sound", "visual": "images"}
    heat = config.get("temperature_without", {})
    return "".join(f", without {words[name]} {value:g}" for name, value in heat.items())


def _training(config: Mapping[str, Any]) -> str:
    visual = config["network"]["visual"]
    lines = [
        f"Data set {config['store']['dataset']}, store fingerprint "
        f"`{config['store']['fingerprint']}`; run `{config['run']['digest']}`, weights after epoch "
        f"{config['run']['epoch']}."
    ]
    if visual is not None:
        origin = config["began_as"]["visual"]
        lines.append(f"Image model {visual['architecture']}; its weights began as: {origin}.")
    used = config["versions"]["training"]
    lines.append(f"Versions: {', '.join(f'{name} {value}' for name, value in used.items())}.")
    return "\n\n".join(lines)


def _evaluation(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "Not evaluated."
    rows = []
    for protocol, metric, value, interval in evaluation.figures():
        shown = "withheld" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
        rows.append(f"| {protocol} | {metric.replace('_', '-')} | {value:.4f} | {shown} |")
    values = evaluation.values
    return "\n".join(
        [
            f"The {values['fold']} fold of {values['dataset']}, {values['clips']} clips, by "
            "one-second segments (`clip`: whole clips); means over the scenes, with 95 % "
            "confidence intervals over recording locations, withheld where too few of these "
            "support one.",
            "",
            "| protocol | metric | value | 95 % interval |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def _limits(config: Mapping[str, Any]) -> str:
    return (
        "Every recording is given one of the scenes above, also one that shows none of them. What "
        "was not measured (other cities, devices, weather, seasons) is not known. Intended use: "
        f"{FILL}."
    )
