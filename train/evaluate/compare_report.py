"""A comparison, written so that it can be read and cited.

comparison.json    every figure, with what was compared
comparison.csv     one row for the mean over scenes, for each scene and for each city
comparison.md      the same on one page; written last
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avsc.manifests import escape
from avsc.manifests.folder_claims import publish_together
from avsc.train.evaluate.bootstrap import METHOD, MINIMUM
from avsc.train.evaluate.compare import Comparison, Difference, Row
from avsc.train.evaluate.markdown import markdown_table
from avsc.train.evaluate.number_format import LOG_LOSS, PERCENT, Form


def write_comparison(folder: Path, found: Comparison, stamp: dict[str, Any]) -> None:
    """Write the files.

    Args:
        folder: where.
        found: what was found.
        stamp: what was compared, and how; plain values, with ``first`` and ``second``.

    Raises:
        AvscError: a file cannot be written.
    """
    values = {
        **stamp,
        "resampled": found.kind,
        "intervals": METHOD,
        "rows": [_values(row) for row in found.rows],
    }
    files = {
        "comparison.csv": _csv(found.rows),
        "comparison.json": (json.dumps(values, indent=2) + "\n").encode(),
        "comparison.md": _page(found, stamp).encode(),
    }
    publish_together(folder, files)


def comparison_tables(found: Comparison) -> str:
    """Return the differences in log-loss, and those in accuracy, as two Markdown tables."""
    mean = found.rows[0]
    digits = LOG_LOSS.decimals(mean.log_loss.interval)
    percent = PERCENT.decimals(mean.accuracy.interval)
    losses = [_cells(row, row.log_loss, LOG_LOSS, digits) for row in found.rows]
    accuracies = [_cells(row, row.accuracy, PERCENT, percent) for row in found.rows]
    what = f"{found.kind}s"
    heads = [[kind, what, "first", "second", "second - first", "95 % interval", "p"]
             for kind in ("log-loss", "accuracy / %")]  # fmt: skip
    return "\n\n".join(
        markdown_table([head, *rows])
        for head, rows in zip(heads, (losses, accuracies), strict=True)
    )


def in_words(found: Comparison, resamples: int) -> str:
    """Say the difference of the means over scenes in two sentences."""
    mean = found.rows[0]
    return " ".join(
        (
            _sentence("log-loss", mean.log_loss, LOG_LOSS, "", resamples),
            _sentence("accuracy", mean.accuracy, PERCENT, " points", resamples),
        )
    )


def legend(found: Comparison, resamples: int) -> str:
    """Say what the p-values are, and why an interval may be missing."""
    unit = found.kind
    return (
        f"Beside an interval, p is of equal means, at least 1/{resamples + 1:,}. No interval (-): "
        f"fewer than {MINIMUM} {unit}s, a scene with a single one, or too few that differ; p is "
        f"then by flipping signs, at least 1/2^(n - 1) with n {unit}s that differ, and a small one "
        f"says that the two are not interchangeable at every {unit}, not that their means differ. "
        "p is not corrected for the number of rows."
    )


def _sentence(what: str, each: Difference, form: Form, unit: str, resamples: int) -> str:
    if each.difference == 0:
        return f"The {what} of both is the same."
    way = "lower" if each.difference < 0 else "higher"
    size = form.figure(abs(each.difference), form.decimals(each.interval))
    if each.interval is None:
        return (
            f"The second's {what} is {way} by {size}{unit} (no interval); p = {_p(each.p)} by "
            "flipping signs."
        )
    return (
        f"The second's {what} is {way} by {size}{unit} (95 % interval of the difference "
        f"{form.interval(each.interval, '+')}); p = {_p(each.p)} by {resamples:,} resamples."
    )


def _cells(row: Row, each: Difference, form: Form, most: int) -> list[str]:
    """Return a row's cells, with the decimals of its interval; without one, those of the mean."""
    decimals = most if each.interval is None else form.decimals(each.interval)
    return [
        row.name,
        str(row.units),
        form.figure(each.first, decimals),
        form.figure(each.second, decimals),
        form.figure(each.difference, decimals, "+"),
        form.interval(each.interval, "+"),
        _p(each.p),
    ]


def _p(p: float) -> str:
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _values(row: Row) -> dict[str, Any]:
    values = asdict(row)
    for name in ("log_loss", "accuracy"):
        values[name]["difference"] = getattr(row, name).difference
    return values


def _csv(rows: Sequence[Row]) -> bytes:
    parts = ("first", "second", "difference", "low", "high", "p")
    table: list[list[Any]] = [
        ["group", "name", "segments", "units",
         *(f"{figure}_{part}" for figure in ("log_loss", "accuracy") for part in parts)]
    ]  # fmt: skip
    for row in rows:
        cells: list[Any] = [row.group, row.name, row.segments, row.units]
        for each in (row.log_loss, row.accuracy):
            ends = ("", "") if each.interval is None else (each.interval.low, each.interval.high)
            cells += [each.first, each.second, each.difference, *ends, each.p]
        table.append(cells)
    return escape.csv_sheet(table)


def _page(found: Comparison, stamp: dict[str, Any]) -> str:
    about = "\n".join(
        f"| {name} | {escape.markdown(str(value))} |" for name, value in stamp.items()
    )
    first, second = (escape.markdown(stamp[name]) for name in ("first", "second"))
    return f"""# {second} against {first}

{escape.markdown(in_words(found, stamp["resamples"]))}

Means over scenes, and each scene, are the official class-wise figures; a city's are means over its
segments. Intervals are by a bootstrap-t over {found.kind}s, drawn within each scene (within each
city for a city).
{"" if found.kind == "location" else "Locations are not known; clips are resampled instead."}

{comparison_tables(found)}

{legend(found, stamp["resamples"])}

| | |
|---|---|
{about}
"""
