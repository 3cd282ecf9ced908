"""Checkpoints: whole or absent, loaded without running code.

``last.pt`` is where a run goes on; ``best.pt`` is what is evaluated; ``visual.pt`` holds the frozen
visual encoder once, so that evaluation needs no download. Each is written under a temporary name,
flushed and renamed. Loading admits tensors and plain values only.
"""

import io
from pathlib import Path
from typing import Any

import torch

from avsc.manifests.errors import AvscError
from avsc.manifests.publish import publish


def save(path: Path, content: dict[str, Any]) -> None:
    """Publish a checkpoint of tensors and plain values."""
    data = io.BytesIO()
    torch.save(content, data)
    publish(path, data.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content, on the CPU.

    Raises:
        AvscError: the file is missing or damaged, or holds anything but tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise AvscError(f"{path}: no such checkpoint. Train the run with avsc-fit.") from None
    except Exception as fault:
        raise AvscError(
            f"{path}: not a whole checkpoint ({str(fault).splitlines()[0]}). Restore it, or start "
            "the run anew with --no-resume."
        ) from fault
    if not isinstance(content, dict):
        raise AvscError(f"{path}: holds a {type(content).__name__}, no checkpoint of avsc-fit.")
    return content


def fill(module: torch.nn.Module, state: dict[str, Any], path: Path) -> None:
    """Load a state into a module.

    Raises:
        AvscError: the state is of another shape; names what differs first.
    """
    own = module.state_dict()
    for name in [*own, *state]:
        mine, found = own.get(name), state.get(name)
        if mine is None or found is None or mine.shape != found.shape:
            there = "nothing" if found is None else list(found.shape)
            wanted = "nothing" if mine is None else list(mine.shape)
            raise AvscError(
                f"{path}: of another shape: {name} is {there}, wanted {wanted}. It belongs to "
                "another system or other settings; name another --out, or use --no-resume."
            )
    module.load_state_dict(state)
