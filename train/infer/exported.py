"""A model out of an exported folder, which needs neither the run nor its store.

    DIR/model.safetensors  all weights, by the names of the network
    DIR/model.onnx         the graph of `avsc.train.infer.graph` for ONNX Runtime
    DIR/model.pt2          the same for torch.export.load
    DIR/config.json        what the model takes and answers, and size and SHA-256 of the others
    DIR/README.md          model card

Before a file is used it is compared with its SHA-256, and the classes that it names with those of
config.json. Features are described by their whole specs, whose digests are computed again.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import timm

from avsc.features.specs import SPECS, AcousticSpec, ImageSpec, Spec
from avsc.manifests.errors import AvscError, SettingError
from avsc.train.data.augment import ImageInput
from avsc.train.infer.architecture import build_described
from avsc.train.infer.run import check_version
from avsc.train.model.network import Network
from avsc.train.model.weights import check_values
from avsc.train.protocol import EVERY
from avsc.train.systems import ENCODER

FORMAT = 1
CONFIG = "config.json"
CARD = "README.md"
Form = Literal["safetensors", "onnx", "pt2"]
FILES: dict[Form, str] = {form: f"model.{form}" for form in ("safetensors", "onnx", "pt2")}
FORM_OF: dict[str, Form] = {"torch": "safetensors", "onnx": "onnx"}
"""What a runtime reads."""
AGAIN = "Export the run again into another folder."


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Exported:
    """An exported folder.

    Attributes:
        path: the folder.
        values: what config.json says.
        acoustic: spec of the acoustic frames, or None.
        images: spec of the stored images, or None.
        image_input: what the network sees of an image, or None.
    """

    path: Path
    values: Mapping[str, Any]
    acoustic: AcousticSpec | None
    images: ImageSpec | None
    image_input: ImageInput | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Scene labels in the order of their indices."""
        return tuple(self.values["classes"])

    def file(self, form: Form) -> Path:
        """Return the file of a form, after its SHA-256 was compared.

        Raises:
            SettingError: the folder was exported without that form.
            AvscError: the file is missing, or is not the one that was exported.
        """
        path = self.path / FILES[form]
        if path.name not in self.values["files"]:
            raise SettingError(
                f"{self.path}: was exported without {path.name}; it has "
                f"{', '.join(self.values['files'])}. Take another --runtime, or export the run "
                "again with that form."
            )
        wanted = self.values["files"][path.name]
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as fault:
            raise AvscError(
                f"{path}: cannot be read ({fault.strerror}), and {CONFIG} beside it names it. Put "
                f"it back. {AGAIN}"
            ) from fault
        if found != wanted["sha256"]:
            raise AvscError(
                f"{path}: found {size} bytes with SHA-256 {found[:12]}, wanted {wanted['bytes']} "
                f"with {wanted['sha256'][:12]}, as {CONFIG} says: it is truncated, or of another "
                f"export. Put it back. {AGAIN}"
            )
        return path

    def check_classes(self, path: Path, text: str | None) -> None:
        """Raise an `AvscError` unless a file names the classes that config.json does."""
        found = tuple(json.loads(text)) if text else ()
        if found != self.classes:
            raise AvscError(
                f"{path}: is of the classes {', '.join(found) or '(none)'}; {self.path / CONFIG} "
                f"says {', '.join(self.classes)}. The files are of two exports. {AGAIN}"
            )

    def network(self) -> Network:
        """Return the network with its weights, on the CPU, in evaluation mode.

        Raises:
            AvscError: a file is missing, damaged, or of another export.
        """
        path = self.file("safetensors")
        try:
            with safetensors.safe_open(path, "pt") as file:
                self.check_classes(path, (file.metadata() or {}).get("classes"))
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            network = build_described(self.values["network"], len(self.classes), self.image_input)
        except (safetensors.SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as no:
            raise AvscError(
                f"{self.path}: no network of this version ({_first_line(no)}). {AGAIN}"
            ) from no
        wanted = network.state_dict()
        for name in sorted({*wanted, *state}):
            there = tuple(state[name].shape) if name in state else "nothing"
            needed = tuple(wanted[name].shape) if name in wanted else "nothing"
            if there != needed:
                raise AvscError(
                    f"{path}: {name} has shape {there}, wanted {needed} by {CONFIG} and timm "
                    f"{timm.__version__}. {AGAIN}"
                )
        check_values(str(path), state, wanted)
        network.load_state_dict(state)
        return network


def is_exported(path: Path) -> bool:
    """Return whether a folder is an exported one, though files of it may be missing."""
    return any((path / name).exists() for name in (CONFIG, *FILES.values()))


def read_exported(path: Path) -> Exported:
    """Read config.json.

    Raises:
        AvscError: it is missing, damaged, or of another version.
        SettingError: this version of avsc would compute a feature differently.
    """
    file = path / CONFIG
    try:
        values = json.loads(file.read_bytes())
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, wanted {FORMAT}")
        _check_kinds(values)
        view = values["image_input"]
        image_input = view and ImageInput(
            view["size"], tuple(view["mean"]), tuple(view["std"]), view["view"]
        )
        acoustic, images = (_spec(file, values["features"][name]) for name in ("audio", "visual"))
    except OSError as fault:
        raise AvscError(f"{file}: cannot be read ({fault.strerror}). {AGAIN}") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise AvscError(
            f"{file}: not the description of a model exported by this version "
            f"({_first_line(fault)}). {AGAIN}"
        ) from fault
    assert acoustic is None or isinstance(acoustic, AcousticSpec)
    assert images is None or isinstance(images, ImageSpec)
    return Exported(path, values, acoustic, images, image_input)


def _check_kinds(values: Mapping[str, Any]) -> None:
    """Raise a `ValueError` unless what is read later, too, is there and of its kind."""
    wanted = ("system", "classes", "protocol", "temperature", "network", "files")
    if missing := [name for name in wanted if name not in values]:
        raise ValueError(f"no {missing[0]}")
    classes, files, network = values["classes"], values["files"], values["network"]
    warm, described = values.get("temperature_without", {}), {"sha256", "bytes"}
    is_right = {
        "classes": isinstance(classes, list) and all(isinstance(each, str) for each in classes),
        "protocol": values["protocol"] in EVERY,
        "temperature": _is_temperature(values["temperature"]),
        "temperature_without": isinstance(warm, dict)
        and set(warm) in (set(), set(ENCODER))
        and all(map(_is_temperature, warm.values())),
        "network": isinstance(network, dict),
        "files": isinstance(files, dict)
        and all(isinstance(each, dict) and described <= each.keys() for each in files.values()),
    }
    if wrong := [name for name, right in is_right.items() if not right]:
        raise ValueError(f"{wrong[0]} is {values[wrong[0]]!r}")
    if network.get("missing") and None in (network["acoustic"], network["visual"]):
        raise ValueError("network has one modality, and may lack one")
    takes = {"acoustic": values["features"]["audio"], "visual": values["features"]["visual"]}
    for encoder, feature in takes.items():
        if (network[encoder] is None) != (feature is None):
            raise ValueError(f"network and features differ in whether there is {encoder} input")
    if (network["visual"] is None) != (values["image_input"] is None):
        raise ValueError("network and image_input differ in whether there are images")


def _is_temperature(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def describe_spec(spec: Spec | None) -> dict[str, Any] | None:
    """Return a spec with its digest, in JSON's types."""
    if spec is None:
        return None
    return {"product": spec.product, **spec.parameters(), "digest": spec.digest}


def _spec(file: Path, values: dict[str, Any] | None) -> Spec | None:
    if values is None:
        return None
    kind = SPECS[values["product"]]
    try:
        spec = kind.from_dict({name: value for name, value in values.items() if name != "digest"})
        found = spec.digest
    except SettingError as fault:
        raise SettingError(f"{file}: {fault} This version of avsc cannot compute it.") from fault
    check_version(spec, str(file.parent))
    if found != values["digest"]:
        raise SettingError(
            f"{file}: the {spec.product} that this version of avsc makes has the digest "
            f"{found[:12]}, and the model was trained on {values['digest'][:12]}: features would "
            "differ. Use the avsc that exported it, or export again."
        )
    return spec


def _first_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0]}"
