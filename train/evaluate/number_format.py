"""A figure and its interval as text, with the digits that the interval carries.

The last digit that is printed is the second of the interval's half width: 0.14871 in [0.0961,
0.2384] is 0.149 [0.096, 0.238]. No figure gets more digits than are usual in print.
"""

from dataclasses import dataclass
from math import floor, log10

from avsc.train.evaluate.bootstrap import Interval

NONE = "-"


@dataclass(frozen=True)
class Form:
    """How a kind of figure is printed.

    Attributes:
        scale: that a figure is multiplied by.
        most: decimals at most.
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


LOG_LOSS, PERCENT = Form(1, 4, 3), Form(100, 2, 1)
