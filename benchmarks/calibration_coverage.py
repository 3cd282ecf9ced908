"""How often intervals of the expected calibration error hold that of many locations.

Each simulated location has its own difficulty and its own shift of the predicted logits; the
probability of being right is 1 / (1 + exp(-x)), that predicted by the model 1 / (1 + exp(-s x)),
overconfident where s is above 1. The truth is the error of 20,000 locations. Compared are the
program's intervals (`avsc.train.evaluate.calibration_intervals`) of one error, and of the
difference to that of s = 1 on the same segments.

    python benchmarks/calibration_coverage.py [--trials 400] [--resamples 499] [--seed 0]
"""

import argparse
from dataclasses import replace

import numpy as np
from turns import table

from avsc.manifests.clips import Clip
from avsc.train.evaluate.bootstrap import Resampling, resampling_units
from avsc.train.evaluate.calibration import calibration
from avsc.train.evaluate.calibration_intervals import calibration_difference, calibration_interval
from avsc.train.metrics import by_scene
from avsc.train.protocol import Segments

CLASSES = ("a", "b")
PER_LOCATION = 100
"""Segments."""


def drawn(rng: np.random.Generator, locations: int, sharpness: tuple[float, ...]) -> list[Segments]:
    """Return predictions of the same segments, by models of several kinds; a clip a location."""
    shape = (locations, PER_LOCATION)
    logit = 2 + 1.2 * rng.normal(size=(locations, 1)) + 1.2 * rng.normal(size=shape)
    shift = 0.8 * rng.normal(size=(locations, 1))
    right = (rng.random(shape) < 1 / (1 + np.exp(-logit))).ravel()
    clip = np.repeat(np.arange(locations), PER_LOCATION)
    scene = clip % 2
    predictions = []
    for s in sharpness:
        first = 1 / (1 + np.exp(-(s * logit + shift).ravel()))  # of the class that is called right
        probability = np.stack([first, 1 - first], 1)
        named = np.where(right, scene, 1 - scene)
        probability[named == 1] = probability[named == 1][:, ::-1]
        second = np.tile(np.arange(PER_LOCATION), locations)
        predictions.append(Segments(probability, clip, second, scene))
    return predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=499)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, resampling = np.random.default_rng(options.seed), Resampling(options.resamples)
    clip = Clip("clip", "a", "clip.wav", None, "test", None, None)
    rows = []
    for s in (1.0, 1.1, 1.3, 1.6):
        one, other = (calibration(each).error for each in drawn(rng, 20_000, (1.0, s)))
        for locations in (48, 126):
            clips = [
                replace(clip, id=str(row), scene=CLASSES[row % 2], location=str(row))
                for row in range(locations)
            ]
            hits = np.zeros(2)
            for _ in range(options.trials):
                first, second = drawn(rng, locations, (1.0, s))
                units = resampling_units(first, clips, by_scene(first, CLASSES))
                own = calibration_interval(second, units, resampling)
                between = calibration_difference(first, second, (clips, CLASSES), resampling)
                assert own is not None and between.interval is not None
                hits += [
                    own.low <= other <= own.high,
                    between.interval.low <= other - one <= between.interval.high,
                ]
            coverage, between_them = (f"{hit / options.trials:.2f}" for hit in hits)
            between_them = between_them if s != 1 else "-"
            rows.append(f"{s} | {other:.3f} | {locations} | {coverage} | {between_them}")
    table("s | error | locations | coverage | of the difference to s = 1", *rows)


if __name__ == "__main__":
    main()
