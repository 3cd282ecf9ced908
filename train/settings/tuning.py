"""Settings of a run that change how it learns, beyond the paper's; off by default."""

from dataclasses import dataclass
from typing import Literal

from avsc.train.settings.computing import ComputingSettings
from avsc.train.settings.declared import setting


@dataclass(frozen=True, kw_only=True)
class TuningSettings(ComputingSettings):
    """Usual improvements of training, each alone; checked when made."""

    mixup: float = setting(
        0.0,
        "Mix samples in pairs, by shares from a beta distribution with this parameter, e.g. 0.2; 0 "
        "is the paper's setting.",
        absent=0.0,
        least=0,
    )
    mixup_lambda: Literal["shared", "separate"] = setting(
        "shared",
        "Whether --mixup mixes audio and image of a sample by one share, or each by its own.",
        belongs_to="mixed",
    )

    weight_average: float = setting(
        None,
        "Decay per step, e.g. 0.999, of an average of the weights over the steps, which is "
        "validated and kept in place of the last; 0 is the paper's setting.  [default: by "
        "--preset, 0 or 0.99]",
        absent=0.0,
        least=0,
        most=1,
    )

    visual_stages: int | None = setting(
        None,
        "Last stages of the image model that are trained, where it is (end-to-end); the others "
        "stay as they start.  [default: all]",
        belongs_to="tuned",
        absent=None,
        least=1,
    )
    visual_lr_factor: float = setting(
        1.0,
        "Learning rate of the image model relative to the others', where it is trained.",
        belongs_to="tuned",
        absent=1.0,
        above=0,
    )
