"""What reports are written in: Markdown tables, JSON, and figures with the digits they carry.

A figure is printed up to the second significant digit of its interval's half width: 0.14871 in
[0.0961, 0.2384] is 0.149 [0.096, 0.238]. No figure gets more digits than are usual in print.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from avsc.manifests import escape
from avsc.train.evaluate.bootstrap import Interval

NONE = "-"


@dataclass(frozen=True)
class NumberFormat:
    """How a kind of figure is printed.

    Attributes:
        scale: factor applied to a figure.
        most: largest number of decimals.
        unknown: decimals of a figure whose interval is withheld.
    """

    scale: int
    most: int
    unknown: int

    def decimals(self, interval: Interval | None) -> int:
        """Return the decimals of a figure with an interval.

        >>> LOG_LOSS.decimals(Interval(0.0961, 0.2384)), PERCENT.decimals(Interval(0.898, 0.961))
        (3, 1)
        """
        half = 0.0 if interval is None else self.scale * (interval.high - interval.low) / 2
        if half == 0:
            return self.unknown
        return min(self.most, max(0, 1 - floor(log10(half))))

    def figure(self, value: float, decimals: int, sign: str = "") -> str:
        """Return a figure alone; sign "+" shows that of a positive one too."""
        return f"{self.scale * value:{sign}z.{decimals}f}"

    def interval(self, interval: Interval | None, sign: str = "") -> str:
        """Return an interval in brackets, or a dash where it is withheld.

        >>> LOG_LOSS.interval(Interval(0.0961, 0.2384))
        '[0.096, 0.238]'
        """
        if interval is None:
            return NONE
        decimals = self.decimals(interval)
        low, high = (self.figure(end, decimals, sign) for end in (interval.low, interval.high))
        return f"[{low}, {high}]"


LOG_LOSS, PERCENT = NumberFormat(1, 4, 3), NumberFormat(100, 2, 1)
COUNT, CALIBRATION = NumberFormat(1, 0, 0), NumberFormat(1, 3, 3)


def markdown_table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table whose columns are padded, so that it reads well as plain text too.

    Args:
        rows: of equal length; the first is the header.
        left: number of columns that hold words, aligned left; the others hold figures, aligned
            right.

    >>> print(markdown_table([["scene", "log-loss"], ["bus", "0.1"]]))
    | scene | log-loss |
    | ----- | -------: |
    | bus   |      0.1 |
    """
    rows = [[*map(escape.markdown, row[:left]), *row[left:]] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rules = [
        "-" * width if column < left else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    header, *body = rows
    return "\n".join(_line(row, widths, left) for row in (header, rules, *body))


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = [
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"


def provenance_table(provenance: Mapping[str, Any]) -> str:
    """Return what a report is of, by name, as a Markdown table without a header."""
    rows = [
        f"| {escape.markdown(name)} | {escape.markdown(_plain(value))} |"
        for name, value in provenance.items()
    ]
    return "\n".join(["| | |", "|---|---|", *rows])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return str(value)


def bullets(lines: Sequence[str]) -> str:
    """Return lines of plain text as a Markdown list."""
    return "\n".join(f"- {escape.markdown(line)}" for line in lines)


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """Return values as indented JSON."""
    return (json.dumps(values, indent=2) + "\n").encode()
