"""Tables in Markdown that read well as plain text too: columns are padded to one width."""

from collections.abc import Sequence

from avsc.manifests import escape


def markdown_table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a table; the first row is its head.

    Args:
        rows: of as many cells each.
        left: so many columns hold words, aligned to the left; the others figures, to the right.

    >>> print(markdown_table([["scene", "log-loss"], ["bus", "0.1"]]))
    | scene | log-loss |
    | ----- | -------: |
    | bus   |      0.1 |
    """
    rows = [[*map(escape.markdown, row[:left]), *row[left:]] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    marks = [
        "-" * width if column < left else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    head, *body = rows
    return "\n".join(_line(row, widths, left) for row in (head, marks, *body))


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = [
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"
