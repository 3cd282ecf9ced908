"""The device that a run computes on, chosen aloud."""

import os
from dataclasses import dataclass

import torch

from avsc.manifests.errors import SettingError
from avsc.train.fit.distributed import ALONE, Processes


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


def cores(processes: Processes = ALONE) -> int:
    """Return the number of cores that this process may use, shared out among those beside it."""
    return max(1, len(os.sched_getaffinity(0)) // processes.local_count)


def choose_device(name: str, processes: Processes = ALONE) -> tuple[torch.device, str]:
    """Return the device, and a line that says which it is and why.

    Args:
        name: ``"auto"`` (the first CUDA device if there is one, else the CPU), ``"cpu"``,
            ``"cuda"`` or ``"cuda:N"``.
        processes: those that train together; each takes the CUDA device of its number.

    Raises:
        SettingError: another name, or a CUDA device that is not there.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    several = "" if processes.count == 1 else f"{processes.count} processes, each "
    if name == "auto":
        wanted = torch.device("cuda" if available else "cpu")
        why = "auto: the first of CUDA" if available else "auto: there is no CUDA device"
    else:
        wanted, why = _parse(name), "as asked"
    if wanted.type == "cpu":
        return wanted, f"device: {several}{device_name(wanted)} ({why})"
    if several and wanted.index is not None:
        raise SettingError(
            f"--device is {name}, but {processes.count} processes train together, each on a CUDA "
            "device of its own. Ask for --device cuda."
        )
    number = processes.local_rank if several else wanted.index or 0
    if number >= available:
        raise SettingError(
            f"--device is {name}, but torch {torch.__version__} finds {available} CUDA devices "
            f"here; wanted is number {number}. Ask for --device cpu, or run where the device and "
            "its driver are."
        )
    # What is trained computes in float32 proper, not in TF32, which cuDNN would use by default.
    torch.backends.cudnn.allow_tf32 = False
    torch.cuda.set_device(number)
    device = torch.device("cuda", number)
    return device, f"device: {several}{device_name(device)} ({why})"


def device_name(device: torch.device) -> str:
    """Return which device it is: ``"cuda:0, NVIDIA H100"``, ``"cpu, 8 threads"``."""
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return f"{device}, {torch.cuda.get_device_name(device)}"


def _parse(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise SettingError(f"--device is {name!r}; auto, cpu, cuda or cuda:N.")
    return torch.device(name)
