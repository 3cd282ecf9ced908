"""The files of a comparison.

comparison.json    every figure, with what was compared
comparison.csv     one row for the mean over scenes, for each scene and for each city
comparison.md      the same on one page; written last
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avsc.manifests import escape
from avsc.manifests.folder_claims import publish_together
from avsc.train.evaluate.bootstrap import METHOD, MINIMUM
from avsc.train.evaluate.compare import ComparedGroup, Comparison, Difference
from avsc.train.evaluate.writing import (
    LOG_LOSS,
    PERCENT,
    NumberFormat,
    json_bytes,
    markdown_table,
    provenance_table,
)


def write_comparison(folder: Path, comparison: Comparison, provenance: dict[str, Any]) -> None:
    """Write the files.

    Args:
        provenance: what was compared, and how; plain values, with ``first`` and ``second``.

    Raises:
        AvscError: a file cannot be written.
    """
    values = {
        **provenance,
        "resampled": comparison.kind,
        "intervals": METHOD,
        "rows": [_values(row) for row in comparison.rows],
    }
    files = {
        "comparison.csv": _csv(comparison.rows),
        "comparison.json": json_bytes(values),
        "comparison.md": _page(comparison, provenance).encode(),
    }
    publish_together(folder, files)


def comparison_tables(comparison: Comparison) -> str:
    """Return the differences in log-loss, and those in accuracy, as two Markdown tables."""
    mean = comparison.rows[0]
    digits = LOG_LOSS.decimals(mean.log_loss.interval)
    percent = PERCENT.decimals(mean.accuracy.interval)
    losses = [_cells(row, row.log_loss, LOG_LOSS, digits) for row in comparison.rows]
    accuracies = [_cells(row, row.accuracy, PERCENT, percent) for row in comparison.rows]
    columns = [f"{comparison.kind}s", "first", "second", "second - first", "95 % interval", "p"]
    return "\n\n".join(
        markdown_table([[figure, *columns], *rows])
        for figure, rows in (("log-loss", losses), ("accuracy / %", accuracies))
    )


def in_words(comparison: Comparison, resamples: int) -> str:
    """Return the difference of the means over scenes in two sentences."""
    mean = comparison.rows[0]
    return " ".join(
        (
            _sentence("log-loss", mean.log_loss, LOG_LOSS, "", resamples),
            _sentence("accuracy", mean.accuracy, PERCENT, " points", resamples),
        )
    )


def legend(comparison: Comparison, resamples: int) -> str:
    """Return what the p-values are, and why an interval may be missing."""
    unit = comparison.kind
    return (
        f"Next to an interval, p is of equal means, at least 1/{resamples + 1:,}. No interval (-): "
        f"fewer than {MINIMUM} {unit}s, a scene with only one, or too few that differ; p is then "
        f"by flipping signs, at least 1/2^(n - 1) with n {unit}s that differ, and a small p means "
        f"that the two are not interchangeable at every {unit}, not that their means differ. p is "
        "not corrected for the number of rows."
    )


def _sentence(
    figure: str, difference: Difference, form: NumberFormat, unit: str, resamples: int
) -> str:
    if difference.difference == 0:
        return f"The {figure} of both is the same."
    way = "lower" if difference.difference < 0 else "higher"
    interval, p = difference.interval, _p(difference.p)
    size = form.figure(abs(difference.difference), form.decimals(interval))
    if interval is None:
        return (
            f"The second's {figure} is {way} by {size}{unit} (no interval); p = {p} by flipping "
            "signs."
        )
    return (
        f"The second's {figure} is {way} by {size}{unit} (95 % interval of the difference "
        f"{form.interval(interval, '+')}); p = {p} by {resamples:,} resamples."
    )


def _cells(row: ComparedGroup, difference: Difference, form: NumberFormat, most: int) -> list[str]:
    """Return a row's cells, with the decimals of its interval; without one, those of the mean."""
    interval = difference.interval
    decimals = most if interval is None else form.decimals(interval)
    return [
        row.name,
        str(row.units),
        form.figure(difference.first, decimals),
        form.figure(difference.second, decimals),
        form.figure(difference.difference, decimals, "+"),
        form.interval(interval, "+"),
        _p(difference.p),
    ]


def _p(p: float) -> str:
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _values(row: ComparedGroup) -> dict[str, Any]:
    values = asdict(row)
    for name in ("log_loss", "accuracy"):
        values[name]["difference"] = getattr(row, name).difference
    return values


def _csv(rows: Sequence[ComparedGroup]) -> bytes:
    columns = ("first", "second", "difference", "low", "high", "p")
    table: list[list[Any]] = [
        ["group", "name", "segments", "units",
         *(f"{figure}_{column}" for figure in ("log_loss", "accuracy") for column in columns)]
    ]  # fmt: skip
    for row in rows:
        cells: list[Any] = [row.group, row.name, row.segments, row.units]
        for figure in (row.log_loss, row.accuracy):
            interval = figure.interval
            ends = ("", "") if interval is None else (interval.low, interval.high)
            cells += [figure.first, figure.second, figure.difference, *ends, figure.p]
        table.append(cells)
    return escape.csv_sheet(table)


def _page(comparison: Comparison, provenance: dict[str, Any]) -> str:
    first, second = (escape.markdown(provenance[name]) for name in ("first", "second"))
    resamples = provenance["resamples"]
    return f"""# {second} against {first}

{escape.markdown(in_words(comparison, resamples))}

The mean over scenes, and each scene, are the official class-wise figures; those of a city are means
over its segments. Intervals are by a bootstrap-t over {comparison.kind}s, drawn within each scene
(within each city for a city).
{"" if comparison.kind == "location" else "Locations are not known; clips are resampled instead."}

{comparison_tables(comparison)}

{legend(comparison, resamples)}

{provenance_table(provenance)}
"""
