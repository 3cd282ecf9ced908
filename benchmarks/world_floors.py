"""What a perfect system would show: calibration error, and confidence that rises.

The calibration error of a sample is above 0 for a perfectly calibrated system, too, because the
accuracy in a bin is that of finitely many segments. And by Bayes' rule confidence may rise when a
modality is taken away: where the two contradict each other. Both are known here.

    python benchmarks/world_floors.py --work DIR [--trials 300]

prints both for the world in DIR, and beside every evaluated run its calibration errors, what they
would be if its probabilities were true, and how often and by how much its confidence rises, in all
segments and in those where sound and sight suggest the same scene.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from world_figures import PATTERNS, REPORT, TEMPERED

from avsc.preprocess.synth.design import Floats, SceneDesign, draw_symbols
from avsc.preprocess.synth.designs import named_design
from avsc.preprocess.synth.miniature import make_clips
from avsc.train.evaluate.calibration import calibration
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.evaluate.submissions import Truth, read_truth
from avsc.train.evaluate.writing import markdown_table
from avsc.train.protocol import Segments

UNSEEN: Mapping[str, tuple[int, ...]] = dict(zip(PATTERNS, ((), (1,), (2,)), strict=True))
"""Axes of p(scene, sound, sight) that each pattern of what is there sums over."""
CLEARLY = 0.05
"""By how much confidence rises that rises clearly."""


@dataclass(frozen=True)
class World:
    """A world, and what was drawn.

    Attributes:
        design: its model.
        symbols: those of each clip, as one text, or a list of one a second.
    """

    design: SceneDesign
    symbols: Mapping[str, str | list[str]]

    def drawn(self, clip: str, second: int) -> tuple[int, int]:
        """Return the index of the sound and of the sight of a second."""
        held = self.symbols[clip]
        return self._places[held if isinstance(held, str) else held[second]]

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        return {
            f"{sound} {sight}": (row, column)
            for row, sound in enumerate(self.design.sounds)
            for column, sight in enumerate(self.design.sights)
        }


def agreeing(design: SceneDesign) -> NDArray[np.bool_]:
    """Return whether a scene is the most probable by sound and by sight, [sounds, sights]."""
    likely = []
    for missing in ("no-image", "no-audio"):
        p = posteriors(design)[missing]
        likely.append(p >= p.max(axis=0) - 1e-9)
    return (likely[0] & likely[1]).any(axis=0)


def posteriors(design: SceneDesign) -> dict[str, Floats]:
    """Return p(scene | what is there) by pattern, each [scenes, sounds, sights]; 0 where p is."""
    p = design.joint()
    found = {}
    for name, axes in UNSEEN.items():
        left = p.sum(axis=axes, keepdims=True)
        known = left / np.where(left.any(axis=0), left.sum(axis=0), 1)
        found[name] = known * (p.sum(axis=0) > 0)
    return found


def risen(design: SceneDesign, pattern: str) -> tuple[float, float]:
    """Return in which share of the seconds the optimum is surer without a modality, or as sure."""
    known, weight = posteriors(design), design.joint().sum(axis=0)
    more = known[pattern].max(axis=0) - known["complete"].max(axis=0)
    return float(weight[more > 1e-9].sum()), float(weight[abs(more) <= 1e-9].sum())


def optimal_segments(
    design: SceneDesign, clips_per_scene: int, seconds: int, seed: int
) -> dict[str, Segments]:
    """Return the optimum's answers on the test clips of another draw of the world, by pattern."""
    clips = list(make_clips(design, clips_per_scene))
    scenes, sounds, sights = list(design.scenes), list(design.sounds), list(design.sights)
    rows = [
        (scenes.index(str(clip.scene)), sounds.index(each.sound), sights.index(each.sight), number)
        for number, (clip, symbols) in enumerate(
            zip(clips, draw_symbols(design, clips, seed, seconds), strict=True)
        )
        if clip.fold == "test"
        for each in symbols
    ]
    scene, sound, sight, clip_row = np.array(rows).T
    return {
        name: Segments(known[:, sound, sight].T, clip_row, None, scene)
        for name, known in posteriors(design).items()
    }


def if_calibrated(segments: Segments, trials: int, seed: int = 0) -> tuple[float, float]:
    """Return mean and 95th percentile of the error if each segment's probabilities were true.

    Scenes are drawn from them, independently; the clips of a world share theirs, so that the
    true floor is rather higher.
    """
    generator = np.random.default_rng(seed)
    ends = segments.probability.cumsum(axis=1)
    errors = []
    for _ in range(trials):
        drawn = (generator.uniform(size=(len(ends), 1)) * ends[:, -1:] > ends).sum(axis=1)
        errors.append(calibration(replace(segments, scene=drawn)).error)
    return summary(errors)


def summary(errors: list[float]) -> tuple[float, float]:
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def optimum_table(design: SceneDesign, answer: Mapping[str, Any], trials: int) -> str:
    """Return the optimum's own calibration errors and rises."""
    symbols = answer["symbols"]
    first = next(iter(symbols.values()))
    seconds = 1 if isinstance(first, str) else len(first)
    clips = len(symbols) // len(design.scenes)
    draws = [optimal_segments(design, clips, seconds, answer["seed"] + t) for t in range(trials)]
    rows = [["pattern", "segments", "error", "95 % of the draws below", "rises %", "as sure %"]]
    for name in UNSEEN:
        mean, most = summary([calibration(draw[name]).error for draw in draws])
        rise = ["-", "-"]
        if name != "complete":
            rise = [f"{100 * share:.1f}" for share in risen(design, name)]
        rows.append([name, str(len(draws[0][name])), f"{mean:.3f}", f"{most:.3f}", *rise])
    return markdown_table(rows)


def run_rows(run: Path, truth: Truth, world: World, trials: int) -> Iterator[list[str]]:
    """Yield a row for each pattern in which an evaluated run kept its predictions."""
    alike = agreeing(world.design)
    kept = {
        name: [
            read_predictions(folder / f"predictions-{name}.tsv", truth.clips, truth.classes, None)
            for folder in (run / REPORT, run / TEMPERED)
            if (folder / f"predictions-{name}.tsv").is_file()
        ]
        for name in UNSEEN
    }
    for name, found in kept.items():
        if not found:
            continue
        mean, most = if_calibrated(found[-1], trials)
        errors = [f"{calibration(each).error:.3f}" for each in found]
        more = found[0].probability.max(axis=1) - kept["complete"][0].probability.max(axis=1)
        rise = ["-", "-", "-"]
        if name != "complete":
            agree = np.array([
                alike[world.drawn(truth.clips[clip].id, second)]
                for clip, second in zip(found[0].clip, found[0].second, strict=True)
            ])  # fmt: skip
            shares = (more > 0).mean(), (more > CLEARLY).mean(), (more[agree] > 0).mean()
            rise = [f"{100 * share:.1f}" for share in shares]
        yield [run.name, name, errors[0], errors[1] if len(errors) > 1 else "-",
               f"{mean:.3f}", f"{most:.3f}", *rise]  # fmt: skip


def run_table(work: Path, world: World, trials: int) -> str:
    """Return the calibration errors and rises of every evaluated run."""
    truth = read_truth(work / "store")
    rows = [["run", "pattern", "error", "after temperature", "if calibrated", "95 % below",
             "rises %", f"by over {CLEARLY}, %", "where both agree, %"]]  # fmt: skip
    for run in sorted((work / "runs").iterdir()):
        rows += run_rows(run, truth, world, trials)
    return markdown_table(rows, left=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of benchmarks/world.py")
    parser.add_argument("--trials", type=int, default=300)
    chosen = parser.parse_args()
    answer = json.loads((chosen.work / "data" / "world.json").read_text())
    design = named_design(answer["design"]["name"])
    print(optimum_table(design, answer, chosen.trials), end="\n\n")
    print(run_table(chosen.work, World(design, answer["symbols"]), chosen.trials))


if __name__ == "__main__":
    main()
