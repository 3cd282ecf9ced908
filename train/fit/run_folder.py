"""The folder of a run: the names of its files, and making room for a new run.

    RUN/settings.json   settings, store, split, visual encoder, versions: written first
    RUN/split.csv       clip,part: which clips are trained on and which validated on
    RUN/visual.pt       weights of a frozen visual encoder, as the run started with them
    RUN/last.pt         the newest checkpoint, from which the run resumes
    RUN/previous.pt     the one before it, for when last.pt is damaged or missing
    RUN/best.pt         the weights of the best epoch, which are evaluated
    RUN/metrics.csv     one row per epoch
    RUN/timing.csv      seconds and device of each epoch
    RUN/temperatures.json  temperatures of the probabilities; made by evaluations that ask for them
    RUN/tensorboard/    the figures of metrics.csv for TensorBoard
    RUN/log.txt         what was printed, with the time
    RUN/claim           which process trains here now; absent when none does

The runs of a cross-validation are folders in one: ``DIR/fold-01``, ``DIR/fold-02``, ...

A run resumes in the folder that it started in, so that a requeued job finds its own. A new run in
its place (``--no-resume``) destroys nothing: the folder is renamed first. A process that trains has
claimed the folder, and writes nothing in it once the claim is lost.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from avsc.manifests.claims import Claim
from avsc.manifests.errors import AvscError
from avsc.manifests.files import Piece, publish
from avsc.manifests.folder_claims import claimed
from avsc.train.systems import Answer


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of a run.

    Attributes:
        claim: keeps other processes from training here; None where the folder is only read.
    """

    path: Path
    claim: Claim | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.path.name in ("", ".."):  # such as ".", which has no name to be renamed by
            object.__setattr__(self, "path", self.path.resolve())

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
    def previous(self) -> Path:
        """The checkpoint before the newest."""
        return self.path / "previous.pt"

    @property
    def best(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "best.pt"

    @property
    def metrics(self) -> Path:
        """One row per epoch."""
        return self.path / "metrics.csv"

    @property
    def timing(self) -> Path:
        """Seconds and device of each epoch."""
        return self.path / "timing.csv"

    def temperatures(self, answer: Answer = "fused") -> Path:
        """Temperatures of the probabilities of an answer."""
        name = "temperatures" if answer == "fused" else f"temperatures-{answer}"
        return self.path / f"{name}.json"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event file."""
        return self.path / "tensorboard"

    @property
    def log(self) -> Path:
        """What was printed."""
        return self.path / "log.txt"

    @property
    def started(self) -> bool:
        """Whether a run was started here."""
        return self.settings.exists() or self.saved

    @property
    def saved(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return self.last.exists() or self.previous.exists()

    def check(self) -> None:
        """Raise an `AvscError` if the folder no longer holds this process's run."""
        if self.claim is not None:
            self.claim.check()

    def publish(self, path: Path, *pieces: Piece) -> None:
        """Write a file of the run; the checkpoint that was last.pt becomes previous.pt.

        Raises:
            AvscError: it cannot be written, or the folder no longer holds this run.
        """
        self.check()  # also before the folder is created
        publish(path, *pieces, before=self._keep_last if path == self.last else self.check)

    def _keep_last(self) -> None:
        self.check()
        if self.last.exists():
            self.last.replace(self.previous)

    def set_aside(self) -> Path | None:
        """Rename the folder to ``RUN.1`` (or the next free number) if a run was started in it.

        Returns:
            The new name, or None when there was nothing to keep.

        Raises:
            AvscError: the folder cannot be renamed.
        """
        if not self.started:
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
        if self.claim is not None:
            self.claim.follow(aside)
        return aside


def fold_path(path: Path, number: int) -> Path:
    """Return the folder of one run of a cross-validation, counted from 1."""
    return path / f"fold-{number:02d}"


def in_same_fold(path: Path, number: int) -> Path:
    """Return the folder of the run that a run of a cross-validation takes something from.

    Args:
        path: folder of a run, or of a cross-validation, whose run of the same number it is then.
        number: of the run that takes it; 0 outside a cross-validation.
    """
    return path if number == 0 or RunFolder(path).started else fold_path(path, number)


def run_paths(path: Path) -> tuple[Path, ...]:
    """Return the folder of a run itself, or those of the runs of a cross-validation; else none."""
    if RunFolder(path).started:
        return (path,)
    numbers = itertools.count(1)
    folds = itertools.takewhile(
        lambda fold: RunFolder(fold).started, (fold_path(path, number) for number in numbers)
    )
    return tuple(folds)


@contextmanager
def claimed_run(
    path: Path, say: Callable[[str], None], wait: bool, keep_on: Callable[[], None]
) -> Iterator[RunFolder]:
    """Give a run's folder to this process while the body runs; arguments are as of `claimed`.

    Raises:
        ClaimedError: another process trains there.
    """
    remedy = "Let it finish, wait for it by --wait, or name another folder by --out."
    doing = "a run is being trained here"
    with claimed(path, doing, remedy, say, wait=wait, keep_on=keep_on) as claim:
        yield RunFolder(path, claim)
