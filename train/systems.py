"""The systems of the paper as points in one small space of choices.

For each modality a `Branch` says what is read (acoustic frames or images, embeddings that an
encoder made of them beforehand, or vectors from elsewhere), where the encoder's initial weights
come from and whether it is trained. Everything else is one network, one training loop and one
evaluation for all. Another system is another row.

Rows up to ``end-to-end`` are those of the paper: Tables 2 to 4 and the end of section 2.2.3. The
rows of the baseline are the official one of DCASE 2021, task 1B; `avsc.train.model.baseline` says
what of it is documented and what is chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from avsc.manifests.errors import SettingError

Modality = Literal["audio", "visual"]
Answer = Literal["fused", "late", "fallback"]
"""Whose answer counts: that of the classifier of both modalities; the late product of the unimodal
heads; or the classifier's where both modalities are there, else that of the head that is left.
"""
ENCODER: Mapping[Modality, str] = {"audio": "acoustic", "visual": "visual"}
"""What options, settings and checkpoints call a modality's encoder."""


@dataclass(frozen=True)
class Branch:
    """How one modality comes into a system.

    Attributes:
        start: the encoder's initial weights: ``fresh``, drawn from the seed; ``weights``, those
            that ``--visual-weights`` names; ``run``, those of an earlier run; None where there is
            no encoder and vectors from elsewhere are embeddings already.
        reads: ``raw``, acoustic frames or encoded images, which are augmented; ``embeddings``,
            what the encoder made of them beforehand, so that it is no part of the network;
            ``vectors``, a file of vectors from elsewhere.
        trained: whether the encoder learns; otherwise it stays as it starts, in evaluation mode.
    """

    start: Literal["fresh", "weights", "run"] | None
    reads: Literal["raw", "embeddings", "vectors"] = "raw"
    trained: bool = False


@dataclass(frozen=True)
class System:
    """One point of the space.

    Attributes:
        name: the verb of ``avsc-fit`` and the name in a run's records.
        about: one line for the help.
        audio: how sound comes in; None where it does not.
        visual: how images come in; None where they do not.
        classifier: ``scene``, the paper's; ``sub-network`` and ``late``, the baseline's.
        defaults: settings whose defaults are not the paper's.
    """

    name: str
    about: str
    audio: Branch | None
    visual: Branch | None
    classifier: Literal["scene", "sub-network", "late"] = "scene"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def branches(self) -> dict[Modality, Branch]:
        """The branches that there are, audio first."""
        both: dict[Modality, Branch | None] = {"audio": self.audio, "visual": self.visual}
        return {modality: branch for modality, branch in both.items() if branch is not None}

    @property
    def visual_frozen(self) -> bool:
        """Whether the visual encoder stays as it starts."""
        return self.visual is None or not self.visual.trained

    @property
    def acoustic_frozen(self) -> bool:
        """Whether the acoustic encoder stays as it starts."""
        return self.audio is None or not self.audio.trained

    def chosen(
        self, runs: Mapping[Modality, Path | None], files: Mapping[Modality, Path | None]
    ) -> Self:
        """Return the system with its branches as the named runs and vector files have them.

        Args:
            runs: what ``--acoustic-run`` and ``--visual-run`` name.
            files: what ``--acoustic-embeddings`` and ``--visual-embeddings`` name.

        Raises:
            SettingError: the system needs a run or a file that is not named, or takes none.
        """
        branches = {
            modality: _branch(self.name, branch, modality, runs[modality], files[modality])
            for modality, branch in self.branches.items()
        }
        return replace(self, audio=branches.get("audio"), visual=branches.get("visual"))


def trained_alone(modality: Modality, *, vectors: bool) -> str:
    """Return the name of the system that trains an encoder of one modality alone.

    >>> trained_alone("visual", vectors=True)
    'baseline-video'
    """
    for system in SYSTEMS.values():
        branch = system.branches.get(modality)
        if branch and len(system.branches) == 1 and (branch.reads == "vectors") == vectors:
            return system.name
    raise KeyError(modality)


def _branch(
    name: str, branch: Branch, modality: Modality, run: Path | None, file: Path | None
) -> Branch:
    """Return a branch of the system `name` as the run and the file that are named have it."""
    encoder = ENCODER[modality]
    if file is not None:
        if branch.reads == "raw":
            raise SettingError(
                f"--{encoder}-embeddings is {file}, but {name} computes its {encoder} "
                "embeddings itself. Omit it, or train a system that reads stored ones "
                "(pipeline, ablation-2, baseline)."
            )
        if branch.reads == "embeddings":
            if run is not None:
                raise SettingError(
                    f"--{encoder}-embeddings is {file} and --{encoder}-run is {run}: the "
                    "embeddings come from the one or the other; use only one of them."
                )
            return Branch(None, "vectors")
    if run is not None and branch.start == "fresh":
        raise SettingError(
            f"--{encoder}-run is {run}, but {name} trains its {encoder} encoder from scratch. "
            "Omit it, or train a system that takes one (pipeline, ablation-3)."
        )
    if run is not None:
        return replace(branch, start="run")
    if branch.start == "run":
        verb = trained_alone(modality, vectors=branch.reads == "vectors")
        raise SettingError(
            f"{name} takes its {encoder} encoder from an earlier run, and none is named. Name it "
            f"by --{encoder}-run; `avsc-fit {verb}` trains one."
        )
    if branch.reads == "vectors" and file is None:
        raise SettingError(
            f"{name} reads {encoder} vectors from elsewhere, and no file is named. Name it by "
            f"--{encoder}-embeddings; docs/systems.md says what it holds."
        )
    return branch


TRAINED = Branch("fresh", trained=True)
FROZEN = Branch("weights")
STORED = Branch("weights", "embeddings")

BASELINE = {
    "optimiser": "adam",
    "lr_max": 1e-4,
    "lr_min": 1e-4,
    "weight_decay": 1e-4,
    "batch_size": 64,
    "dropout": 0.2,
}
DENSE_TRAINED = Branch("fresh", "vectors", trained=True)
DENSE_FROZEN = Branch("run", "vectors")

SYSTEMS = {
    system.name: system
    for system in (
        System("audio", "Train on audio alone (Table 2).", TRAINED, None),
        System("video", "Train on images alone (Table 2).", None, FROZEN),
        System(
            "pipeline",
            "Train the classifier on stored embeddings (Table 3; ablation I).",
            Branch("run", "embeddings"),
            STORED,
        ),
        System("ablation-2", "Train on audio and stored visual embeddings.", TRAINED, STORED),
        System(
            "ablation-3",
            "Train on images with an earlier run's acoustic encoder.",
            Branch("run"),
            FROZEN,
        ),
        System(
            "joint", "Train on audio and images together (Table 3; ablation IV).", TRAINED, FROZEN
        ),
        System(
            "end-to-end",
            "Train both encoders on audio and images.",
            TRAINED,
            Branch("weights", trained=True),
        ),
        System(
            "baseline-audio",
            "Train the official baseline's acoustic sub-network.",
            DENSE_TRAINED,
            None,
            "sub-network",
            {**BASELINE, "epochs": 199},
        ),
        System(
            "baseline-video",
            "Train the official baseline's visual sub-network.",
            None,
            DENSE_TRAINED,
            "sub-network",
            {**BASELINE, "epochs": 199},
        ),
        System(
            "baseline",
            "Train the official baseline's late layers on both sub-networks.",
            DENSE_FROZEN,
            DENSE_FROZEN,
            "late",
            {**BASELINE, "epochs": 99},
        ),
    )
}

SECOND_NAMES = {"ablation-1": "pipeline", "ablation-4": "joint"}
"""Verbs for the rows of Table 4 that are rows of Table 3."""

VERBS = {**SYSTEMS, **{verb: SYSTEMS[name] for verb, name in SECOND_NAMES.items()}}
"""The system that each verb of ``avsc-fit`` trains."""
