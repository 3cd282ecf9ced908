"""The folder of a run: the names of its files, and making room for a new run.

    RUN/settings.json   settings, store, split, visual encoder, versions: written first
    RUN/split.csv       clip,part: which clips are trained on and which validated on
    RUN/visual.pt       weights of a frozen visual encoder, as the run found them
    RUN/last.pt         the newest checkpoint, from which the run goes on
    RUN/best.pt         the weights of the best epoch, which are evaluated
    RUN/metrics.csv     one row an epoch
    RUN/tensorboard/    the same for TensorBoard
    RUN/log.txt         what was printed, with the time

A run goes on in the folder that it began in, so that a job that is put back in the queue finds its
own. A new run in its place (``--no-resume``) destroys nothing: the folder is renamed first.
"""

from dataclasses import dataclass
from pathlib import Path

from avsc.manifests.errors import AvscError


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def settings(self) -> Path:
        """Settings, store, split, visual encoder, versions."""
        return self.path / "settings.json"

    @property
    def split(self) -> Path:
        """Which clips are trained on and which validated on."""
        return self.path / "split.csv"

    @property
    def visual(self) -> Path:
        """Weights of a frozen visual encoder."""
        return self.path / "visual.pt"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "best.pt"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event file."""
        return self.path / "tensorboard"

    @property
    def log(self) -> Path:
        """What was printed."""
        return self.path / "log.txt"

    @property
    def begun(self) -> bool:
        """Whether a run was begun here."""
        return self.settings.exists() or self.last.exists()

    def set_aside(self) -> Path | None:
        """Rename the folder to ``RUN.1`` (or the next free number) if a run was begun in it.

        Returns:
            The new name, or None when there was nothing to keep.

        Raises:
            AvscError: the folder cannot be renamed.
        """
        if not self.begun:
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
        except OSError as fault:
            raise AvscError(
                f"{self.path}: the run in it could not be renamed to {aside} "
                f"({fault.strerror or fault}). Name another folder by --out."
            ) from fault
        return aside
