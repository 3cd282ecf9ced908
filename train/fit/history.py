"""The metrics of each epoch: metrics.csv, and the same for TensorBoard.

Both are written from the history that the checkpoint carries, so that a resumed run neither repeats
an epoch nor keeps one that was lost. Times are kept elsewhere, in timing.csv: a run that was
stopped and resumed ends with the same metrics.csv as one that was not.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from avsc.manifests.errors import AvscError
from avsc.manifests.files import csv_bytes, publish

VALIDATION = ("validation_log_loss", "validation_accuracy")


@dataclass(frozen=True)
class Row:
    """One epoch.

    Attributes:
        epoch: number, from 1; 0 is a classification layer that was fitted before the first.
        learning_rate: of its last step.
        training_loss: mean over its batches, in training mode, nats.
        validation_log_loss: official metric on the validation clips, nats; None without them.
        validation_accuracy: the same, 0 to 1.
    """

    epoch: int
    learning_rate: float
    training_loss: float
    validation_log_loss: float | None = None
    validation_accuracy: float | None = None

    def summary(self) -> str:
        """Say the epoch in words.

        >>> Row(3, 0.01, 0.5, 0.25, 0.9).summary()
        'epoch 3, training loss 0.5000, validation log-loss 0.2500, accuracy 90.00 %'
        """
        text = f"epoch {self.epoch}, training loss {self.training_loss:.4f}"
        if self.validation_log_loss is None or self.validation_accuracy is None:
            return text
        return (
            f"{text}, validation log-loss {self.validation_log_loss:.4f}, "
            f"accuracy {100 * self.validation_accuracy:.2f} %"
        )


def best_row(history: Sequence[Row]) -> Row | None:
    """Return the epoch with the lowest validation log-loss, the last one without validation."""
    if not history or history[-1].validation_log_loss is None:
        return history[-1] if history else None
    return min(history, key=lambda row: row.validation_log_loss or 0.0)


def write_metrics(
    path: Path,
    history: Sequence[Row],
    kind: type[Row] = Row,
    write: Callable[[Path, bytes], None] = publish,
) -> None:
    """Write metrics.csv, rows of one kind, by a function that writes a file."""
    names = [field.name for field in fields(kind)]
    write(path, csv_bytes([names, *map(astuple, history)]))


def read_metrics(path: Path) -> list[Row]:
    """Read the metrics.csv of a system's run.

    Raises:
        AvscError: the file is missing or not such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Row(
                    int(cells["epoch"]),
                    float(cells["learning_rate"]),
                    float(cells["training_loss"]),
                    *(float(cells[name]) if cells[name] else None for name in VALIDATION),
                )
                for cells in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as fault:
        raise AvscError(
            f"{path}: not the metrics of a run ({fault}). Run the same `avsc-fit SYSTEM` again, "
            "which rewrites them."
        ) from fault


def finished(history: Sequence[Row], epochs: int, patience: int) -> bool:
    """Whether all epochs are done, or `patience` of them without a better validation."""
    best, done = best_row(history), history[-1].epoch if history else 0
    impatient = best is not None and 0 < patience <= done - best.epoch
    return done >= epochs or impatient


class Curves:
    """TensorBoard's log of a run; a context manager.

    Args:
        folder: where it is written; an earlier log there is replaced.
        history: the epochs done so far.
    """

    def __init__(self, folder: Path, history: Sequence[Row]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # slow to import

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = SummaryWriter(str(folder))
        for row in history:
            self.add(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, row: Row) -> None:
        """Add an epoch."""
        values = asdict(row)
        epoch = values.pop("epoch")
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()
