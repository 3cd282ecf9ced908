"""Which frame is on show at an instant: ticks that half a second is no multiple of."""

from fractions import Fraction

import pytest

from avsc.features.timeline import Timeline
from avsc.manifests.errors import MediaError


def timeline(rate: int, count: int) -> Timeline:
    """Frames at ticks 0, 1, 2, ... of which each lasts one."""
    return Timeline(
        tick=Fraction(1, rate), times=list(range(count)), last=count,
        place={time: time for time in range(count)}, runs=[0], by_packets=False, cut=None,
        damaged=False, spoiled=[],
        end=Fraction(count, rate),
    )  # fmt: skip


@pytest.mark.parametrize("rate", [1, 7, 10, 15, 25, 50])
def test_the_last_that_is_not_later(rate: int) -> None:
    shown = timeline(rate, 3 * rate)
    for k in range(3):
        (wanted,) = [i for i in range(3 * rate) if 2 * i <= (2 * k + 1) * rate < 2 * (i + 1)]
        assert shown.on_show(k + Fraction(1, 2), "v") == wanted


def test_nothing_before_the_first_and_from_the_end_of_the_last_on() -> None:
    shown = timeline(10, 5)
    assert shown.on_show(Fraction(49, 100), "v") == 4
    for instant in (Fraction(-1, 100), Fraction(1, 2)):
        found = shown.on_show(instant, "v")
        assert isinstance(found, MediaError) and found.code == "no-picture"
