"""Checks of a machine: what is tried, and what to do when it fails. Both doctors are made of them.

A check's function returns what it found, in words; it raises when the thing tried does not work.
The remedy belongs to the check, so that every failure has one.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from avsc.manifests.errors import AvscError

# What a trial may meet on a machine that is not as it should be.
FAULTS = (
    *(OSError, ImportError, ValueError, LookupError, RuntimeError),
    *(subprocess.SubprocessError, AvscError),
)

Target = TypeVar("Target")
"""Where things are to be tried: what every check is called with."""


class CheckFailed(Exception):  # noqa: N818
    """What was tried works, but not as it is needed."""


@dataclass(frozen=True)
class Check(Generic[Target]):
    """One thing that is tried.

    Attributes:
        name: a word or two.
        attempt: tries it.
        remedy: what to do when it fails.
        needed: whether the work depends on it; otherwise a failure is only reported.
    """

    name: str
    attempt: Callable[[Target], str]
    remedy: str
    needed: bool = True


@dataclass(frozen=True)
class Finding:
    """How a check went.

    Attributes:
        works: whether what was tried works.
        text: what was found.
    """

    check: Check[Any]
    works: bool
    text: str

    @property
    def is_fatal(self) -> bool:
        """Whether the work would fail because of it."""
        return self.check.needed and not self.works

    def __str__(self) -> str:
        verdict = "ok  " if self.works else "FAIL" if self.check.needed else "note"
        remedy = "" if self.works else f" {self.check.remedy}"
        return f"{verdict}  {self.check.name}: {' '.join(self.text.split())}.{remedy}"


def examine(target: Target, checks: Sequence[Check[Target]]) -> Iterator[Finding]:
    """Yield how each check goes; a check that fails keeps no other from being tried."""
    for check in checks:
        try:
            yield Finding(check, True, check.attempt(target))
        except (CheckFailed, *FAULTS) as fault:
            text = fault.strerror if isinstance(fault, OSError) else None
            yield Finding(check, False, (text or str(fault)).rstrip("."))
