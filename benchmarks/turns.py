"""Ways of doing the same thing, timed in turn.

All ways run once, then all once more, and so on, so that what else the machine does falls on all
of them alike. A figure is the median of the processor's time: of this process and of those it
started and waited for.
"""

import resource
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def spent() -> float:
    """Return the processor's time of this process and of its children that have ended, seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def in_turn(ways: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, float]:
    """Return the median time of each way, ms. The first round warms up and does not count."""
    times: dict[Name, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begin = spent()
            way()
            if number:
                times[name].append(1e3 * (spent() - begin))
    return {name: statistics.median(each) for name, each in times.items()}


def table(head: str, *rows: str) -> None:
    """Print a table of Markdown; `head` and rows hold cells separated by " | "."""
    columns = head.count(" | ") + 1
    for line in (head, " | ".join(["---"] * columns), *rows):
        print(f"| {line} |", flush=True)
