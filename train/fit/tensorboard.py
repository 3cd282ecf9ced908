"""The epochs' metrics for TensorBoard.

The log is written anew, from the checkpoint's history, whenever a run begins or goes on, so that it
neither repeats an epoch nor holds one that was lost.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard.writer import SummaryWriter

from avsc.train.fit.history import Row


class Curves:
    """TensorBoard's log of a run; a context manager.

    Args:
        folder: where it lies; what lies there is replaced.
        history: the epochs done so far.
    """

    def __init__(self, folder: Path, history: Sequence[Row]) -> None:
        for former in folder.glob("events.out.tfevents.*"):
            former.unlink()
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
