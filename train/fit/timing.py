"""How long each epoch took, and on what: the rows of timing.csv.

A file of its own, because times differ between runs that are otherwise the same, and metrics.csv
does not. Process 0 writes it whole after each epoch; nothing that is trained depends on it. A run
that resumes drops the rows of epochs that it trains once more. A run that was killed between an
epoch's checkpoint and its row has no row for that epoch, and a run started by a version without
this file has none for the epochs of that version.
"""

import csv
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from avsc.manifests.errors import AvscError
from avsc.manifests.files import csv_bytes
from avsc.train.fit.compute import Session
from avsc.train.fit.device import device_name
from avsc.train.fit.run_folder import RunFolder


@dataclass(frozen=True)
class EpochTime:
    """The time of one epoch.

    Attributes:
        epoch: number, from 1.
        first_batch: the batch that the seconds begin with, from 0; above 0 if the epoch was
            resumed there, so that the seconds are of the rest of it.
        seconds: of wall-clock time: training, validation and saving.
        device: that computed it, as `compute.device_name` says it.
        processes: that trained together, each with such a device.
    """

    epoch: int
    first_batch: int
    seconds: float
    device: str
    processes: int


HEADER = tuple(field.name for field in fields(EpochTime))


class EpochTimer:
    """Times the epochs of a run and keeps its timing.csv.

    Args:
        epochs: that are done; later rows of the file are dropped.
        session: what computes; its console shows when existing rows cannot be read.
    """

    def __init__(self, folder: RunFolder, epochs: int, session: Session) -> None:
        self._folder, self._processes = folder, session.processes
        self._device = device_name(session.device)
        self._rows: list[EpochTime] = []
        if self._processes.main and folder.timing.exists():
            try:
                self._rows = [row for row in read_timing(folder.timing) if row.epoch <= epochs]
            except AvscError as fault:
                session.console.say(
                    f"{fault} It is rewritten without the epochs before this start."
                )
        before = _model(self._rows[-1].device if self._rows else self._device)
        if (now := _model(self._device)) != before:
            session.console.say(
                f"device: the last epoch was computed on {before}, the next is on {now}; they draw "
                "dropout's masks differently, so the run ends otherwise than on one of them alone"
            )
        self.start(0)

    def start(self, batch: int) -> None:
        """Start timing an epoch, or the rest of one from a batch on."""
        self._batch, self._began = batch, time.monotonic()

    def stop(self, epoch: int) -> float:
        """Record the time of an epoch that has ended; return its seconds."""
        seconds = time.monotonic() - self._began
        if self._processes.main:
            count = self._processes.count
            row = EpochTime(epoch, self._batch, round(seconds, 3), self._device, count)
            self._rows.append(row)
            data = csv_bytes([HEADER, *map(astuple, self._rows)])
            self._folder.publish(self._folder.timing, data)
        return seconds


def _model(device: str) -> str:
    """Return what draws alike.

    >>> _model("cuda:1, NVIDIA H100"), _model("cpu, 8 threads")
    ('NVIDIA H100', 'the CPU')
    """
    return device.partition(", ")[2] if device.startswith("cuda") else "the CPU"


def read_timing(path: Path) -> list[EpochTime]:
    """Read a run's timing.csv.

    Raises:
        AvscError: the file cannot be read or is not such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                EpochTime(
                    int(cells["epoch"]),
                    int(cells["first_batch"]),
                    float(cells["seconds"]),
                    cells["device"],
                    int(cells["processes"]),
                )
                for cells in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as fault:
        raise AvscError(
            f"{path}: not the epoch times of a run ({fault}); nothing but `avsc-fit table "
            "--dry-run` reads them, so that it may be removed."
        ) from fault
