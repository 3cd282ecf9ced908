"""Answers for a live source as lines: each is written, and flushed, as soon as it is there.

Gaps are lines, too: in JSON Lines an object with ``gap`` for its reason, in CSV a row without scene
and probabilities. What the source does (it broke off, it is connected again) goes to standard
error, and so does the tally at the end, however that comes about.
"""

import json
from collections.abc import Callable, Sequence
from typing import TextIO

import click

from avsc.features.live.address import Address
from avsc.features.live.feed import Feed, FeedSettings, Note
from avsc.features.live.hop import Gap
from avsc.manifests import escape
from avsc.manifests.files import csv_bytes
from avsc.train.infer.live import Answer, Tally, follow, wanted_of, warm_up
from avsc.train.infer.model import Model
from avsc.train.infer.prediction import csv_header, csv_rows
from avsc.train.infer.windows import Windows

Line = Callable[[Answer | Gap, str], str]


def text_line(classes: Sequence[str], top_k: int) -> Line:
    """Return what makes a line for a terminal: start, end, and the most probable scenes."""
    width = max(map(len, classes))

    def line(item: Answer | Gap, name: str) -> str:
        if isinstance(item, Gap):
            return f"{item.start:10.3f} {item.end:10.3f}  -- {item.reason}\n"
        start, end = item.prediction.times[0].tolist()
        (best,) = item.prediction.top(top_k)
        scenes = "  ".join(f"{scene:{width}} {score:.3f}" for scene, score in best)
        return f"{start:10.3f} {end:10.3f}  {scenes}\n"

    return line


def json_line(classes: Sequence[str], top_k: int) -> Line:
    """Return what makes a line of JSON Lines."""

    def line(item: Answer | Gap, name: str) -> str:
        if isinstance(item, Gap):
            record = {"file": name, "start": item.start, "end": item.end, "gap": item.reason}
            return json.dumps(record) + "\n"
        start, end = item.prediction.times[0].tolist()
        (best,) = item.prediction.top(top_k)
        scenes = [{"label": scene, "score": score} for scene, score in best]
        record = {"file": name, "start": start, "end": end, "scenes": scenes}
        return json.dumps({**record, "latency": round(item.latency, 4)}) + "\n"

    return line


def csv_line(classes: Sequence[str], top_k: int) -> Line:
    """Return what makes a row of CSV, with all classes."""
    nothing = [None] * (1 + len(classes))  # scene and probabilities

    def line(item: Answer | Gap, name: str) -> str:
        if isinstance(item, Answer):
            return csv_rows(item.prediction)
        return csv_bytes([[name, repr(item.start), repr(item.end), *nothing]]).decode()

    return line


LINES: dict[str, Callable[[Sequence[str], int], Line]] = {
    "text": text_line,
    "jsonl": json_line,
    "csv": csv_line,
}


def write_live(
    model: Model,
    addresses: tuple[Address, ...],
    windows: Windows,
    settings: FeedSettings,
    form: str,
    top_k: int,
    out: TextIO,
) -> Tally:
    """Answer for a live source until it ends; write a line for each answer and each gap.

    Args:
        model: what answers.
        addresses: of the source.
        windows: what is answered for.
        settings: how the source is read.
        form: one of `LINES`.
        top_k: scenes in a line of text or JSON.
        out: where to.

    Raises:
        MediaError: the source does not start, or is not found again.
        SettingError: the windows need what is yet to come.
    """
    wanted = wanted_of(model, windows)
    line = LINES[form](model.classes, top_k)
    tally = Tally()
    warm_up(model, wanted)
    with Feed(addresses, wanted, settings) as feed:
        if form == "csv":
            _write(out, csv_header(model.classes))
        try:
            for item in follow(model, feed):
                if isinstance(item, Note):
                    click.echo(escape.terminal(item.text), err=True)
                    continue
                tally.add(item)
                _write(out, line(item, feed.name))
        finally:
            click.echo(escape.terminal(f"{feed.name}: {tally}"), err=True)
    return tally


def _write(out: TextIO, text: str) -> None:
    out.write(text)
    out.flush()
