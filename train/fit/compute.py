"""What a program computes with: the device, worker threads, processes, console, stop request."""

import os
from dataclasses import dataclass, replace
from typing import Self

import torch

from avsc.train.fit.console import Console
from avsc.train.fit.device import choose_device
from avsc.train.fit.distributed import ALONE, Processes, started_by_srun
from avsc.train.fit.signals import StopRequest
from avsc.train.settings.places import PlacesSettings
from avsc.train.settings.scenes import Settings


@dataclass(frozen=True)
class Computing:
    """Where and how the network computes; no choice here changes more than rounding.

    Attributes:
        device: where.
        batch_size: samples (and images) at a time.
        workers: threads that prepare images.
        accumulate: slices in which a batch is computed in training.
    """

    device: torch.device
    batch_size: int
    workers: int
    accumulate: int = 1

    @classmethod
    def chosen(cls, device: str, batch_size: int, workers: int | None) -> tuple[Self, str]:
        """Return what computes outside training, and a line on the choice of the device.

        Args:
            device: a name as `choose_device` takes it.
            workers: None means one per core.

        Raises:
            SettingError: there is no such device.
        """
        found, text = choose_device(device)
        return cls(found, batch_size, cores() if workers is None else workers), text


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

        A batch size that is still to be chosen, 0, is given later (`with_batches`).

        Raises:
            SettingError: there is no such device, or the processes cannot share a batch evenly.
        """
        device, text = choose_device(settings.device, processes)
        console.say(text)
        workers = cores(processes) if settings.workers is None else settings.workers
        computing = Computing(device, settings.batch_size, workers, settings.accumulate)
        session = cls(computing, console, StopRequest() if stop is None else stop, processes)
        return session.with_batches(settings.batch_size) if settings.batch_size else session

    def with_batches(self, batch_size: int) -> Self:
        """Return the session for batches of so many samples.

        Raises:
            SettingError: the processes cannot share a batch evenly.
        """
        self.processes.check(batch_size, self.computing.accumulate)
        return replace(self, computing=replace(self.computing, batch_size=batch_size))

    @property
    def device(self) -> torch.device:
        """Where to compute."""
        return self.computing.device

    @property
    def slice_size(self) -> int:
        """Samples that the network sees at a time in this process."""
        return self.computing.batch_size // (self.processes.count * self.computing.accumulate)

    @property
    def workers(self) -> int:
        """Threads that prepare images."""
        return self.computing.workers


def cores(processes: Processes = ALONE) -> int:
    """Return the number of cores that this process may use, shared with those beside it.

    Those that srun gave to this process alone, fewer than it has on the machine, are not shared.
    """
    own = len(os.sched_getaffinity(0))
    granted = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if started_by_srun() and granted.isdecimal() and own < int(granted):
        return own
    return max(1, own // processes.local_count)
