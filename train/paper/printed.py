"""The figures that the paper printed, from ``paper.csv``, each with its source.

Source: C. Chen, M. Wang, P. Zhang, "Audio-visual scene classification using a transfer learning
based joint optimization strategy", 2022, Tables 2 to 5. The file also says which system, acoustic
feature and image model each row is; a published result of others has none.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Printed:
    """One row of a table of the paper.

    Attributes:
        table: its number, ``"2"`` to ``"5"``.
        label: of the row.
        strategy: ``pipeline`` or ``joint``, where the paper says so; else empty.
        verb: of avsc-fit, that trains it; None for a result of others.
        feature: acoustic feature; None without sound.
        backbone: image model; None without pictures.
        log_loss: nats.
        accuracy: 0 to 1.
        source: where the figures stand.
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


def printed_rows(table: str) -> tuple[Printed, ...]:
    """Return the rows of a table of the paper, in its order.

    >>> [(row.label, row.log_loss) for row in printed_rows("2")][1:3]
    [('Audio-only', 0.6325), ('Video-only', 0.3939)]
    """
    text = files(__package__).joinpath("paper.csv").read_text(encoding="utf-8")
    return tuple(
        Printed(
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
