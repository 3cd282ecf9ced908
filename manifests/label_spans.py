"""Labels that change within a clip, as the column `segments` of the generic manifest has them.

    0-4 quiet; 4-10 tram

says that a clip is quiet in its first four seconds and that a tram is heard in the other six. Spans
are in seconds from the clip's beginning, half open, and cover it without gaps and overlaps: time
that none of the labels fits needs one of its own. Second k of the clip has the label that holds at
its middle, k + 0.5 s, as its image is the one displayed then.

A clip with one label is the case of one span; it has a scene instead.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from avsc.manifests.errors import ManifestError

_SPAN = re.compile(r"(\d{1,9}(?:\.\d*)?)\s*-\s*(\d{1,9}(?:\.\d*)?)\s+(\S.*)")
_FORM = "START-END LABEL, as in '0-4 quiet; 4-10 tram'"
DIGITS = 6
"""Decimals of a time that are kept."""


@dataclass(frozen=True, slots=True)
class LabelSpan:
    """What a clip is from `start` to `end`, in seconds; the end is no part of it."""

    start: float
    end: float
    label: str

    @property
    def first(self) -> int:
        """The first second whose middle is not before the start."""
        return max(0, math.ceil(self.start - 0.5))

    @property
    def last(self) -> int:
        """The first second whose middle is not before the end: one past the last."""
        return max(0, math.ceil(self.end - 0.5))

    def __str__(self) -> str:
        return f"{seconds_text(self.start)}-{seconds_text(self.end)} {self.label}"


def parse_spans(text: str, where: str) -> tuple[LabelSpan, ...]:
    """Return the spans that a cell of the column `segments` lists.

    >>> [str(span) for span in parse_spans("0-4.50 quiet;4.5 - 10 tram", "clip a")]
    ['0-4.5 quiet', '4.5-10 tram']

    Args:
        text: the cell.
        where: what to name in the error: line and clip.

    Raises:
        ManifestError: it is not of this form, or the spans overlap or leave gaps.
    """
    spans: list[LabelSpan] = []
    for part in text.rstrip("; ").split(";"):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise ManifestError(f"{where}: segment {part.strip()!r} is not {_FORM}.")
        start, end = (round(float(value), DIGITS) for value in match.groups()[:2])
        spans.append(LabelSpan(start, end, match[3]))
    _check_order(spans, where)
    return tuple(spans)


def _check_order(spans: list[LabelSpan], where: str) -> None:
    reached = 0.0
    for span in spans:
        if span.end <= span.start:
            raise ManifestError(f"{where}: segment '{span}' does not end after it begins.")
        if span.start < reached:
            raise ManifestError(
                f"{where}: segment '{span}' begins before the one that is listed before it ends, "
                f"at {seconds_text(reached)} s. Segments follow one another in time and do not "
                "overlap."
            )
        if span.start > reached:
            raise ManifestError(
                f"{where}: no segment covers {seconds_text(reached)} to "
                f"{seconds_text(span.start)} s. Give that time a label, its own if need be."
            )
        reached = span.end


def encode_spans(spans: Iterable[LabelSpan]) -> str:
    """Return spans as a cell, which `parse_spans` reads back exactly."""
    return "; ".join(map(str, spans))


def seconds_text(seconds: float) -> str:
    """Return a time as tables have it: 4, 4.5."""
    return f"{seconds:.{DIGITS}f}".rstrip("0").rstrip(".")
