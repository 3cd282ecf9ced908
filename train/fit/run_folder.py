"""A run's folder: its settings, metrics, checkpoints; and a run loaded back from it.

    settings.json   settings, versions, store and fingerprint, split, origin of the visual encoder
    metrics.csv     one row an epoch
    tensorboard/    the same for TensorBoard
    last.pt         where the run goes on
    best.pt         the epoch with the lowest validation log-loss
    visual.pt       the frozen visual encoder
"""

import csv
import io
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from avsc.features.store.reader import Store
from avsc.manifests.errors import AvscError, SettingError
from avsc.manifests.publish import publish
from avsc.train.config import Settings
from avsc.train.fit.checkpoint import fill, load
from avsc.train.model.network import Network

PACKAGES = ("avsc", "torch", "torchvision", "timm", "numpy")


def device_of(name: str) -> torch.device:
    """Return the device that a setting names; ``auto`` takes a GPU if there is any.

    Raises:
        SettingError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as fault:
        raise SettingError(f"device {name!r} is unknown; cpu, cuda or cuda:N is wanted.") from fault
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"device {name!r}: PyTorch sees {torch.cuda.device_count()} CUDA devices. Check the "
            "driver and the job's GPU request, or say --device cpu."
        )
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f"device {name!r}; cpu, cuda or cuda:N is wanted.")
    return device


@dataclass(frozen=True)
class RunRecord:
    """What settings.json says.

    Attributes:
        settings: of the run.
        store: the store's folder.
        fingerprint: of the store.
        classes: scene labels in the order of their indices.
        validation: ids of the validation clips.
        visual: origin and digest of the visual encoder; empty without one.
        versions: of the libraries that the run was started with.
    """

    settings: dict[str, Any]
    store: str
    fingerprint: str
    classes: list[str]
    validation: list[str]
    visual: dict[str, Any]
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {name: version(name) for name in PACKAGES}


def write_record(run: Path, record: RunRecord) -> None:
    """Publish settings.json."""
    publish(run / "settings.json", (json.dumps(record.__dict__, indent=2) + "\n").encode())


def read_record(run: Path) -> RunRecord:
    """Read settings.json.

    Raises:
        AvscError: there is no run, or its record is damaged.
    """
    path = run / "settings.json"
    try:
        return RunRecord(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise AvscError(f"{run}: no run here (settings.json is missing).") from None
    except (ValueError, TypeError) as fault:
        raise AvscError(f"{path}: damaged ({fault}).") from fault


def check_same(run: Path, found: RunRecord, wanted: RunRecord) -> None:
    """Refuse to go on with a run of other settings or another store.

    Raises:
        AvscError: names the first difference.
    """
    known = Settings(**found.settings).results()
    for name, value in Settings(**wanted.settings).results().items():
        if known[name] != value:
            raise AvscError(
                f"{run}: holds a run with {name} {known[name]!r}, not {value!r}. Name another "
                "--out, or start anew with --no-resume."
            )
    for name in ("fingerprint", "validation"):
        if getattr(found, name) != getattr(wanted, name):
            raise AvscError(
                f"{run}: the store has changed since this run began (its {name} differs). Name "
                "another --out, or start anew with --no-resume."
            )


def write_metrics(run: Path, history: list[dict[str, float]]) -> None:
    """Publish metrics.csv, whole, so that a run that was taken up again repeats no row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    publish(run / "metrics.csv", text.getvalue().encode())


def load_run(run: Path, store: Store, name: str) -> tuple[Network, Settings, dict[str, Any]]:
    """Return a run's network, settings, and the checkpoint ``best`` or ``last``.

    Raises:
        AvscError: something of the run is missing, damaged or of another shape.
    """
    from avsc.train.fit.build import build_network

    record = read_record(run)
    settings = Settings(**record.settings)
    checkpoint = load(run / f"{name}.pt")
    network = build_network(settings, store, weights="random")
    if network.visual is not None:
        fill(network.visual, load(run / "visual.pt")["visual"], run / "visual.pt")
    fill(trained(network), checkpoint["network"], run / f"{name}.pt")
    return network, settings, checkpoint


def trained(network: Network) -> torch.nn.ModuleDict:
    """Return the modules that a checkpoint keeps: all but a frozen visual encoder."""
    parts = {"acoustic": network.acoustic, "classifier": network.classifier}
    return torch.nn.ModuleDict({name: part for name, part in parts.items() if part is not None})
