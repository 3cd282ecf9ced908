"""A comparison, written so that it can be read and cited.

comparison.json    every figure, with what was compared
comparison.csv     one row for the mean over scenes, for each scene and for each city
comparison.md      the same on one page; written last
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avsc.manifests.publish import publish_all
from avsc.train.score.bootstrap import Interval
from avsc.train.score.compare import Comparison, Difference, Row
from avsc.train.score.markdown import markdown_table

NONE = "-"


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
        "single": list(found.alone),
        "rows": [_values(row) for row in found.rows],
    }
    files = {
        "comparison.csv": _csv(found.rows),
        "comparison.json": (json.dumps(values, indent=2) + "\n").encode(),
        "comparison.md": _page(found, stamp).encode(),
    }
    publish_all(folder, files)


def comparison_tables(found: Comparison) -> str:
    """Return the differences in log-loss, and those in accuracy, as two Markdown tables."""
    losses = [_cells(row, row.log_loss, 1, 4) for row in found.rows]
    accuracies = [_cells(row, row.accuracy, 100, 2) for row in found.rows]
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
            _sentence("log-loss", mean.log_loss, 1, "", 4, resamples),
            _sentence("accuracy", mean.accuracy, 100, " points", 2, resamples),
            *(
                f"The intervals are too narrow: {name} has a single {found.kind}, which does not "
                "vary."
                for name in found.alone[:1]
            ),
        )
    )


def _sentence(
    what: str, each: Difference, scale: int, unit: str, digits: int, resamples: int
) -> str:
    if each.difference == 0:
        return f"The {what} of both is the same."
    way = "lower" if each.difference < 0 else "higher"
    if each.interval is None or each.p is None:
        return f"The second's {what} is {way}; nothing can be said of how surely."
    size = scale * abs(each.difference)
    return (
        f"The second's {what} is {way} by {size:.{digits}f}{unit} (95 % interval of the "
        f"difference {_interval(each.interval, scale, digits)}); p = {_chance(each.p)} by "
        f"{resamples:,} resamples."
    )


def _cells(row: Row, each: Difference, scale: int, digits: int) -> list[str]:
    return [
        row.name,
        str(row.units),
        f"{scale * each.first:.{digits}f}",
        f"{scale * each.second:.{digits}f}",
        f"{scale * each.difference:+.{digits}f}",
        NONE if each.interval is None else _interval(each.interval, scale, digits),
        NONE if each.p is None else _chance(each.p),
    ]


def _interval(each: Interval, scale: int, digits: int) -> str:
    return f"[{scale * each.low:+.{digits}f}, {scale * each.high:+.{digits}f}]"


def _chance(p: float) -> str:
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _values(row: Row) -> dict[str, Any]:
    values = asdict(row)
    for name in ("log_loss", "accuracy"):
        values[name]["difference"] = getattr(row, name).difference
    return values


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("first", "second", "difference", "low", "high", "p")
    writer.writerow(
        ["group", "name", "segments", "units",
         *(f"{figure}_{part}" for figure in ("log_loss", "accuracy") for part in parts)]
    )  # fmt: skip
    for row in rows:
        cells: list[Any] = [row.group, row.name, row.segments, row.units]
        for each in (row.log_loss, row.accuracy):
            ends = ("", "") if each.interval is None else (each.interval.low, each.interval.high)
            cells += [each.first, each.second, each.difference, *ends, each.p]
        writer.writerow(cells)
    return text.getvalue().encode()


def _page(found: Comparison, stamp: dict[str, Any]) -> str:
    about = "\n".join(f"| {name} | {value} |" for name, value in stamp.items())
    return f"""# {stamp["second"]} against {stamp["first"]}

{in_words(found, stamp["resamples"])}

Means over scenes, and each scene, are the official class-wise figures; a city's are means over its
segments. Both systems meet the same resampled {found.kind}s, drawn within each scene (within each
city for a city). p is a two-sided share of resamples, not corrected for the number of rows.
{"" if found.kind == "location" else "Locations are not known; clips are resampled instead."}

{comparison_tables(found)}

| | |
|---|---|
{about}
"""
