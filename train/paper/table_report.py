"""A table's page: its lines, what was not the paper's, and what the paper left open.

table-N.csv    every figure
table-N.tex    for a paper
table-N.md     the page; written last
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avsc.manifests import escape
from avsc.manifests.errors import AvscError
from avsc.manifests.folder_claims import publish_together
from avsc.train.checked_settings import option
from avsc.train.evaluate.bootstrap import MINIMUM, Resampling
from avsc.train.evaluate.predictions import segment_names
from avsc.train.evaluate.submissions import Truth, read_entrant
from avsc.train.model.visual import PAPER_BACKBONES
from avsc.train.paper.table_layout import Line, comma_separated, latex, markdown
from avsc.train.paper.table_plan import Plan, Row
from avsc.train.paper.table_scores import Measured, measure, score
from avsc.train.protocol import Segments
from avsc.train.settings import Settings

PAPERS = "Places365"
SEGMENTS = 36_450
"""In the test fold of TAU2021."""
INDIFFERENT = (
    "store",
    "device",
    "workers",
    "compile",
    "save_minutes",
    "embeddings",
    "visual_weights",
)
"""Settings that say nothing against the paper's; what the weights are says the column VE."""
TITLES = {
    "2": "Table 2: uni-modal systems",
    "3": "Table 3: audio-visual systems",
    "4": "Table 4: ablation",
    "5": "Table 5: beside published results",
    "augment": "The joint system by the augmentation of its training pictures",
}


def table_lines(
    plan: Plan, truth: Truth, how: Resampling
) -> tuple[list[Line], dict[str, Measured]]:
    """Return the lines of a table whose runs are all evaluated, and what each row came to.

    Raises:
        AvscError: a run is not evaluated.
    """
    lines, found = [], {}
    for row in plan.rows:
        inputs = tuple(each for each in (row.feature, row.backbone) if each)
        if not row.jobs:
            strategy = () if row.printed is None else (row.printed.strategy,)
            lines.append(Line(row.label, strategy, None, None, 0, None, row.printed))
            continue
        measured = measure([plan.jobs[name] for name in row.jobs], truth, how)
        found[_key(row)] = measured
        lines += [
            Line(
                row.label, inputs, measured.pretraining, protocol, len(row.jobs), each, row.printed
            )
            for protocol, each in measured.scores.items()
        ]
    return lines, found


def file_lines(
    files: Sequence[Path], wanted: Segments, truth: Truth, how: Resampling, allow_missing: bool
) -> list[Line]:
    """Return the lines of other systems' predictions.

    Args:
        files: the predictions, of segments or of whole clips.
        wanted: the segments of the test fold, as a run of the table has them.
        truth: what they refer to.
        how: of the intervals.
        allow_missing: score what is there if segments or clips are missing.

    Raises:
        AvscError: a file is not of the form, holds what is not of the test fold, or leaves
            something out that may not be.
    """
    lines = []
    for file in files:
        found = read_entrant(file, "strict", truth)
        count = _check_covers(file, found, wanted, truth, allow_missing)
        label = file.name if len(found) == count else f"{file.name} ({len(found):,}/{count:,})"
        what = "whole clips, as given" if found.second is None else "as given"
        measured = score([found], truth, how)
        lines.append(Line(label, (), None, what, 1, measured, None))
    return lines


def _check_covers(
    file: Path, found: Segments, wanted: Segments, truth: Truth, allow_missing: bool
) -> int:
    """Return how many segments, or clips, there should be; raise if the file is not of them."""
    whole = found.second is None
    needed = replace(wanted, second=None, clip=np.unique(wanted.clip)) if whole else wanted
    here, there = {*segment_names(found, truth.clips)}, {*segment_names(needed, truth.clips)}
    kind = "clips" if whole else "segments"
    if foreign := sorted(here - there):
        raise AvscError(
            f"{file}: {foreign[0]!r} and {len(foreign) - 1:,} more are none of the {len(there):,} "
            f"{kind} of the test fold here. Take them out."
        )
    if (lost := sorted(there - here)) and not allow_missing:
        raise AvscError(
            f"{file}: {len(here):,} of {len(there):,} {kind} of the test fold; missing are "
            f"{', '.join(lost[:3])}{' and more' if len(lost) > 3 else ''}. The official figure is "
            "over all of them: complete the file, or say --allow-missing."
        )
    return len(there)


def write_table(
    folder: Path,
    plan: Plan,
    lines: Sequence[Line],
    found: Mapping[str, Measured],
    given: Mapping[str, Any],
    seeds: Sequence[int],
    how: Resampling,
) -> Path:
    """Write a table's files; return the page.

    Args:
        folder: where.
        plan: of the table.
        lines: of the table.
        found: what each row came to.
        given: settings that differ from the systems' defaults.
        seeds: of the runs.
        how: of the intervals.

    Raises:
        AvscError: a file cannot be written.
    """
    name = f"table-{plan.table}"
    notes = remarks(plan, lines, found, given, seeds, how)
    listed = "\n".join(f"- {note}" for note in notes)
    open_ = "\n".join(f"- {what}: {here}" for what, here in left_open(plan).items())
    page = (
        f"# {TITLES[plan.table]}\n\n{markdown(lines)}\n\n{listed}\n\n"
        f"## What the paper leaves open, and is here\n\n{open_}\n"
    )
    files = {
        f"{name}.csv": comma_separated(lines),
        f"{name}.tex": latex(lines, TITLES[plan.table]),
        f"{name}.md": page.encode(),
    }
    publish_together(folder, files)
    return folder / f"{name}.md"


def remarks(
    plan: Plan,
    lines: Sequence[Line],
    found: Mapping[str, Measured],
    given: Mapping[str, Any],
    seeds: Sequence[int],
    how: Resampling,
) -> list[str]:
    """Return what has to be known to read a table."""
    notes = [
        "Log-loss in nats and accuracy are the official class-wise means on one-second segments of "
        "the test fold; strict and centred say which frames count for a second. Differences are "
        "measured less printed.",
        f"{_seeds(seeds)}; in brackets the 95 % confidence interval by a bootstrap-t, "
        f"{how.resamples:,} resamples of the {_units(lines)} within each scene.",
    ]
    notes += _pretraining_notes(lines)
    expected = {each.expected for each in found.values()}
    if expected - {SEGMENTS}:
        notes.append(
            f"**Not the paper's test fold**: it has {SEGMENTS:,} segments, the one here "
            f"{', '.join(f'{each:,}' for each in sorted(expected))}; differences mean nothing."
        )
    changed = {name: value for name, value in given.items() if name not in INDIFFERENT}
    if changed:
        values = ", ".join(f"{option(name)} {value}" for name, value in changed.items())
        notes.append(
            f"**Not the paper's settings**: all runs were trained with {escape.markdown(values)}."
        )
    for row in plan.rows:
        measured = found.get(_key(row))
        if measured is None:
            continue
        short = {
            p: s.segments for p, s in measured.scores.items() if s.segments < measured.expected
        }
        if short:
            counts = ", ".join(f"{p} {n:,}/{measured.expected:,}" for p, n in short.items())
            notes.append(f"**Not the official figure** in {_key(row)}: {counts} segments.")
    return notes


def _pretraining_notes(lines: Sequence[Line]) -> list[str]:
    """Say which rows' visual encoders were pre-trained on something else than the paper's."""
    rows: dict[str, dict[str, None]] = {}
    for line in lines:
        if line.score is not None and line.pretraining not in (None, PAPERS):
            row = f"{line.label} ({' + '.join(line.inputs)})"
            rows.setdefault(line.pretraining or "", {})[row] = None
    return [
        f"**VE: {escape.markdown(what)}**, and not {PAPERS} as in the paper, is what the visual "
        f"encoder was pre-trained on in: {'; '.join(which)}."
        for what, which in rows.items()
    ]


def left_open(plan: Plan) -> dict[str, str]:
    """Return the choices that the paper leaves open, and what they are in a table's runs."""
    settings = next(iter(plan.jobs.values())).settings if plan.jobs else Settings()
    kept = {
        "location": f"whole locations, about {settings.validation_fraction:.0%} of the clips",
        "random": f"random clips, {settings.validation_fraction:.0%}; they leak locations",
        "file": f"the clips that {escape.markdown(str(settings.validation_file))} lists",
        "none": "none; the last epoch is kept",
    }[settings.validation]
    models = ", ".join(f"{name} is timm's {tag}" for name, tag in PAPER_BACKBONES.items())
    return {
        "which frames belong to a second": "both readings are given, strict and centred",
        "validation clips (the paper: about 10 % at random)": kept,
        "the epoch that is kept": f"least validation log-loss, {settings.protocol}",
        "the scalogram's 290 wavelets, spectra and logarithm": "docs/choices.md, features/",
        "which implementation of the image models": models,
        "how the image models were tuned on Places365": "docs/places.md; column VE",
        "strength of augmentation": "crop 0.08 to 1, flip 0.5, jitter 0.4, 0.4, 0.4, 0.1",
        "stored embeddings (pipeline, ablation II)": "of pictures that are not augmented",
        "the pipeline's acoustic encoder": "best epoch of the audio-only run of the same seed",
        "what the acoustic encoder joins": f"--concat {settings.concat}",
        "length of the restarts' cycles": f"{settings.lr_period} epochs, "
        f"each {settings.lr_factor} times as long as the last",
        "weight decay": f"{settings.weight_decay:g}",
    }


def _key(row: Row) -> str:
    return " ".join(each for each in (row.label, row.feature, row.backbone) if each)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"One run a row, seed {seeds[0]}, so that there is no deviation over seeds"
    return (
        f"Mean and standard deviation over {len(seeds)} runs a row, seeds "
        f"{', '.join(map(str, seeds))}"
    )


def _units(lines: Sequence[Line]) -> str:
    units = [line.score.units for line in lines if line.score is not None]
    if not units:
        return "locations"
    text = f"{len(units[0].group)} {units[0].kind}s"
    if units[0].kind == "clip":
        text += " (locations are not known)"
    if len(units[0].group) < MINIMUM or units[0].alone:
        text += f" (no intervals: they need {MINIMUM}, and two in each scene)"
    return text
