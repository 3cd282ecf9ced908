"""Reading files of weights: checksums, the state dict among the content, whether it can be loaded.

Training programs save a model's tensors as they are (timm, torchvision), under a name beside other
things (``state_dict``: Lightning, MMPretrain; ``model``: DeiT, Swin, ConvNeXt), twice, the second
time averaged over the steps (``state_dict_ema``: timm), and with prefixes of what the model was
wrapped in (``module.``: DataParallel, AveragedModel; ``_orig_mod.``: torch.compile; ``model.``,
``backbone.``: modules around it). All of these are unwrapped; averaged weights are used only if
named, or if there is nothing else. EfficientNets named as in EfficientNet-PyTorch are renamed.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avsc.train.model.efficientnet_names import timm_names

ARCHIVE = b"PK\x03\x04"
PREFERRED = ("state_dict", "model_state_dict", "model", "module", "net", "network", "backbone")
"""Names by which one of several state dicts is taken."""
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
DEPTH = 4  # dicts within dicts that are looked into
NAMED = 3  # tensors that a message names

State = dict[str, Tensor]


def load_archive(path: Path) -> Any:
    """Return what a file of `torch.save` holds, on the CPU: tensors and plain values alone.

    Such a file is a ZIP archive with a CRC-32 for each tensor, which `torch.load` does not check: a
    flipped bit would give other weights and no error. Files from before PyTorch 1.6 are no archives
    and have no checksums.

    Raises:
        ValueError: a checksum differs, or the archive is damaged otherwise.
        Exception: whatever else `torch.load` raises for a file that it cannot read.
    """
    with path.open("rb") as file:
        if file.read(4) == ARCHIVE:
            _compare_checksums(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _compare_checksums(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            # What is marked as a folder, torch returns as memory that was never written.
            folders = [entry.filename for entry in archive.infolist() if entry.external_attr]
    except Exception as fault:  # damaged archives raise nearly every type there is
        raise ValueError(f"a damaged archive: {fault}") from fault
    if damaged or folders:
        raise ValueError(f"the checksum of {damaged or folders[0]} differs")


@dataclass(frozen=True)
class FoundState:
    """A state dict, and how it was found.

    Attributes:
        tensors: by name, without prefixes.
        notes: what was unwrapped, renamed and ignored, in words.
    """

    tensors: State
    notes: tuple[str, ...]


def find_state(content: Any, file: str, chosen: str | None, wanted: Collection[str]) -> FoundState:
    """Find a model's state dict in the content of a file.

    Args:
        file: what the user calls it.
        chosen: name of the state dict that is to be taken; None for the one that is not averaged.
        wanted: names of the model's tensors; a prefix that these have is not taken off.

    Raises:
        ValueError: there is no state dict, none of the chosen name, or several to choose from.
    """
    states = dict(_states(content))
    if not states:
        raise ValueError(f"found {_said(content)}, wanted names with tensors (a state dict)")
    ways = ", ".join(f"{file}#{name}" for name in states if name) or file
    name = _plain(tuple(states)) if chosen is None else chosen
    if name is None:
        raise ValueError(f"found {len(states)} state dicts, wanted one by its name: {ways}")
    if name not in states:
        raise ValueError(f"found no {name!r} in it, wanted {ways}")
    notes = [f"its {name}"] if name else []
    if len(states) > 1:
        others = ", ".join(f"{file}#{other}" for other in states if other != name)
        notes = [f"its {name}; {others} is there too"]
    tensors = states[name]
    while not any(key in tensors for key in wanted) and (prefix := _prefix(tensors)):
        outside = [key for key in tensors if not key.startswith(prefix)]
        tensors = {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        notes.append(f"names without {prefix}")
        if outside:
            notes.append(f"{len(outside)} other tensors left out: {some(outside)}")
    if (renamed := timm_names(tensors, wanted)) is not None:
        tensors = renamed
        notes.append("names of EfficientNet-PyTorch")
    return FoundState(tensors, tuple(notes))


def unlike(tensor: Tensor, wanted: Tensor) -> str | None:
    """Return why a tensor cannot take another's place, whatever its values, or None.

    >>> unlike(torch.zeros(2, dtype=torch.int64), torch.zeros(2))
    'int64 (wanted float32)'
    >>> unlike(torch.zeros(2), torch.zeros(3))
    '(2,) (wanted (3,))'
    """
    if tensor.layout is not torch.strided:
        return f"{_plain_name(tensor.layout)} (wanted dense)"
    if tensor.is_meta or tensor.is_quantized or _kind(tensor) != _kind(wanted):
        there = "without values" if tensor.is_meta else _plain_name(tensor.dtype)
        return f"{there} (wanted {_plain_name(wanted.dtype)})"
    if tensor.shape != wanted.shape:
        return f"{tuple(tensor.shape)} (wanted {tuple(wanted.shape)})"
    return None


def unusable(name: str, tensor: Tensor, dtype: torch.dtype) -> str | None:
    """Return what is wrong with a dense tensor's values in another type, or None.

    >>> unusable("bn.running_var", torch.tensor([1.0, -0.5]), torch.float32)
    'negative in 1 of 2 values'
    """
    if not dtype.is_floating_point:
        return None
    values = tensor.to(dtype)
    for wrong, what in ((~values.isfinite(), "not finite"), (values < 0, "negative")):
        # A variance's square root is divided by; anything else may be negative.
        if wrong.any() and (what == "not finite" or name.endswith("running_var")):
            return f"{what} in {int(wrong.sum())} of {wrong.numel()} values"
    return None


def some(names: Sequence[str]) -> str:
    """Return the first few of some names."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _states(content: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """Yield the state dicts in a content, with their dotted names."""
    if not isinstance(content, dict) or depth > DEPTH:
        return
    if content and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        yield name, dict(content)
        return
    for key, value in content.items():
        if isinstance(key, str):
            yield from _states(value, f"{name}.{key}" if name else key, depth + 1)


def _plain(names: tuple[str, ...]) -> str | None:
    """Return the name of the state dict that is meant where none is named, or None."""
    plain = [name for name in names if "ema" not in re.split(r"[._]", name.lower())] or list(names)
    if len(plain) == 1:
        return plain[0]
    return next((name for name in PREFERRED if name in plain), None)


def _prefix(names: Collection[str]) -> str | None:
    """Return the prefix of `PREFIXES` that most names have, or None where none has one."""
    count = Counter(prefix for prefix in PREFIXES for name in names if name.startswith(prefix))
    return count.most_common(1)[0][0] if count else None


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "int"


def _plain_name(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")


def _said(content: Any) -> str:
    """Return what a content is, in a few words."""
    if not isinstance(content, dict):
        return type(content).__name__
    odd = [f"{name!r} ({type(value).__name__})" for name, value in content.items()]
    return f"dict with {some(odd)}" if odd else "an empty dict"
