"""Exporting a run: one folder that needs nothing else (see `avsc.train.infer.exported`).

Everything is written beside the folder under another name, each form is opened again from there and
compared with the run, and only then the folder gets its name.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.extras import installation, not_installed
from avsc.manifests.files import publish
from avsc.manifests.folders import publish_folder
from avsc.train.evaluate.robustness.conditions import PATTERNS
from avsc.train.fit.run_record import versions
from avsc.train.fit.trained_run import Trained
from avsc.train.infer.architecture import describe_network
from avsc.train.infer.card import Evaluation, model_card, read_evaluation
from avsc.train.infer.exported import (
    CARD,
    CONFIG,
    FILES,
    FORMAT,
    Form,
    describe_spec,
    sha256,
)
from avsc.train.infer.graph import (
    COUNTS,
    OPSET,
    Graph,
    drawn_inputs,
    encode_onnx,
    encode_pt2,
    open_pt2,
    trace,
)
from avsc.train.infer.onnx_runtime import open_onnx
from avsc.train.infer.run import restore_with_encoders, run_specs
from avsc.train.infer.verify_export import (
    TOLERANCE,
    check_difference,
    check_weights,
    largest_difference,
)
from avsc.train.model.network import Network
from avsc.train.systems import ENCODER


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported.

    Attributes:
        run: folder of the run.
        out: the folder to make.
        forms: which files of the model.
        evaluation: folder of an evaluation of the run, for the model card; None takes
            RUN/evaluation-test if it is there.
        store: the run's store, where features were not made by default and it is not found.
    """

    run: Path
    out: Path
    forms: tuple[Form, ...] = tuple(FILES)
    evaluation: Path | None = None
    store: Path | None = None


def named_forms(names: str) -> tuple[Form, ...]:
    """Return the forms that a list such as ``"safetensors,onnx"`` names, in their own order.

    Raises:
        SettingError: one is unknown, there is none, or its packages are not installed.
    """
    given = [name.strip() for name in names.split(",")]
    if unknown := [name for name in given if name not in FILES]:
        raise SettingError(
            f"--forms is {names!r}: {unknown[0]!r} is unknown; any of {', '.join(FILES)}, with "
            "commas between them."
        )
    if "onnx" in given and (absent := not_installed("onnx")):
        raise SettingError(
            f"{installation('onnx', absent)} Or export without ONNX, by --forms safetensors,pt2."
        )
    return tuple(form for form in FILES if form in given)


def export(wanted: ExportRequest, say: Callable[[str], None]) -> None:
    """Export a run.

    Args:
        wanted: what and where to.
        say: takes a line for each form, with its size and difference.

    Raises:
        AvscError: the run cannot be read, the folder exists or cannot be written, or a form does
            not compute what the run computes.
    """
    with publish_folder(wanted.out) as folder:
        trained = restore_with_encoders(wanted.run)
        trained.network.heads = None  # the answer of the classifier of both modalities is exported
        evaluation = read_evaluation(wanted.run, wanted.evaluation, trained)
        config = _describe(trained, evaluation, wanted)
        classes = json.dumps(config["classes"])
        differences: dict[Form, float] = {}
        program = None
        for form in wanted.forms:
            path = folder / FILES[form]
            if form == "safetensors":
                data = _weights(trained.network, classes)
                publish(path, data)
            else:
                with _one_line(path.name):
                    program = program or trace(trained.network)
                    data = _encode(form, program, classes)
                    publish(path, data)
                    compute = open_onnx(path)[0] if form == "onnx" else open_pt2(path)
                    differences[form] = largest_difference(trained.network, compute)
                check_difference(path.name, differences[form], TOLERANCE)
            config["files"][path.name] = {"bytes": len(data), "sha256": sha256(data)}
        config["largest_differences"] = differences
        publish(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
        if "safetensors" in wanted.forms:
            differences["safetensors"] = check_weights(folder, trained.network)
        publish(folder / CARD, model_card(config, evaluation).encode())
        for form in wanted.forms:
            size = config["files"][FILES[form]]["bytes"]
            far = differences[form]
            same = "equal to the run" if far == 0 else f"within {far:.1e} of the run"
            say(f"{FILES[form]}: {size / 1e6:.1f} MB, {same}")


def _weights(network: Network, classes: str) -> bytes:
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    return safetensors.torch.save(state, {"format": "pt", "classes": classes})


def _encode(form: Form, program: torch.export.ExportedProgram, classes: str) -> bytes:
    return encode_pt2(program) if form == "pt2" else encode_onnx(program, {"classes": classes})


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Let whatever the exporters raise, which is of many unrelated types, be one line."""
    try:
        yield
    except (AvscError, OSError):
        raise
    except Exception as fault:
        line = f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}"
        raise AvscError(
            f"{name}: this network cannot be exported so ({line}). Nothing was exported. Leave "
            "this form out by --forms, or train another --backbone."
        ) from fault


def _describe(
    trained: Trained, evaluation: Evaluation | None, wanted: ExportRequest
) -> dict[str, Any]:
    """Return config.json without the files, which are still to be made."""
    record, network = trained.record, trained.network
    acoustic, images = run_specs(record, wanted.run, wanted.store)
    view = network.image_input
    return {
        "format": FORMAT,
        "system": record.system.name,
        "classes": list(record.store.classes),
        "features": {"audio": describe_spec(acoustic), "visual": describe_spec(images)},
        "image_input": None if view is None else asdict(view),
        "normalisation": "frames enter as they are stored (natural logarithms); their mean and "
        "standard deviation are part of the weights. Images enter normalised by the mean and std "
        "of image_input.",
        "protocol": record.settings.protocol,
        **_temperatures(network, evaluation),
        "network": describe_network(network),
        "graph": graph_interface(network, len(record.store.classes)),
        "run": {
            "name": trained.folder.path.resolve().name,
            "digest": record.digest,
            "epoch": trained.epoch,
        },
        "began_as": {
            "acoustic": None if record.acoustic is None else record.acoustic.origin,
            "visual": None if record.visual is None else record.visual.origin,
        },
        "store": {"dataset": record.store.dataset, "fingerprint": record.store.fingerprint},
        "versions": {"training": record.versions, "export": versions()},
        "files": {},
    }


def _temperatures(network: Network, evaluation: Evaluation | None) -> dict[str, Any]:
    """Return the temperatures of config.json, those of a network that takes missing modalities too.

    Raises:
        SettingError: the evaluation has not all of them.
    """
    heat = {} if evaluation is None else evaluation.temperatures
    values: dict[str, Any] = {"temperature": heat.get(PATTERNS[None], 1.0)}
    if network.missing is not None and heat:
        lacking = [name for name in PATTERNS.values() if name not in heat]
        if lacking:
            raise SettingError(
                f"the evaluation has no temperature for {lacking[0]}: it is of an earlier version. "
                "Run `avsc-fit evaluate --temperature` again."
            )
        values["temperature_without"] = {name: heat[PATTERNS[name]] for name in ENCODER}
    return values


def graph_interface(network: Network, classes: int) -> dict[str, Any]:
    """Return names and shapes of what the graph takes and gives; words are free dimensions."""
    example = drawn_inputs(network, 1, 1)
    samples = "samples" if "frames" in example else "images"
    with torch.no_grad():
        embedding = Graph(network).eval()(**example)[1]
    return {
        "opset": OPSET,
        "inputs": {name: [COUNTS[name], *value.shape[1:]] for name, value in example.items()},
        "outputs": {"logits": [samples, classes], "embedding": [samples, embedding.shape[1]]},
    }
