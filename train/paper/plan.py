"""Which runs a table needs, and the figures that the paper has for its rows.

A run has a stable name, made of its system, feature, image model, augmentation and seed, and a
folder of that name; rows of different tables that need the same run share it. A system that takes
its acoustic encoder from another run takes it from the audio-only run of the same feature and seed,
which the plan then lists before it.

The paper's figures are in ``paper.csv``, each with its source: C. Chen, M. Wang, P. Zhang,
"Audio-visual scene classification using a transfer learning based joint optimization strategy",
2022, Tables 2 to 5. The file also says which system, acoustic feature and image model each row is;
a published result of others has none.
"""

import csv
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from avsc.manifests.errors import SettingError
from avsc.train.data.augment import TRANSFORMS
from avsc.train.settings.declared import option
from avsc.train.settings.scenes import Settings
from avsc.train.systems import SYSTEMS, System

TABLES = ("2", "3", "4", "5", "augment")


@dataclass(frozen=True)
class PublishedResult:
    """One row of a table of the paper.

    Attributes:
        table: its number, ``"2"`` to ``"5"``.
        strategy: ``pipeline`` or ``joint``, where the paper says so; else empty.
        verb: of avsc-fit, that trains it; None for a result of others.
        feature: acoustic feature; None without audio.
        backbone: image model; None without images.
        log_loss: nats.
        accuracy: 0 to 1.
        source: where the figures are published.
    """

    table: str
    label: str
    strategy: str
    verb: str | None
    feature: str | None
    backbone: str | None
    log_loss: float
    accuracy: float
    source: str


@dataclass(frozen=True)
class PlannedRun:
    """One run of a table.

    Attributes:
        name: of its folder.
        folder: where it is kept.
        donor: name of the run that its acoustic encoder is taken from, or None.
    """

    name: str
    system: System
    settings: Settings
    folder: Path
    donor: str | None

    def command(self) -> str:
        """Return the avsc-fit command that trains it, quoted for a shell."""
        words = ["avsc-fit", self.system.name, "--out", str(self.folder)]
        defaults, preset = self.system.defaults, self.settings.preset
        usual = Settings(**defaults), Settings(**{**defaults, "preset": preset})
        for field in fields(Settings):
            value = getattr(self.settings, field.name)
            if any(value != getattr(settings, field.name) for settings in usual):
                words += [option(field.name), str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        feature: acoustic feature; None without audio.
        backbone: image model; None without images.
        published: the paper's figures; None where it has none.
        runs: names of its runs, one per seed; none for a published result of others.
    """

    label: str
    feature: str | None
    backbone: str | None
    published: PublishedResult | None
    runs: tuple[str, ...]


@dataclass(frozen=True)
class TablePlan:
    """A table's rows, and its runs in an order in which they can be trained.

    Attributes:
        table: one of `TABLES`.
        runs: by name; a donor comes before the runs that need it.
    """

    table: str
    rows: tuple[TableRow, ...]
    runs: dict[str, PlannedRun]


@dataclass(frozen=True)
class _Variant:
    """What one row trains."""

    label: str
    verb: str | None
    feature: str | None
    backbone: str | None
    augment: str | None
    published: PublishedResult | None


def published_results(table: str) -> tuple[PublishedResult, ...]:
    """Return the rows of a table of the paper, in its order.

    >>> [(row.label, row.log_loss) for row in published_results("2")][1:3]
    [('Audio-only', 0.6325), ('Video-only', 0.3939)]
    """
    text = files(__package__).joinpath("paper.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedResult(
            table,
            row["label"],
            row["strategy"],
            row["verb"] or None,
            row["feature"] or None,
            row["backbone"] or None,
            float(row["log_loss"]),
            float(row["accuracy_percent"]) / 100,
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
        if row["table"] == table
    )


def make_plan(
    table: str, out: Path, seeds: Sequence[int], overrides: Mapping[str, Any]
) -> TablePlan:
    """Return what a table needs.

    Args:
        table: one of `TABLES`.
        out: folder that contains the runs' folders.
        seeds: of each row's runs.
        overrides: settings of all runs that differ from a system's defaults, by name.

    Raises:
        SettingError: a setting cannot be used, or is one that the table varies.
    """
    if table == "augment" and "augment" in overrides:
        raise SettingError("--augment is what this table varies; omit it.")
    runs: dict[str, PlannedRun] = {}
    rows = []
    for variant in _variants(table):
        backbone = variant.backbone and overrides.get("backbone", variant.backbone)
        names = () if variant.verb is None else tuple(
            _add(runs, variant, seed, out, overrides) for seed in seeds
        )  # fmt: skip
        rows.append(TableRow(variant.label, variant.feature, backbone, variant.published, names))
    donors = {run.donor for run in runs.values()}
    ordered = sorted(runs.values(), key=lambda run: run.name not in donors)
    return TablePlan(table, tuple(rows), {run.name: run for run in ordered})


def _variants(table: str) -> list[_Variant]:
    if table != "augment":
        return [
            _Variant(row.label, row.verb, row.feature, row.backbone, None, row)
            for row in published_results(table)
        ]
    best = published_results("3")[-1]
    subsets = [subset for size in range(4) for subset in combinations(TRANSFORMS, size)]
    return [
        _Variant(
            ", ".join(subset) or "none",
            best.verb,
            best.feature,
            best.backbone,
            ",".join(subset) or "none",
            best if subset == TRANSFORMS else None,
        )
        for subset in subsets
    ]


def _add(
    runs: dict[str, PlannedRun],
    variant: _Variant,
    seed: int,
    out: Path,
    overrides: Mapping[str, Any],
) -> str:
    """Add a row's run, and its donor; return its name."""
    system = SYSTEMS[variant.verb or ""]
    donor = None
    values = {**system.defaults, **overrides, "seed": seed}
    if variant.feature is not None:
        values["feature"] = variant.feature
    if variant.backbone is not None:
        values["backbone"] = overrides.get("backbone", variant.backbone)
        values["visual_weights"] = _weights(overrides, values["backbone"])
    else:
        values.pop("visual_weights", None)
    if variant.augment is not None:
        values["augment"] = variant.augment
    if system.audio is not None and system.audio.start == "run":
        audio = _Variant("", "audio", variant.feature, None, None, None)
        donor = _add(runs, audio, seed, out, overrides)
        values["acoustic_run"] = out / donor
    name = _name(system, Settings(**values))
    runs.setdefault(name, PlannedRun(name, system, Settings(**values), out / name, donor))
    return name


def _weights(overrides: Mapping[str, Any], backbone: str) -> str:
    """Return a backbone's weights from ``VALUE`` or ``BACKBONE=VALUE,BACKBONE=VALUE``."""
    text: str = overrides.get("visual_weights", "pretrained")
    if "=" not in text:
        return text
    pairs = dict(pair.partition("=")[::2] for pair in text.split(","))
    if backbone not in pairs:
        raise SettingError(
            f"--visual-weights is {text!r}: it names none for {backbone}; add "
            f"{backbone}=FILE (or =pretrained)."
        )
    return pairs[backbone]


def _name(system: System, settings: Settings) -> str:
    words = [system.name]
    if system.audio is not None:
        words.append(settings.feature)
    if system.visual is not None:
        words.append(settings.backbone.replace("/", "-"))
        if settings.augment != ",".join(TRANSFORMS) and system.visual.reads == "raw":
            words.append(f"augment-{settings.augment.replace(',', '-')}")
    return "-".join([*words, f"seed{settings.seed}"])
