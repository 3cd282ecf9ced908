"""Where an image model's first weights come from: timm, a file, or a seed.

- ``"pretrained"``: timm's own, from the Hugging Face cache or the network (``HF_HUB_OFFLINE=1``
  means the cache alone);
- a file: ``.safetensors``, or what `torch.save` wrote: a state dict, or a dict whose
  ``"state_dict"`` is one. So timm's state dicts, torchvision's (where both name the layers alike,
  as in ResNets), a Places365 run's checkpoint, and CSAIL's ``resnet50_places365.pth.tar`` (no tar,
  but PyTorch 0.2 and Python 2.7: names prefixed ``module.``, byte strings, no
  ``num_batches_tracked``) are all read by one path;
- ``"random"``: only by this name, drawn from a given seed.

Names and shapes must be the model's own, apart from the classification layer, which is dropped,
and ``num_batches_tracked``, which old files lack and nothing here reads. Pickles are read by
torch's weights-only reader, which makes tensors and plain values and refuses whatever else a
pickle names, so that loading a file never runs its code.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from avsc.manifests.errors import AvscError

WAYS = (
    "Ways to have weights: 'pretrained' (timm's, over the network or from the cache that HF_HOME "
    "names); a file (a state dict of timm or torchvision, .pth, .pt or .safetensors, or a "
    "Places365 checkpoint); 'random', by name."
)


class WeightsError(AvscError):
    """Weights cannot be had, or do not belong to the model."""


@contextmanager
def starting_weights(seed: int) -> Iterator[None]:
    """Draw the first weights of the modules made inside from `seed`; the global stream is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def starting_model(name: str, weights: str, seed: int) -> tuple[nn.Module, str]:
    """Make timm's model `name` without its classification layer, and say whence its weights.

    Args:
        name: a name of timm's, with or without a tag.
        weights: ``"pretrained"``, ``"random"``, or a file's path.
        seed: seed of random weights.

    Returns:
        The model, and its origin such as ``"timm resnet50.a1_in1k"``, ``"random seed 0"`` or
        ``"file resnet50_places365.pth.tar sha256:..."``.

    Raises:
        WeightsError: the weights cannot be had, or are another model's.
    """
    if weights == "pretrained":
        return _pretrained(name)
    with starting_weights(seed):
        model: Any = timm.create_model(name, num_classes=0)
    if weights == "random":
        return model, f"random seed {seed}"
    classifiers = model.pretrained_cfg["classifier"]
    heads = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers or ())
    return model, load_file(model, Path(weights), heads)


def _pretrained(name: str) -> tuple[nn.Module, str]:
    try:
        # With its classification layer, because timm checks names and shapes only then.
        with starting_weights(0):
            model: Any = timm.create_model(name, pretrained=True)
    except Exception as fault:  # the hub's client and its transport raise a dozen unrelated types
        raise WeightsError(
            f"pre-trained weights of {name} cannot be had: {_first_line(fault)} {WAYS}"
        ) from fault
    config = model.pretrained_cfg
    model.reset_classifier(0)
    return model, f"timm {config['architecture']}.{config['tag']}"


def load_file(model: nn.Module, path: Path, heads: tuple[str, ...] = ()) -> str:
    """Load a file of weights into a model.

    Args:
        model: the model, without a classification layer.
        path: the file.
        heads: names of the classification layers that are dropped from the file.

    Returns:
        The origin: the file's name and SHA-256.

    Raises:
        WeightsError: the file cannot be read, or names or shapes are not the model's.
    """
    dropped = tuple(f"{head}." for head in heads)
    found = {
        name: value for name, value in read_state(path).items() if not name.startswith(dropped)
    }
    wanted = model.state_dict()
    differences = {
        "missing": [
            name
            for name in wanted
            if name not in found and not name.endswith("num_batches_tracked")
        ],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name} {tuple(found[name].shape)} (wanted {tuple(value.shape)})"
            for name, value in wanted.items()
            if name in found and found[name].shape != value.shape
        ],
    }
    said = [f"{len(names)} {what}: {_some(names)}" for what, names in differences.items() if names]
    if said:
        raise WeightsError(
            f"{path}: not weights of this {type(model).__name__}, which has {len(wanted)} tensors; "
            f"{'; '.join(said)}. Name the backbone that the file belongs to, or another file."
        )
    model.load_state_dict(found, strict=False)
    with path.open("rb") as file:
        return f"file {path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a file, on the CPU, without the prefix ``module.``.

    Raises:
        WeightsError: no such file, not a file of weights, or a pickle that names code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights. {WAYS}")
    content = _content(path)
    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not (isinstance(content, dict) and content) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise WeightsError(
            f"{path}: found {type(content).__name__}, wanted names with tensors (a state dict) or "
            f"a dict with a 'state_dict'. {WAYS}"
        )
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def _content(path: Path) -> Any:
    """Return what the file holds; pickles may hold tensors and plain values alone."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # damaged files raise nearly every type there is
        code = re.search(r"GLOBAL (\S+)", str(fault))
        if code:
            raise WeightsError(
                f"{path}: it names {code[1]}, which is neither a tensor nor a plain value; files "
                f"that may run code are not loaded. If you trust it, save its tensors alone."
            ) from fault
        raise WeightsError(
            f"{path}: cannot be read as weights: {_first_line(fault)} {WAYS}"
        ) from fault


def digest(module: nn.Module) -> str:
    """SHA-256 over a module's tensors (name, type, shape, bytes), 64 hexadecimal digits."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _first_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines() or ["no reason given"]
    return f"{type(fault).__name__}: {lines[0].rstrip('.')}."
