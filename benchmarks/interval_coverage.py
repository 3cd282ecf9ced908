"""How often confidence intervals hold the truth, and how often tests find what is not there.

Simulated on the geometry of TAU2021's test fold (126 locations in 10 scenes, `FOLD`), for several
ways of spreading losses over locations: each location's mean loss is drawn, and its clips share it.
Compared are the program's own bootstrap-t and sign flips (`avsc.train.evaluate`), which take the
simulated trials as so many quantities at once, and what they replace: quantiles of the resampled
mean ("percentile"), n - 1 of n locations drawn. Three tables: intervals of one system's mean; the
same by the number of locations, from which follows the least number that an interval is given for;
and the difference of two systems.

    python benchmarks/interval_coverage.py [--trials 4000] [--resamples 999] [--seed 0]
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from turns import table

from avsc.train.evaluate.bootstrap import LEVEL, MINIMUM, Resampled, Resampling, Units, resample
from avsc.train.evaluate.sign_flip import p_value

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]

FOLD = (
    (24, 24, 32, 36, 36, 36, 46, 47),
    (13, 14, 14, 14, 15, 15, 15, 23, 24, 24, 24, 25, 35, 36, 36),
    (9, 11, 13, 15, 15, 16, 18, 18, 18, 18, 19, 20, 31, 36, 36, 67),
    (12, 12, 12, 15, 29, 29, 29, 34, 34, 36, 36, 36, 36, 36),
    (28, 29, 36, 36, 36, 36, 36, 36, 36, 36, 41),
    (24, 24, 28, 29, 30, 36, 36, 36, 36, 36, 36, 36),
    (36, 36, 36, 36, 36, 36, 41, 49, 81),
    (12, 20, 20, 27, 27, 28, 29, 33, 36, 36, 36, 37, 40, 40),
    (24, 24, 33, 33, 36, 36, 36, 36, 36, 36, 36, 36),
    (3, 4, 14, 14, 15, 15, 15, 24, 24, 25, 25, 29, 29, 36, 36),
)
"""Clips at each location of each scene, scenes in alphabetical order."""
AT_ONCE = 100
"""Trials that meet the same resamples."""
NUMBERS = (12, 16, 24, 32, 48, 64, 96)
FLIPPED = 50
"""Trials of `AT_ONCE` whose signs are flipped."""


@dataclass(frozen=True)
class World:
    """How losses, or differences of losses, are spread over locations.

    Attributes:
        name: in words.
        draw: returns the means of locations, float64 [locations, trials].
        mean: expected value; of a difference 0.
    """

    name: str
    draw: Draw
    mean: float


def failing(draw: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Losses as at a log-loss of 0.15: nine locations of ten near 0, one wrong."""
    wrong = draw.random(shape) < 0.1
    return np.where(wrong, draw.exponential(1.3, shape), draw.exponential(0.02, shape))


def errors(draw: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Shares of wrong predictions: none at 85 % of the locations, 40 % on average at the others."""
    return np.where(draw.random(shape) < 0.15, draw.beta(0.6, 0.9, shape), 0.0)


LOSSES = (
    World("normal", lambda draw, shape: draw.normal(1, 0.5, shape), 1.0),
    World("exponential", lambda draw, shape: draw.exponential(1, shape), 1.0),
    World("log-normal, sigma 1", lambda draw, shape: draw.lognormal(0, 1, shape), np.exp(0.5)),
    World("few fail, log-loss 0.15", failing, 0.148),
    World("accuracy 94 %, 85 % without error", errors, 0.06),
)
DIFFERENCES = (
    World("alike: normal", lambda draw, shape: draw.normal(0, 1, shape), 0.0),
    World("alike: Student's t, 2.5", lambda draw, shape: draw.standard_t(2.5, shape), 0.0),
    World("alike: few fail", lambda draw, shape: failing(draw, shape) - failing(draw, shape), 0.0),
    World("skewed: exponential", lambda draw, shape: draw.exponential(1, shape) - 1, 0.0),
    World("skewed: few fail", lambda draw, shape: failing(draw, shape) - 0.148, 0.0),
)


@dataclass(frozen=True)
class Trial:
    """Some trials at once.

    Attributes:
        units: locations.
        sums: of each location's losses, [locations, trials].
        found: what the program makes of them, by scene.
        percentile: resampled means of scenes, [resamples, scenes, trials].
    """

    units: Units
    sums: Floats
    found: Resampled
    percentile: Floats


def units_of(sizes: Sequence[Sequence[int]]) -> Units:
    """Return a unit for each number in `sizes`, of so many segments, and a group for each row."""
    group = np.repeat(np.arange(len(sizes)), [len(row) for row in sizes])
    of = np.repeat(np.arange(len(group)), np.concatenate([np.asarray(row) for row in sizes]))
    return Units("location", tuple(map(str, range(len(sizes)))), group, of)


def trials(
    sizes: Sequence[Sequence[int]], world: World, chosen: argparse.Namespace
) -> Iterator[Trial]:
    """Draw trials, and resample them."""
    units = units_of(sizes)
    weight = units.segments[:, None]
    for number in range(chosen.trials // AT_ONCE):
        draw = np.random.default_rng((chosen.seed, number))
        sums = world.draw(draw, (len(units.group), AT_ONCE)) * weight
        found = resample(sums, units, Resampling(chosen.resamples, number))
        percentile = np.empty_like(found.shift)
        for group in range(len(sizes)):
            members = units.group == group
            few = int(members.sum()) - 1
            times = draw.multinomial(few, np.full(few + 1, 1 / (few + 1)), chosen.resamples)
            percentile[:, group] = (times @ sums[members]) / (times @ weight[members])
        yield Trial(units, sums, found, percentile)


def quantiles(resampled: Floats) -> tuple[Floats, Floats]:
    """Return the ends of percentile intervals, from figures [resamples, ...]."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def holds(ends: tuple[Floats, Floats], mean: float) -> Floats:
    """Return whether intervals hold a mean, 1 or 0; NaN for those that are withheld."""
    low, high = ends
    return np.where(np.isnan(low), np.nan, (low <= mean) & (mean <= high))


def intervals(chosen: argparse.Namespace) -> None:
    """Print the coverage of the intervals of one system."""
    lines = []
    for world in LOSSES:
        cells: list[Floats] = []
        single: list[Floats] = []
        for trial in trials(FOLD, world, chosen):
            low, high = (each[0] for each in trial.found.over_groups().ends())
            before = quantiles(trial.percentile.mean(1))
            above = np.where(np.isnan(high), np.nan, high < world.mean)
            width = (high - low) / (before[1] - before[0])
            held = holds(before, world.mean), holds((low, high), world.mean)
            cells.append(np.stack([*held, above, width]))
            ends = (quantiles(trial.percentile), trial.found.ends(minimum=2))
            single.append(np.stack([holds(each, world.mean) for each in ends]).reshape(2, -1))
        percentile, t, above, width = np.concatenate(cells, axis=1)
        scene_percentile, scene_t = np.concatenate(single, axis=1)
        lines.append(
            f"{world.name} | {np.mean(percentile):.3f} | {np.nanmean(t):.3f} | "
            f"{np.nanmean(above):.3f} | {np.nanmedian(width):.2f} | {np.mean(scene_percentile):.2f}"
            f" | {np.nanmean(scene_t):.2f} | {np.isnan(scene_t).mean():.2f}"
        )
    table(
        "losses per location | percentile | bootstrap-t | truth above it | width, ratio | "
        "one scene: percentile | bootstrap-t | withheld",
        *lines,
    )


def by_number(chosen: argparse.Namespace) -> None:
    """Print the coverage of intervals by the number of locations, in one group and in four."""
    sizes = np.concatenate([np.asarray(row) for row in FOLD])
    lines = []
    for world, symmetric in ((LOSSES[2], False), (LOSSES[3], False), (DIFFERENCES[4], True)):
        for groups in (1, 4):
            cells = []
            for number in NUMBERS:
                draw = np.random.default_rng((chosen.seed, number))
                drawn = draw.choice(sizes, (groups, number // groups)).tolist()
                held = [
                    holds(trial.found.over_groups().ends(symmetric, minimum=2), world.mean)
                    for trial in trials(drawn, world, chosen)
                ]
                cells.append(f"{np.nanmean(held):.2f}")
            lines.append(" | ".join([world.name, str(groups), *cells]))
    table(f"bootstrap-t | groups | {' | '.join(map(str, NUMBERS))}", *lines)


def rejections(trial: Trial, how: Resampling) -> dict[str, NDArray[np.bool_]]:
    """Return which trials each test tells apart, by the name of the test's column."""
    whole, groups = trial.found.over_groups(), trial.units.group
    total = np.bincount(groups, trial.units.segments)[groups]
    shares = (trial.sums / total[:, None])[:, :FLIPPED].T
    few = shares[:, groups == 0]
    return {
        "percentile": holds(quantiles(trial.percentile.mean(1)), 0) == 0,
        "bootstrap-t, equal tails": holds(whole.ends(), 0) == 0,
        "symmetric": whole.p_values() <= 1 - LEVEL,
        "sign flips": np.array([p_value(each, how) <= 1 - LEVEL for each in shares]),
        "one scene: percentile": holds(quantiles(trial.percentile), 0) == 0,
        f"sign flips ({few.shape[1]} locations)": np.array(
            [p_value(each, how) <= 1 - LEVEL for each in few]
        ),
    }


def differences(chosen: argparse.Namespace) -> None:
    """Print how often two systems are told apart at 0.05 that have the same mean."""
    lines, how = [], Resampling(chosen.resamples)
    for world in DIFFERENCES:
        found = [rejections(trial, how) for trial in trials(FOLD, world, chosen)]
        shares = [np.mean([each[name] for each in found]) for name in found[0]]
        lines.append(" | ".join([world.name, *(f"{share:.3f}" for share in shares)]))
    table(" | ".join(["differences per location", *found[0]]), *lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4000, help="of each cell")
    parser.add_argument("--resamples", type=int, default=999)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    error = (LEVEL * (1 - LEVEL) / chosen.trials) ** 0.5
    print(
        f"seed {chosen.seed}, {chosen.trials:,} trials of {chosen.resamples:,} resamples; standard "
        f"error of a coverage of {LEVEL}: {error:.4f}. The program gives intervals from {MINIMUM} "
        "locations on."
    )
    print(
        f"\nCoverage of {100 * LEVEL:.0f} % intervals for the mean over scenes, "
        "and for one scene:\n"
    )
    intervals(chosen)
    print("\nThe same by the number of locations:\n")
    by_number(chosen)
    print("\nFraction of pairs with equal means that are told apart at 0.05:\n")
    differences(chosen)


if __name__ == "__main__":
    main()
