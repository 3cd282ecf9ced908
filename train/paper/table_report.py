"""The files of a table.

table-N.csv    every figure in all digits
table-N.tex    for a paper; needs the package booktabs
table-N.md     the table, how it deviates from the paper's, and what the paper leaves open; written
               last
"""

from collections.abc import Sequence
from pathlib import Path

from avsc.manifests import escape
from avsc.manifests.folder_claims import publish_together
from avsc.train.evaluate.bootstrap import MINIMUM
from avsc.train.evaluate.writing import LOG_LOSS, NONE, PERCENT, NumberFormat, markdown_table
from avsc.train.model.visual import PAPER_BACKBONES
from avsc.train.paper.plan import TablePlan
from avsc.train.paper.table import PaperTable, SeedMean, TableLine, row_name
from avsc.train.settings.declared import option
from avsc.train.settings.scenes import Settings

HEADER = (
    "row", "inputs", "VE", "protocol", "log-loss", "acc. %",
    "paper", "acc. %", "difference", "acc. %",
)  # fmt: skip
WORDS = 4
"""Number of columns of words, which come before those of figures."""
PAPER_PRETRAINING = "Places365"
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
"""Settings that do not deviate from the paper's; for the weights, the column VE says it."""
TITLES = {
    "2": "Table 2: uni-modal systems",
    "3": "Table 3: audio-visual systems",
    "4": "Table 4: ablation",
    "5": "Table 5: comparison with published results",
    "augment": "The joint system by the augmentation of its training images",
}


def write_table(folder: Path, table: PaperTable) -> Path:
    """Write a table's files; return the path of the page.

    Raises:
        AvscError: a file cannot be written.
    """
    name, title = f"table-{table.plan.table}", TITLES[table.plan.table]
    notes = "\n".join(f"- {note}" for note in remarks(table))
    choices = "\n".join(f"- {what}: {choice}" for what, choice in open_choices(table.plan).items())
    page = (
        f"# {title}\n\n{markdown(table.lines)}\n\n{notes}\n\n"
        f"## Choices that the paper leaves open\n\n{choices}\n"
    )
    files = {
        f"{name}.csv": comma_separated(table.lines),
        f"{name}.tex": latex(table.lines, title),
        f"{name}.md": page.encode(),
    }
    publish_together(folder, files)
    return folder / f"{name}.md"


def markdown(lines: Sequence[TableLine]) -> str:
    """Return the table as Markdown, with rounded figures."""
    return markdown_table([HEADER, *_rows(lines)], left=WORDS)


def latex(lines: Sequence[TableLine], caption: str) -> bytes:
    """Return the table as LaTeX for booktabs, with rounded figures."""
    header, *rows = (
        " & ".join(map(escape.latex, cells)) + r" \\" for cells in (HEADER, *_rows(lines))
    )
    columns = "l" * WORDS + "r" * (len(HEADER) - WORDS)
    return "\n".join(
        (
            r"\begin{table}", rf"\caption{{{escape.latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows,
            r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        )
    ).encode()  # fmt: skip


def comma_separated(lines: Sequence[TableLine]) -> bytes:
    """Return the table as CSV, one line per row, every figure in a column of its own."""
    columns = ("mean", "deviation", "low", "high")
    table: list[list[object]] = [
        ["row", "inputs", "visual_pretraining", "protocol", "runs",
         *(f"{name}_{column}" for name in ("log_loss", "accuracy") for column in columns),
         "segments", "log_loss_paper", "accuracy_paper", "log_loss_difference",
         "accuracy_difference", "source"]
    ]  # fmt: skip
    for line in lines:
        scores, published = line.scores, line.published
        figures = [None] * 9 if scores is None else [
            *_digits(scores.log_loss), *_digits(scores.accuracy), scores.segments
        ]  # fmt: skip
        paper = (None, None) if published is None else (published.log_loss, published.accuracy)
        table.append(
            [line.label, " + ".join(line.inputs), line.pretraining, line.protocol, line.runs,
             *figures, *paper, *(line.differences or (None, None)), published and published.source]
        )  # fmt: skip
    return escape.csv_sheet(table)


def _digits(figure: SeedMean) -> list[float | None]:
    interval = figure.interval
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return [figure.mean, figure.std, *ends]


def _rows(lines: Sequence[TableLine]) -> list[list[str]]:
    """Return the cells of lines; what a row's second line would repeat is omitted."""
    rows = []
    for before, line in zip([None, *lines], lines, strict=False):
        cells = _cells(line)
        if before is not None and (before.label, before.inputs) == (line.label, line.inputs):
            cells[:3] = ["", "", ""]
        rows.append(cells)
    return rows


def _cells(line: TableLine) -> list[str]:
    scores, published, differences = line.scores, line.published, line.differences
    cells = [line.label, " + ".join(line.inputs) or NONE, line.pretraining or NONE]
    cells += [line.protocol or NONE]
    if scores is None:
        cells += [NONE, NONE]
    else:
        cells += [_figure(scores.log_loss, LOG_LOSS), _figure(scores.accuracy, PERCENT)]
    if published is None:
        cells += [NONE, NONE]
    else:
        cells += [f"{published.log_loss:.4g}", f"{100 * published.accuracy:.4g}"]
    if scores is None or differences is None:
        return [*cells, NONE, NONE]
    digits = LOG_LOSS.decimals(scores.log_loss.interval)
    percent = PERCENT.decimals(scores.accuracy.interval)
    return [
        *cells,
        LOG_LOSS.figure(differences[0], digits, "+"),
        PERCENT.figure(differences[1], percent, "+"),
    ]


def _figure(figure: SeedMean, form: NumberFormat) -> str:
    decimals = form.decimals(figure.interval)
    spread = "" if figure.std is None else f" ± {form.figure(figure.std, decimals)}"
    return f"{form.figure(figure.mean, decimals)}{spread} {form.interval(figure.interval)}"


def remarks(table: PaperTable) -> list[str]:
    """Return what a reader of the table has to know, in Markdown."""
    notes = [
        "Log-loss in nats and accuracy are the official class-wise means on one-second segments of "
        "the test fold; strict and centred say which frames count for a second. Differences are "
        "measured less published.",
        f"{_seeds(table.seeds)}; in brackets the 95 % confidence interval by a bootstrap-t, "
        f"{table.resampling.resamples:,} resamples of the {_units(table.lines)} within each scene.",
    ]
    notes += _pretraining_notes(table.lines)
    expected = {scores.expected for scores in table.rows.values()}
    if expected - {SEGMENTS}:
        counts = ", ".join(f"{count:,}" for count in sorted(expected))
        notes.append(
            f"**Not the paper's test fold**: it has {SEGMENTS:,} segments, this one {counts}; the "
            "differences mean nothing."
        )
    changed = {name: value for name, value in table.overrides.items() if name not in INDIFFERENT}
    if changed:
        values = ", ".join(f"{option(name)} {value}" for name, value in changed.items())
        notes.append(
            f"**Not the paper's settings**: all runs were trained with {escape.markdown(values)}."
        )
    for row in table.plan.rows:
        if (scores := table.rows.get(row_name(row))) is None:
            continue
        short = {
            protocol: by_protocol.segments
            for protocol, by_protocol in scores.by_protocol.items()
            if by_protocol.segments < scores.expected
        }
        if short:
            counts = ", ".join(f"{p} {count:,}/{scores.expected:,}" for p, count in short.items())
            notes.append(f"**Not the official figure** in {row_name(row)}: {counts} segments.")
    return notes


def _pretraining_notes(lines: Sequence[TableLine]) -> list[str]:
    """Return which rows' visual encoders had another pretraining than the paper's."""
    rows: dict[str, dict[str, None]] = {}
    for line in lines:
        if line.scores is not None and line.pretraining not in (None, PAPER_PRETRAINING):
            row = f"{line.label} ({' + '.join(line.inputs)})"
            rows.setdefault(line.pretraining or "", {})[row] = None
    return [
        f"**VE: {escape.markdown(pretraining)}**, not {PAPER_PRETRAINING} as in the paper, is what "
        f"the visual encoder was pre-trained on in: {'; '.join(names)}."
        for pretraining, names in rows.items()
    ]


def open_choices(plan: TablePlan) -> dict[str, str]:
    """Return the choices that the paper leaves open, and what they are in a table's runs."""
    settings = next(iter(plan.runs.values())).settings if plan.runs else Settings()
    validation = {
        "location": f"whole locations, about {settings.validation_fraction:.0%} of the clips",
        "random": f"random clips, {settings.validation_fraction:.0%}; they leak locations",
        "file": f"the clips that {escape.markdown(str(settings.validation_file))} lists",
        "none": "none; the last epoch is kept",
    }.get(settings.validation, f"{settings.validation}, {settings.validation_fraction:.0%}")
    models = ", ".join(f"{name} is timm's {tag}" for name, tag in PAPER_BACKBONES.items())
    return {
        "which frames belong to a second": "both readings are given, strict and centred",
        "validation clips (the paper: about 10 % at random)": validation,
        "the epoch that is kept": f"lowest validation log-loss, {settings.protocol}",
        "the scalogram's 290 wavelets, spectra and logarithm": "docs/choices.md, features/",
        "which implementation of the image models": models,
        "how the image models were tuned on Places365": "docs/places.md; column VE",
        "strength of augmentation": "crop 0.08 to 1, flip 0.5, jitter 0.4, 0.4, 0.4, 0.1",
        "stored embeddings (pipeline, ablation II)": "of images that are not augmented",
        "the pipeline's acoustic encoder": "best epoch of the audio-only run of the same seed",
        "what the acoustic encoder concatenates": f"--concat {settings.concat}",
        "length of the restarts' cycles": f"{settings.lr_period} epochs, "
        f"each {settings.lr_factor} times as long as the last",
        "weight decay": f"{settings.weight_decay:g}",
    }


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"One run per row, seed {seeds[0]}, so there is no standard deviation over seeds"
    return (
        f"Mean and standard deviation over {len(seeds)} runs per row, seeds "
        f"{', '.join(map(str, seeds))}"
    )


def _units(lines: Sequence[TableLine]) -> str:
    units = next((line.scores.units for line in lines if line.scores is not None), None)
    if units is None:
        return "locations"
    text = f"{units.count} {units.kind}s"
    if units.kind == "clip":
        text += " (locations are not known)"
    if units.count < MINIMUM or units.alone:
        text += f" (no intervals: they need {MINIMUM}, and two in each scene)"
    return text
