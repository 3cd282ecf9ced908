"""Names in a list of clips that can hardly be meant as they are: what to warn a user of.

A scene, a city or a location that is written in two ways becomes two, and a location in both folds
is heard in training and tested on. Neither is an error for certain, so nothing is refused here.
"""

from collections.abc import Iterable, Iterator, Sequence

from avsc.manifests.clips import FOLDS, Clip
from avsc.manifests.text import alike, composed, trimmed

KINDS = {"scene": "scenes", "city": "cities", "location": "locations", "id": "ids"}
SHOWN = 3


def doubts(clips: Sequence[Clip]) -> list[str]:
    """Return a sentence for each thing to warn of, in a fixed order; none as a rule.

    >>> doubts([Clip("a", "park", "a.wav", None), Clip("b", "Park", "b.wav", None)])
    ["scenes that differ by blanks, capitals or Unicode form alone: 'Park' and 'park'; they count \
as different."]
    """
    found: list[str] = []
    for kind, several in KINDS.items():
        names = {name for clip in clips if (name := getattr(clip, kind)) is not None}
        if groups := list(_alike(names)):
            found.append(
                f"{several} that differ by blanks, capitals or Unicode form alone: "
                f"{_some(groups)}; they count as different."
            )
        if blank := sorted(name for name in names if trimmed(name) != name):
            found.append(f"{several} with blanks at their ends: {_some(map(repr, blank))}.")
    if both := shared_locations(clips):
        found.append(
            f"{len(both)} location{'s' if len(both) > 1 else ''} in both the training fold and the "
            f"test fold: {_some(map(repr, both))}; figures on the test fold will be too good."
        )
    return found


def shared_locations(clips: Iterable[Clip]) -> list[str]:
    """Return the locations that have clips in both folds, sorted."""
    folds: dict[str, set[str]] = {fold: set() for fold in FOLDS}
    for clip in clips:
        if clip.fold is not None and clip.location is not None:
            folds[clip.fold].add(clip.location)
    return sorted(set.intersection(*folds.values()))


def _alike(names: Iterable[str]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(alike(name), []).append(name)
    for group in groups.values():
        if len(group) > 1:
            same = len({composed(name) for name in group}) < len(group)
            yield " and ".join(map(ascii if same else repr, group))


def _some(names: Iterable[str]) -> str:
    every = list(names)
    return "; ".join(every[:SHOWN]) + (f"; and {len(every) - SHOWN} more" if every[SHOWN:] else "")
