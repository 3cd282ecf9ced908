"""Which runs a table needs.

A run has a stable name, made of its system, feature, image model, augmentation and seed, and lies
in a folder of that name; rows of different tables that need the same run share it. A system that
takes its acoustic encoder from another run takes it from the audio-only run of the same feature and
seed, which is then one of the table's runs, before it.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any

from avsc.manifests.errors import SettingError
from avsc.train.checked_settings import option
from avsc.train.data.augment import TRANSFORMS
from avsc.train.paper.printed import Printed, printed_rows
from avsc.train.settings import Settings
from avsc.train.systems import SYSTEMS, System

TABLES = ("2", "3", "4", "5", "augment")


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        name: of its folder.
        system: what is trained.
        settings: of the run.
        folder: where it is kept.
        need: name of the run that its acoustic encoder is taken from, or None.
    """

    name: str
    system: System
    settings: Settings
    folder: Path
    need: str | None

    def command(self) -> str:
        """Return the avsc-fit command that trains it, fit for a shell."""
        words = ["avsc-fit", self.system.name, "--out", str(self.folder)]
        for each in fields(Settings):
            value = getattr(self.settings, each.name)
            if value != self.system.defaults.get(each.name, each.default):
                words += [option(each.name), str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        label: of the row.
        feature: acoustic feature; None without sound.
        backbone: image model; None without pictures.
        printed: what the paper has for it; None where it has nothing.
        jobs: names of its runs, one a seed; none for a published result of others.
    """

    label: str
    feature: str | None
    backbone: str | None
    printed: Printed | None
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A table's rows, and its runs in an order in which they can be made.

    Attributes:
        table: one of `TABLES`.
        rows: of the table.
        jobs: by name; a run that is needed comes before those that need it.
    """

    table: str
    rows: tuple[Row, ...]
    jobs: dict[str, Job]


@dataclass(frozen=True)
class _Wanted:
    """A row before its runs are named."""

    label: str
    verb: str | None
    feature: str | None
    backbone: str | None
    augment: str | None
    printed: Printed | None


def make_plan(table: str, out: Path, seeds: Sequence[int], given: Mapping[str, Any]) -> Plan:
    """Return what a table needs.

    Args:
        table: one of `TABLES`.
        out: folder that the runs' folders lie in.
        seeds: of each row's runs.
        given: settings of all runs that differ from a system's defaults, by name.

    Raises:
        SettingError: a setting cannot be used, or the table chooses it itself.
    """
    if table == "augment" and "augment" in given:
        raise SettingError("--augment is what this table varies; leave it away.")
    jobs: dict[str, Job] = {}
    rows = []
    for wanted in _wanted(table):
        backbone = wanted.backbone and given.get("backbone", wanted.backbone)
        names = () if wanted.verb is None else tuple(
            _add(jobs, wanted, seed, out, given) for seed in seeds
        )  # fmt: skip
        rows.append(Row(wanted.label, wanted.feature, backbone, wanted.printed, names))
    needed = {job.need for job in jobs.values()}
    ordered = sorted(jobs.values(), key=lambda job: job.name not in needed)
    return Plan(table, tuple(rows), {job.name: job for job in ordered})


def _wanted(table: str) -> list[_Wanted]:
    """Return a table's rows."""
    if table != "augment":
        return [
            _Wanted(row.label, row.verb, row.feature, row.backbone, None, row)
            for row in printed_rows(table)
        ]
    best = printed_rows("3")[-1]
    subsets = [each for size in range(4) for each in combinations(TRANSFORMS, size)]
    return [
        _Wanted(
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
    jobs: dict[str, Job], wanted: _Wanted, seed: int, out: Path, given: Mapping[str, Any]
) -> str:
    """Add a row's run, and the one that it needs; return its name."""
    system = SYSTEMS[wanted.verb or ""]
    need = None
    values = {**system.defaults, **given, "seed": seed}
    if wanted.feature is not None:
        values["feature"] = wanted.feature
    if wanted.backbone is not None:
        values["backbone"] = given.get("backbone", wanted.backbone)
        values["visual_weights"] = _weights(given, values["backbone"])
    else:
        values.pop("visual_weights", None)
    if wanted.augment is not None:
        values["augment"] = wanted.augment
    if system.audio is not None and system.audio.start == "run":
        audio = _Wanted("", "audio", wanted.feature, None, None, None)
        need = _add(jobs, audio, seed, out, given)
        values["acoustic_run"] = out / need
    name = _name(system, Settings(**values))
    jobs.setdefault(name, Job(name, system, Settings(**values), out / name, need))
    return name


def _weights(given: Mapping[str, Any], backbone: str) -> str:
    """Return a backbone's weights out of ``VALUE`` or ``BACKBONE=VALUE,BACKBONE=VALUE``."""
    text: str = given.get("visual_weights", "pretrained")
    if "=" not in text:
        return text
    pairs = dict(each.partition("=")[::2] for each in text.split(","))
    if backbone not in pairs:
        raise SettingError(
            f"--visual-weights is {text!r}: it names none for {backbone}; add "
            f"{backbone}=FILE (or =pretrained)."
        )
    return pairs[backbone]


def _name(system: System, settings: Settings) -> str:
    parts = [system.name]
    if system.audio is not None:
        parts.append(settings.feature)
    if system.visual is not None:
        parts.append(settings.backbone.replace("/", "-"))
        if settings.augment != ",".join(TRANSFORMS) and system.visual.reads == "raw":
            parts.append(f"augment-{settings.augment.replace(',', '-')}")
    return "-".join([*parts, f"seed{settings.seed}"])
