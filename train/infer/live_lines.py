"""Answers for a live source as lines: each is written, and flushed, as soon as it is there.

Gaps are lines, too: in JSON Lines an object with ``gap`` for its reason, in CSV a row without scene
and probabilities. What the source does (it broke off, it is connected again) goes to standard
error, and so does the tally at the end, however that comes about.
"""

import json
from typing import Any, TextIO

import click

from avsc.features.live.address import Address
from avsc.features.live.feed import Feed, FeedSettings, Note
from avsc.features.live.hop import Gap
from avsc.manifests import escape
from avsc.manifests.errors import SettingError
from avsc.manifests.files import csv_bytes
from avsc.train.infer.formats import LACKS, Format, clock
from avsc.train.infer.live import Answer, Tally, follow, wanted_of, warm_up
from avsc.train.infer.model import Model
from avsc.train.infer.output import write_out
from avsc.train.infer.windows import Windows

LINES = ("table", "csv", "jsonl")
"""Formats that have a line for each answer."""

AGAIN = "Look at what reads it, and run the command again."


def line(form: Format, item: Answer | Gap, name: str) -> str:
    """Return an answer, or a gap, as a line.

    Args:
        form: one of `LINES`.
        item: what to write.
        name: of the source.
    """
    if isinstance(item, Answer) and form.name == "csv":
        return form.text(item.prediction, "")
    if form.name == "csv":
        nothing = [None] * (1 + len(form.classes) + form.lacks)  # scene, probabilities, `without`
        assert isinstance(item, Gap)
        return csv_bytes([[name, repr(item.start), repr(item.end), *nothing]]).decode()
    values: dict[str, Any]
    if isinstance(item, Gap):
        start, end = item.start, item.end
        text, values = f"-- {item.reason}", {"gap": item.reason}
    else:
        start, end = item.prediction.times[0].tolist()
        (best,) = item.prediction.top(form.top)
        without = item.prediction.without
        said = [*(f"{label} {score:.3f}" for label, score in best), *(LACKS[m] for m in without)]
        text = "  ".join(said)
        scores = [{"label": label, "score": score} for label, score in best]
        values = {"scores": scores, "latency": round(item.latency, 4)}
        values |= {"without": without} if without else {}
    if form.name == "table":
        return f"{clock(start)} - {clock(end)}  {escape.terminal(text)}\n"
    record = {"file": name, "start": start, "end": end, **values}
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_live(
    model: Model,
    addresses: tuple[Address, ...],
    windows: Windows,
    settings: FeedSettings,
    form: Format,
    out: TextIO,
) -> Tally:
    """Answer for a live source until it ends; write a line for each answer and each gap.

    Args:
        model: what answers.
        addresses: of the source.
        windows: what is answered for.
        settings: how the source is read.
        form: of the lines.
        out: where to.

    Raises:
        MediaError: the source does not start, or is not found again.
        SettingError: the windows need what is yet to come, or the format has no lines.
        AvscError: a line cannot be written.
    """
    if form.name not in LINES:
        raise SettingError(
            f"--format {form.name} is written when a recording has ended; of a live source wanted "
            f"{', '.join(LINES[:-1])} or {LINES[-1]}."
        )
    wanted = wanted_of(model, windows)
    warm_up(model, wanted)
    tally = Tally()
    with Feed(addresses, wanted, settings) as feed:
        write_out(out, form.header, AGAIN)
        try:
            for item in follow(model, feed):
                if isinstance(item, Note):
                    click.echo(escape.terminal(item.text), err=True)
                    continue
                tally.add(item)
                write_out(out, line(form, item, feed.name), AGAIN)
        finally:
            click.echo(escape.terminal(f"{feed.name}: {tally}"), err=True)
    return tally
