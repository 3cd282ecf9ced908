"""Loading a model: of the folder of a run, or of an exported one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch

from avsc.manifests.errors import SettingError
from avsc.manifests.extras import installation, not_installed
from avsc.train.evaluate.robustness.conditions import PATTERNS
from avsc.train.evaluate.temperatures import fit_command, kept_temperatures, temperatures_path
from avsc.train.fit.device import choose_device
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.infer.exported import FORM_OF, Exported, is_exported, read_exported, sha256
from avsc.train.infer.model import Model, Runtime
from avsc.train.infer.offset import OffsetFinder
from avsc.train.infer.onnx_runtime import OnnxRuntime, open_onnx
from avsc.train.infer.run import NetworkRuntime, attach_encoders, run_specs
from avsc.train.systems import ENCODER, Answer


def load(
    path: str | Path,
    *,
    device: str = "auto",
    store: Path | None = None,
    runtime: str = "torch",
    temperature: bool = False,
    answer: Answer = "fused",
) -> Model:
    """Load a model.

    Args:
        path: folder of a run of ``avsc-fit``, whose best epoch is taken, or one that ``avsc-fit
            export`` made.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        store: the run's store, where features were not made by default and it is not found.
        runtime: what computes: ``torch``, or ``onnx`` for an exported folder.
        temperature: apply the temperatures that ``avsc-fit evaluate --temperature`` fitted; an
            exported folder has those that it was exported with.
        answer: ``fused``, of the classifier of both modalities; ``late``, the product of the run's
            unimodal heads; or ``fallback``, of the classifier, or of the head of the modality that
            is left where one is missing.

    Raises:
        AvscError: something of the run or the folder is missing, damaged, or does not belong to it.
        SettingError: the model cannot be used on recordings, or its features are not those that
            this version of avsc computes.
    """
    path = Path(path)
    if path.is_file():
        raise SettingError(f"{path}: a file; name the folder of a run, or of an exported model.")
    if answer not in get_args(Answer):
        raise SettingError(f"answer is {answer!r}; one of {', '.join(get_args(Answer))}.")
    if is_exported(path):
        if temperature:
            raise SettingError(
                f"{path}: an exported model has the temperatures that it was exported with "
                "(`avsc-fit export --evaluation`). Omit --temperature."
            )
        if answer != "fused":
            raise SettingError(
                f"{path}: an exported model, which has no unimodal heads. Omit --answer {answer}, "
                "or name the run that it was exported from."
            )
        return load_exported(path, runtime, device)
    if runtime != "torch":
        raise SettingError(
            f"{path}: a run, which --runtime torch computes; found {runtime!r}. Export it first "
            "(`avsc-fit export`), or leave --runtime out."
        )
    return run_model(restore(path, answer=answer), device, store, temperature)


def run_model(
    trained: Trained, device: str = "auto", store: Path | None = None, temperature: bool = False
) -> Model:
    """Return the model of a run; arguments and errors as of `load`.

    Args:
        trained: as it was restored; its network gets its encoders.
    """
    chosen, _ = choose_device(device)
    record, network, path = trained.record, trained.network, trained.folder.path
    heat = _temperatures(trained) if temperature else {}  # by its own weights, without donors'
    if not network.takes_missing:
        heat = {name: value for name, value in heat.items() if name == PATTERNS[None]}
    attach_encoders(trained)
    acoustic, images = run_specs(record, path, store)
    # Runs of prediction resume by this text, and those of the late product were begun with it.
    told = {"fused": "", "late": ", late product"}.get(network.answer, f", answer {network.answer}")
    told += f", temperatures {json.dumps(heat)}" if heat else ""
    return Model(
        str(path),
        record.system.name,
        record.store.classes,
        acoustic,
        images,
        network.image_input,
        record.settings.protocol,
        heat.get(PATTERNS[None], 1.0),
        f"{record.digest}, epoch {trained.epoch}{told}",
        NetworkRuntime(network.to(chosen), chosen),
        network.takes_missing,
        {name: heat[PATTERNS[name]] for name in ENCODER if PATTERNS[name] in heat},
        network.answer,
        OffsetFinder(path, network.embed),
    )


def _temperatures(trained: Trained) -> dict[str, float]:
    """Return the temperatures of a run for its own protocol, by pattern."""
    kept, protocol = kept_temperatures(trained), trained.record.settings.protocol
    if protocol not in kept:
        raise SettingError(
            f"{temperatures_path(trained)}: has temperatures for {', '.join(kept)}, and the run "
            f"was validated by {protocol}. Run `{fit_command(trained)} --protocol {protocol}`."
        )
    return {name: fitted.value for name, fitted in kept[protocol].items()}


def load_exported(path: Path, runtime: str = "torch", device: str = "auto") -> Model:
    """Load a model of an exported folder.

    Args:
        path: the folder.
        runtime: ``torch`` or ``onnx``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ONNX Runtime computes on the CPU alone.

    Raises:
        AvscError: a file is missing, damaged, or of another export.
        SettingError: the features are not those that this version of avsc computes, or the runtime
            is not installed or not in the folder.
    """
    if runtime not in FORM_OF:
        raise SettingError(f"--runtime is {runtime!r}; one of {', '.join(FORM_OF)}.")
    exported = read_exported(path)
    computes: Callable[[Exported, str], Runtime] = _onnx if runtime == "onnx" else _torch
    return Model(
        str(path),
        exported.values["system"],
        exported.classes,
        exported.acoustic,
        exported.images,
        exported.image_input,
        exported.values["protocol"],
        exported.values["temperature"],
        f"{runtime}, {sha256(json.dumps(exported.values['files'], sort_keys=True).encode())}",
        computes(exported, device),
        bool(exported.values["network"].get("missing")),
        exported.values.get("temperature_without", {}),
        offsets=OffsetFinder(path, None),
    )


def _torch(exported: Exported, device: str) -> Runtime:
    chosen, _ = choose_device(device)
    return NetworkRuntime(exported.network().to(chosen), chosen)


def _onnx(exported: Exported, device: str) -> Runtime:
    if device not in ("auto", "cpu"):
        raise SettingError(f"--device is {device}; --runtime onnx computes on the CPU alone.")
    path = exported.file("onnx")
    try:
        compute, about = open_onnx(path)
    except ImportError as fault:
        absent = not_installed("onnx") or ["onnxruntime"]
        raise SettingError(f"--runtime onnx: {installation('onnx', absent)}") from fault
    exported.check_classes(path, about.get("classes"))
    network, view = exported.values["network"], exported.image_input
    if not network.get("missing"):
        return OnnxRuntime(compute)
    acoustic = network["acoustic"]
    assert view is not None
    frame = torch.zeros(1, acoustic["channels"], acoustic["bins"])
    return OnnxRuntime(
        compute, {"frames": frame, "images": torch.zeros(1, 3, view.size, view.size)}
    )
