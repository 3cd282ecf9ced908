"""Initial weights of an image model: from timm, a file, or a seed.

- ``"pretrained"``: timm's own, from the Hugging Face cache or the network (``HF_HUB_OFFLINE=1``
  means the cache alone);
- a file: ``.safetensors``, or what `torch.save` wrote: a state dict, wrapped in whatever
  `state_dict` unwraps, or a checkpoint of a run of ours that trained its visual encoder
  (``avsc-fit places``; the run's folder means its ``best.pt``). So timm's state dicts,
  torchvision's (where both name the layers alike, as in ResNets), our own, and CSAIL's
  ``resnet50_places365.pth.tar`` (no tar, but PyTorch 0.2 and Python 2.7: names prefixed
  ``module.``, byte strings, no ``num_batches_tracked``), and EfficientNets with the names of
  EfficientNet-PyTorch are all read by one path. Of several state dicts in a file ``FILE#NAME`` is
  the one of that name, such as ``w.pth.tar#state_dict_ema``;
- ``"random"``: only by this name, drawn from a given seed.

Names, shapes and kinds of numbers must be the model's own, apart from the classification layer,
which is dropped, and ``num_batches_tracked``, which old files lack and nothing here reads; values
must be finite, and variances not negative. Pickles are read by torch's weights-only reader, which
makes tensors and plain values and refuses whatever else a pickle names, so that loading a file
never runs its code.
"""

import hashlib
import pickle
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from avsc.manifests.errors import AvscError
from avsc.train.model.state_dict import FoundState, find_state, load_archive, some, unlike, unusable

WAYS = (
    "Ways to have weights: 'pretrained' (timm's, over the network or from the cache that HF_HOME "
    "names); a file (a state dict of timm or torchvision, .pth, .pt or .safetensors, or CSAIL's "
    "resnet50_places365.pth.tar; FILE#NAME for one of several in it); the folder of a run of "
    "avsc-fit places; 'random', by name."
)

OURS = "visual.model."  # what a run's checkpoint puts before the names of an image model
ORIGIN = re.compile(
    r"(?:(?P<trained_on>.*?), )??file (?P<file>.*?) sha256:[0-9a-f]+(?: \(.*\))?", re.DOTALL
)
WORDS = ("pretrained", "random")  # what is no file
PLACES = 365  # classes of a classification layer by which a file of Places365 is known


class WeightsError(AvscError):
    """Weights cannot be had, or do not belong to the model."""


@contextmanager
def starting_weights(seed: int) -> Iterator[None]:
    """Draw initial weights of modules made inside from `seed`; the global stream is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def starting_model(name: str, weights: str, seed: int) -> tuple[nn.Module, str]:
    """Make timm's model `name` without its classification layer; tell the origin of its weights.

    Args:
        name: a name of timm's, with or without a tag.
        weights: ``"pretrained"``, ``"random"``, or a file's path.

    Returns:
        The model, and its origin such as ``"timm resnet50.a1_in1k"``, ``"random seed 0"``,
        ``"file weights.pth sha256:..."`` or ``"Places365, file best.pt sha256:..."``.

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
    return model, load_file(model, *_file(weights), heads)


def _file(weights: str) -> tuple[Path, str | None]:
    """Return the path that weights name, and the state dict in it if one is chosen."""
    path, separator, chosen = weights.rpartition("#")
    if separator and not Path(weights).exists() and "/" not in chosen and Path(path).exists():
        return Path(path), chosen
    return Path(weights), None


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
    check_values(f"pre-trained weights of {name}", model.state_dict(), model.state_dict())
    return model, f"timm {config['architecture']}.{config['tag']}"


def load_file(
    model: nn.Module, path: Path, chosen: str | None = None, heads: tuple[str, ...] = ()
) -> str:
    """Load a file of weights into a model.

    Args:
        model: the model, without a classification layer.
        chosen: name of one of several state dicts in it; None for the one that is not averaged.
        heads: names of the classification layers that are dropped from the file.

    Returns:
        The origin: the images that it was trained on, where the file tells, its name and
        SHA-256, and what of the file was taken, where that was a choice.

    Raises:
        WeightsError: the file cannot be read, or its tensors are not what the model has.
    """
    path = path / "best.pt" if path.is_dir() else path
    dropped = tuple(f"{head}." for head in heads)
    wanted = model.state_dict()
    state, trained_on = read_weights(path, chosen, wanted)
    tensors = {name: value for name, value in state.tensors.items() if not name.startswith(dropped)}
    shared = [(name, tensors[name], value) for name, value in wanted.items() if name in tensors]
    differences = {
        "missing": [
            name
            for name in wanted
            if name not in tensors and not name.endswith("num_batches_tracked")
        ],
        "unexpected": [name for name in tensors if name not in wanted],
        "of another shape or type": [
            f"{name} {reason}" for name, there, value in shared if (reason := unlike(there, value))
        ],
    }
    said = [f"{len(names)} {what}: {some(names)}" for what, names in differences.items() if names]
    if said:
        raise WeightsError(
            f"{path}: not weights of this {type(model).__name__}, which has {len(wanted)} tensors; "
            f"{'; '.join(said)}. Name the backbone that the file belongs to, or another file."
        )
    check_values(str(path), tensors, wanted)
    model.load_state_dict(tensors, strict=False)
    biases = [state.tensors.get(f"{head}.bias") for head in heads]
    if trained_on is None and any(bias is not None and bias.shape == (PLACES,) for bias in biases):
        trained_on = "Places365"
    with path.open("rb") as file:
        origin = f"file {path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    origin += f" ({'; '.join(state.notes)})" if state.notes else ""
    return origin if trained_on is None else f"{trained_on}, {origin}"


def check_values(where: str, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise a `WeightsError` that names the first tensor that a network cannot compute with.

    Args:
        where: what holds them.
        tensors: by names that the network has.
        wanted: the network's own.
    """
    for name, value in tensors.items():
        reason = unlike(value, wanted[name]) or unusable(name, value, wanted[name].dtype)
        if reason is not None:
            raise WeightsError(
                f"{where}: tensor {name} is {reason}. The file is damaged, or of a training that "
                "failed; name another."
            )


def pretraining(origin: str) -> str:
    """Say in a word or two what an encoder was trained on, for tables of results.

    >>> pretraining("timm resnet50.a1_in1k"), pretraining("Places365, file best.pt sha256:0123")
    ('ImageNet', 'Places365')
    >>> pretraining("random seed 0"), pretraining("file my file 2.pth sha256:0123")
    ('nothing', 'unknown (my file 2.pth)')
    """
    if match := ORIGIN.fullmatch(origin):
        return match["trained_on"] or f"unknown ({match['file']})"
    if origin.startswith("random "):
        return "nothing"
    return "ImageNet" if re.search(r"_in(1|12|21|22)k", origin) else f"unknown ({origin})"


def read_weights(
    path: Path, chosen: str | None = None, wanted: Collection[str] = ()
) -> tuple[FoundState, str | None]:
    """Read the state dict of a file, on the CPU, and what it says that it was trained on.

    Args:
        chosen: name of one of several state dicts in it; None for the one that is not averaged.
        wanted: names of the model's tensors; a prefix that these have is not taken off. Of a run's
            checkpoint the visual encoder's model is read alone.

    Raises:
        WeightsError: no such file, not a file of weights, or a pickle that names code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights. {WAYS}")
    content = _content(path)
    trained_on = None
    if (
        isinstance(content, dict)
        and "digest" in content
        and isinstance(content.get("network"), dict)
    ):
        trained_on = content.get("trained_on")
        content = {
            name.removeprefix(OURS): value
            for name, value in content["network"].items()
            if name.startswith(OURS)
        }
    try:
        return find_state(content, str(path), chosen, wanted), trained_on
    except ValueError as fault:
        raise WeightsError(f"{path}: {fault}. {WAYS}") from fault


def _content(path: Path) -> Any:
    """Return what the file holds; pickles may hold tensors and plain values alone."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return load_archive(path)
    except Exception as fault:  # damaged files raise nearly every type there is
        code = re.search(r"GLOBAL (\S+)", str(fault))
        if code:
            raise WeightsError(
                f"{path}: it names {code[1]}, which is neither a tensor nor a plain value; files "
                f"that may run code are not loaded. If you trust it, save its tensors alone."
            ) from fault
        reason = _first_line(fault)
        if isinstance(fault, pickle.UnpicklingError):  # torch advises what may run code
            reason = "it is no file of tensors and plain values, or damaged."
        raise WeightsError(f"{path}: cannot be read as weights: {reason} {WAYS}") from fault


def digest(module: nn.Module) -> str:
    """SHA-256 over a module's tensors (name, type, shape, bytes), 64 hexadecimal digits."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _first_line(fault: Exception) -> str:
    said = [type(fault).__name__, *str(fault).strip().splitlines()[:1]]
    return f"{': '.join(said).rstrip('.')}."
