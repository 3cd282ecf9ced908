"""The files of a robustness evaluation.

robustness.json            every figure, with what was evaluated
robustness.csv             one row per condition
robustness.png             log-loss along each kind of condition; as SVG, too
pairs.csv                  whose images each clip had, where they were another clip's
predictions-CONDITION.tsv  the probabilities of every segment, on request, as `predictions` says
robustness.md              the same on one page; written last
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from avsc.manifests import escape
from avsc.manifests.files import Piece, publish_all, remove
from avsc.train.evaluate.predictions import encode_predictions
from avsc.train.evaluate.robustness.conditions import CONDITIONS
from avsc.train.evaluate.robustness.figure import curves
from avsc.train.evaluate.robustness.measures import Robustness
from avsc.train.evaluate.robustness.tables import (
    condition_values,
    conditions_csv,
    conditions_table,
    lent_images_csv,
    notes,
)
from avsc.train.evaluate.temperatures import temperature_lines
from avsc.train.evaluate.writing import bullets, json_bytes, provenance_table


def write_robustness(
    folder: Path, found: Robustness, save_predictions: bool, before: Callable[[], None]
) -> None:
    """Write the files.

    Args:
        folder: where.
        found: what to report.
        save_predictions: write the predictions under each condition, too.
        before: called before each file takes its name; if it raises, no more is written.

    Raises:
        AvscError: a file cannot be written.
    """
    files: dict[str, Piece] = {
        "robustness.csv": conditions_csv(found.rows),
        "robustness.json": _values(found),
        **curves(found.rows).files("robustness"),
        "pairs.csv": lent_images_csv(found.rows, found.clips),
    }
    for row in found.rows if save_predictions else ():
        if row.answer.segments is not None:
            files[f"predictions-{row.condition.name}.tsv"] = encode_predictions(
                row.answer.segments, found.clips, found.classes
            )
    for name in CONDITIONS:  # of an earlier evaluation
        if f"predictions-{name}.tsv" not in files:
            remove(folder / f"predictions-{name}.tsv")
    publish_all(folder, {**files, "robustness.md": _page(found).encode()}, before)


def remarks(found: Robustness) -> list[str]:
    """Return what was fed under which conditions, and the temperatures."""
    protocol = found.provenance["protocol"]
    said = [*notes(found.rows), *temperature_lines(protocol, found.temperatures)]
    if how := found.provenance.get("realigned"):
        unshifted = "; the temperatures were fitted on clips as they are" * bool(found.temperatures)
        said.append(f"each clip was shifted back {how}{unshifted}")
    return said


def _values(found: Robustness) -> bytes:
    return json_bytes(
        {
            **found.provenance,
            "classes": list(found.classes),
            "temperatures": {name: asdict(each) for name, each in found.temperatures.items()},
            "rows": condition_values(found.rows),
        }
    )


def _page(found: Robustness) -> str:
    provenance = found.provenance
    return f"""# Robustness of {escape.markdown(str(provenance["system"]))}

Log-loss and accuracy are the official figures (means over scenes), ECE the expected calibration
error. Differences are paired by segment: this condition minus the complete recordings, and minus
the systems of one modality, which have the complete recordings. "Not worse than what is left": the
upper end of the interval of the difference to each named system of a modality that is as recorded
is at most {provenance["margin"]} nats. "Confidence rose": of the segments from which a modality was
taken away, those whose largest probability is higher without it.

{conditions_table(found.rows, found.alone)}

{bullets(remarks(found))}

![log-loss along each kind of condition](robustness.png)

## What was evaluated

{provenance_table(provenance)}
"""
