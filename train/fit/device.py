"""The device that a run computes on, chosen aloud."""

import os
from dataclasses import dataclass

import torch

from avsc.manifests.errors import SettingError


@dataclass(frozen=True)
class Computing:
    """Where and how the network computes; no choice here changes more than rounding.

    Attributes:
        device: where.
        batch_size: samples (and pictures) at a time.
        workers: threads that prepare pictures.
    """

    device: torch.device
    batch_size: int
    workers: int


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def choose_device(name: str) -> tuple[torch.device, str]:
    """Return the device, and a line that says which it is and why.

    Args:
        name: ``"auto"`` (the first CUDA device if there is one, else the CPU), ``"cpu"``,
            ``"cuda"`` or ``"cuda:N"``.

    Raises:
        SettingError: another name, or a CUDA device that is not there.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        wanted = torch.device("cuda", 0) if available else torch.device("cpu")
        why = "auto: the first of CUDA" if available else "auto: there is no CUDA device"
    else:
        wanted, why = _parse(name), "as asked"
    if wanted.type == "cpu":
        return wanted, f"device: cpu, {torch.get_num_threads()} threads ({why})"
    number = wanted.index or 0
    if number >= available:
        raise SettingError(
            f"--device is {name}, but torch {torch.__version__} finds {available} CUDA devices "
            "here. Ask for --device cpu, or run where the device and its driver are."
        )
    # What is trained computes in float32 proper, not in TF32, which cuDNN would use by default.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda", number), (
        f"device: cuda:{number}, {torch.cuda.get_device_name(number)} ({why})"
    )


def _parse(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise SettingError(f"--device is {name!r}; auto, cpu, cuda or cuda:N.")
    return torch.device(name)
