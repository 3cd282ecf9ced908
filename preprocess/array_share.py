"""One part of a run in parts, for job arrays: every n-th block, whatever is made already."""

import re
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class ArrayShare:
    """ArrayShare `number` of `count`, counted from 1.

    Attributes:
        number: 1 to `count`.
        count: number of parts.
    """

    number: int
    count: int

    @property
    def blocks(self) -> slice:
        """Which of all blocks are of this part.

        >>> list(range(7)[ArrayShare(2, 3).blocks])
        [1, 4]
        """
        return slice(self.number - 1, None, self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class ArrayShareType(click.ParamType[ArrayShare]):
    """A part as it is typed, such as ``2/20``."""

    name = "part"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ArrayShare:
        """Return the part that a text names."""
        if isinstance(value, ArrayShare):
            return value
        found = re.fullmatch(r"(\d+)/(\d+)", str(value))
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is no part; wanted is I/N with I from 1 to N, as in 2/20.")
        return ArrayShare(int(found[1]), int(found[2]))


ARRAY_SHARE = ArrayShareType()
