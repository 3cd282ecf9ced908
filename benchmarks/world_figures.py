"""The figures of `world.py`: what the systems reached beside what can be reached.

A figure of several seeds is their mean, and its interval the mean of the seeds' intervals (each a
bootstrap over locations): it says how sure the test set is, not how much seeds differ; the spread
of the seeds stands beside it. Only runs that are evaluated count, so that a table can be printed
before all is done.
"""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from avsc.train.evaluate.writing import markdown_table
from avsc.train.fit.timing import read_timing

REPORT = Path("robustness-test")
DONE = REPORT / "robustness.md"
"""Written last by `avsc-fit robustness`."""
TEMPERED = Path("robustness-test-temperature")
PATTERNS = ("complete", "no-audio", "no-image")
"""What there may be of a segment; each has a temperature of its own."""
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class WorldRuns:
    """The runs on a world.

    Attributes:
        work: folder of all that is made.
        rows: what each row may tell scenes by (sound, sight, both), by its name.
        seeds: of each row.
    """

    work: Path
    rows: Mapping[str, str]
    seeds: Sequence[int]

    @cached_property
    def answer(self) -> dict[str, Any]:
        """What is known of the world."""
        held: dict[str, Any] = json.loads((self.work / "data" / "world.json").read_text())
        return held

    @property
    def conditions(self) -> list[str]:
        """The conditions whose optimum is known."""
        return list(self.answer["conditions"])

    def folder(self, name: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.work / "runs" / f"{name}-{seed}"

    def predictions(self, name: str, seed: int) -> Path:
        """Return the predictions of a run on complete recordings."""
        return self.folder(name, seed) / REPORT / "predictions-complete.tsv"

    def comparison(self, first: str, second: str, seed: int) -> Path:
        """Return the figures of a comparison."""
        return self.work / "comparisons" / f"{first}-{second}-{seed}" / "comparison.json"

    def seeds_of(self, *names: str) -> list[int]:
        """Return the seeds of which all these rows are evaluated."""
        if not set(names) <= set(self.rows):
            return []
        return [
            seed
            for seed in self.seeds
            if all((self.folder(name, seed) / DONE).exists() for name in names)
        ]

    def figures(self, name: str, condition: str = "complete") -> list[dict[str, Any]]:
        """Return what each seed of a row reached under a condition; none where it cannot."""
        found = []
        for seed in self.seeds_of(name):
            report = json.loads((self.folder(name, seed) / REPORT / "robustness.json").read_text())
            found += [
                row for row in report["rows"] if row["condition"] == condition and row["defined"]
            ]
        return found


def with_interval(figures: Sequence[Mapping[str, Any]], key: str = "log_loss") -> str:
    """Return the mean of the seeds' figures, with the mean of their intervals."""
    intervals = [each[f"{key}_interval"] for each in figures]
    mean = f"{statistics.mean(each[key] for each in figures):.3f}"
    if any(interval is None for interval in intervals):
        return mean
    low, high = (statistics.mean(ends) for ends in zip(*intervals, strict=True))
    return f"{mean} ({low:.3f} to {high:.3f})"


def system_table(runs: WorldRuns) -> str:
    """Return the rows on complete recordings, beside oracle and optimum."""
    rows = [["system", "knows", "seeds", "log-loss", "of the seeds", "oracle", "optimum",
             "acc. %", "oracle", "optimum", "s per epoch"]]  # fmt: skip
    for name, knows in runs.rows.items():
        figures = runs.figures(name)
        if not figures:
            continue
        oracle, best = runs.answer["oracle"]["test"][knows], runs.answer["optimum"][knows]
        losses = [each["log_loss"] for each in figures]
        accuracy = statistics.mean(each["accuracy"] for each in figures)
        seconds = [
            time.seconds
            for seed in runs.seeds_of(name)
            if (timing := runs.folder(name, seed) / "timing.csv").exists()
            for time in read_timing(timing)
        ]
        rows.append([
            name, knows, str(len(figures)), with_interval(figures),
            f"{min(losses):.3f} to {max(losses):.3f}",
            f"{oracle['log_loss']:.3f}", f"{best['log_loss']:.3f}",
            f"{100 * accuracy:.1f}",
            f"{100 * oracle['accuracy']:.1f}", f"{100 * best['accuracy']:.1f}",
            f"{statistics.median(seconds):.1f}" if seconds else "-",
        ])  # fmt: skip
    return markdown_table(rows, left=2)


def condition_table(runs: WorldRuns) -> str:
    """Return every audio-visual row's log-loss under every condition, beside the optima."""
    names = [name for name, knows in runs.rows.items() if knows == "both" and runs.figures(name)]
    rows = [["condition", "optimum", "untold", *names]]
    for condition, best in runs.answer["conditions"].items():
        cells = (runs.figures(name, condition) for name in names)
        untold = best.get("untold")
        rows.append([
            condition, f"{best['log_loss']:.3f}",
            f"{untold['log_loss']:.3f}" if untold else "-",
            *(with_interval(figures) if figures else "-" for figures in cells),
        ])  # fmt: skip
    return markdown_table(rows, left=1)


def expectation_lines(
    runs: WorldRuns, below: Pairs, not_above: Pairs, near: Mapping[str, float]
) -> Iterator[str]:
    """Yield what was expected before anything was measured, and whether it holds.

    Args:
        runs: what was measured.
        below: pairs of rows of which the first is to have the lower log-loss: the interval of the
            difference lies below 0, for each seed.
        not_above: those of which it is to have no higher one: the interval does not lie above 0.
        near: how far above its optimum a row may lie, nats.
    """
    for first, second in (*below, *not_above):
        found = [_difference(runs, first, second, seed) for seed in runs.seeds_of(first, second)]
        ends = [interval for _, interval in found if interval is not None]
        strict = (first, second) in below
        text = f"{first} {'below' if strict else 'not above'} {second}: " + ", ".join(
            f"{value:+.3f}" + ("" if ends is None else f" ({ends[0]:+.3f} to {ends[1]:+.3f})")
            for value, ends in found
        )
        if not ends:
            yield f"- not shown: {text or 'no interval'}"
        else:
            holds = all(high < 0 if strict else low <= 0 for low, high in ends)
            yield f"- {'holds' if holds else 'DOES NOT HOLD'}: {text}"
    for name, most in near.items():
        figures = runs.figures(name)
        if figures:
            best = runs.answer["optimum"][runs.rows[name]]["log_loss"]
            off = statistics.mean(each["log_loss"] for each in figures) - best
            word = "holds" if off <= most else "DOES NOT HOLD"
            yield f"- {word}: {name} within {most} nats of its optimum: {off:+.3f}"


def _difference(
    runs: WorldRuns, first: str, second: str, seed: int
) -> tuple[float, Sequence[float] | None]:
    """Return the first row's log-loss less the second's, with its interval."""
    found = json.loads(runs.comparison(first, second, seed).read_text())["rows"][0]["log_loss"]
    interval = found["interval"]
    return found["difference"], interval and (interval["low"], interval["high"])
