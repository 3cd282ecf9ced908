"""The systems of the paper as points in one small space of choices.

For sound and for pictures alike, a `Branch` says what is read (frames or pictures, embeddings that
an encoder made of them beforehand, or vectors from elsewhere), where the encoder's first weights
come from and whether it learns. Everything else is one network, one training loop and one
evaluation for all. A further system is a further row.

Rows up to ``end-to-end`` are those of the paper: Tables 2 to 4 and the end of section 2.2.3. The
rows of the baseline are the official one of DCASE 2021, task 1B; `avsc.train.model.baseline` says
what of it is documented and what is chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Branch:
    """How one modality comes into a system.

    Attributes:
        start: the encoder's first weights: ``fresh``, drawn from the seed; ``weights``, those that
            ``--visual-weights`` names; ``run``, those of a run that was trained before; None
            where there is no encoder and vectors from elsewhere are embeddings already.
        reads: ``raw``, acoustic frames or encoded pictures, which are augmented; ``embeddings``,
            what the encoder made of them beforehand, so that it is no part of the network;
            ``vectors``, a file of vectors from elsewhere.
        trained: the encoder learns; otherwise it stays as it starts, in evaluation mode.
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
        sound: how sound comes in; None where it does not.
        pictures: how pictures come in; None where they do not.
        classifier: ``scene``, the paper's; ``sub-network`` and ``late``, the baseline's.
        defaults: settings whose defaults are not the paper's.
    """

    name: str
    about: str
    sound: Branch | None
    pictures: Branch | None
    classifier: Literal["scene", "sub-network", "late"] = "scene"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def visual_frozen(self) -> bool:
        """Whether the visual encoder stays as it starts."""
        return self.pictures is None or not self.pictures.trained

    @property
    def acoustic_frozen(self) -> bool:
        """Whether the acoustic encoder stays as it starts."""
        return self.sound is None or not self.sound.trained


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
        System("audio", "Train on sound alone (Table 2).", TRAINED, None),
        System("video", "Train on pictures alone (Table 2).", None, FROZEN),
        System(
            "pipeline",
            "Train the classifier on stored embeddings (Table 3; ablation I).",
            Branch("run", "embeddings"),
            STORED,
        ),
        System("ablation-2", "Train on sound and stored visual embeddings.", TRAINED, STORED),
        System(
            "ablation-3",
            "Train on pictures with a run's acoustic encoder.",
            Branch("run"),
            FROZEN,
        ),
        System(
            "joint", "Train on sound and pictures together (Table 3; ablation IV).", TRAINED, FROZEN
        ),
        System(
            "end-to-end",
            "Train both encoders on sound and pictures.",
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
