"""What a program computes with: the device, worker threads, processes, console, stop request."""

import os
from dataclasses import dataclass
from typing import Self

import torch

from avsc.manifests.errors import SettingError
from avsc.train.fit.console import Console
from avsc.train.fit.distributed import ALONE, Processes
from avsc.train.fit.signals import StopRequest
from avsc.train.settings import PlacesSettings, Settings


@dataclass(frozen=True)
class Computing:
    """Where and how the network computes; no choice here changes more than rounding.

    Attributes:
        device: where.
        batch_size: samples (and images) at a time.
        workers: threads that prepare images.
    """

    device: torch.device
    batch_size: int
    workers: int


@dataclass(frozen=True)
class Session:
    """What one training program works with, whatever it trains.

    Attributes:
        computing: where and how to compute.
        console: told what was chosen, found and done.
        stop: whether a signal asked to stop.
        processes: those that train together.
    """

    computing: Computing
    console: Console
    stop: StopRequest
    processes: Processes = ALONE

    @classmethod
    def open(
        cls,
        settings: Settings | PlacesSettings,
        console: Console,
        stop: StopRequest | None = None,
        processes: Processes = ALONE,
    ) -> Self:
        """Choose the device that settings name and say which it is.

        Raises:
            SettingError: there is no such device, or the processes cannot share a batch evenly.
        """
        device, text = choose_device(settings.device, processes)
        processes.check(settings.batch_size)
        console.say(text)
        workers = cores(processes) if settings.workers is None else settings.workers
        computing = Computing(device, settings.batch_size, workers)
        return cls(computing, console, StopRequest() if stop is None else stop, processes)

    @property
    def device(self) -> torch.device:
        """Where to compute."""
        return self.computing.device

    @property
    def workers(self) -> int:
        """Threads that prepare images."""
        return self.computing.workers


def cores(processes: Processes = ALONE) -> int:
    """Return the number of cores that this process may use, shared with those beside it."""
    return max(1, len(os.sched_getaffinity(0)) // processes.local_count)


def choose_device(name: str, processes: Processes = ALONE) -> tuple[torch.device, str]:
    """Choose the compute device; return it, and a line that reports which it is and why.

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
        why = "auto: the first CUDA device" if available else "auto: there is no CUDA device"
    else:
        wanted, why = _parse(name), "as requested"
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
    # What is trained computes in full float32, not in TF32, which cuDNN would use by default.
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
