"""What `avsc-fit evaluate` is asked for, and what any evaluation of a run is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from avsc.manifests.errors import SettingError
from avsc.train.evaluate.bootstrap import Resampling
from avsc.train.evaluate.robustness.condition_predictions import Asked
from avsc.train.evaluate.robustness.conditions import Condition
from avsc.train.protocol import PROTOCOLS, Protocol
from avsc.train.systems import Answer


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Which weights of a run answer for which clips, and what computes.

    Attributes:
        store: None means the store that the run was trained on.
        fold: ``"test"``, or one of the run's own parts, ``"train"`` or ``"validation"``.
        checkpoint: weights of the best epoch, or of the last checkpoint.
        answer: whose answer counts.
        temperature: apply temperatures fitted on the run's validation clips.
        allow_other_store: accept a store of other contents.
        device: a name as `choose_device` takes it.
        batch_size: samples at a time on a GPU; None means the run's. A CPU computes ten seconds of
            a clip at a time (`avsc.train.model.ten_seconds`).
        workers: threads that prepare images; None means one per core.
        out: folder of the report; None means one in the run's (`name`).
    """

    store: Path | None = None
    fold: str = "test"
    checkpoint: Literal["best", "last"] = "best"
    answer: Answer = "fused"
    temperature: bool = False
    allow_other_store: bool = False
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    out: Path | None = None

    def name(self, report: str, *options: str) -> str:
        """Return the name of a report's folder: its kind, the fold, and what is not usual."""
        answer = [] if self.answer == "fused" else [self.answer]
        temperature = ["temperature"] if self.temperature else []
        return "-".join([report, self.fold, *answer, *options, *temperature])


@dataclass(frozen=True)
class EvaluationRequest(RunRequest):
    """What to evaluate, and how.

    Attributes:
        run: folder of the run.
        protocols: which frames count, and for what.
        flip: predict by the means over images and their mirror images.
        resampling: for the intervals.
        allow_missing: score the segments that are there if some are missing.
        embeddings: add the clips' embeddings to clips.csv.
        conditions: that the run is evaluated under, too, the complete recordings first.
        page: write report.html, too.
        media: write the clips' sound beside it.
        root: folder of the recordings, for `media` and for noise; None means that of the last
            extraction.
        single_file: write report.html as one file.
    """

    run: Path
    protocols: tuple[Protocol, ...] = PROTOCOLS
    flip: bool = False
    resampling: Resampling = field(default_factory=Resampling)
    allow_missing: bool = False
    embeddings: bool = False
    conditions: tuple[Condition, ...] = ()
    page: bool = False
    media: bool = False
    root: Path | None = None
    single_file: bool = False

    def __post_init__(self) -> None:
        others = {
            "--temperature": self.temperature,
            "--conditions": self.conditions,
            "--embeddings": self.embeddings,
        }
        if self.flip and (given := [name for name, value in others.items() if value]):
            raise SettingError(f"--flip does not go with {given[0]}; use only one of them.")

    @property
    def asked(self) -> Asked:
        """What the run is asked under conditions."""
        seed = self.resampling.seed
        return Asked(self.conditions, self.protocols, seed, self.allow_missing, self.root)

    @property
    def folder(self) -> Path:
        """Folder of the report."""
        flip = ["flip"] if self.flip else []
        return self.out or self.run / self.name("evaluation", *flip)
