"""Every system on a world whose best possible result is known: measured, and optimum.

The user's own commands, one after the other: a world and labelled images of its kind
(`avsc-prep synth --world NAME`), extraction, the image model's training on the labelled images
(`avsc-fit places`, from random weights), every system with that image model, and `avsc-fit
robustness` on the test fold, whose first row is the official evaluation. Then the tables, and
whether what was expected holds. What is done already is not done again, so that a run can be
stopped, and rows or seeds be added.

    python benchmarks/world.py --world faint-cue --work DIR [--out FILE.md] [--small]
    python benchmarks/world.py --world faint-cue --work DIR --rows joint,pipeline --seeds 0
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import described
from world_figures import (
    DONE,
    PATTERNS,
    REPORT,
    TEMPERED,
    WorldRuns,
    condition_table,
    expectation_lines,
    system_table,
)  # fmt: skip

PROGRAMS = Path(sys.executable).parent


ASK = "robustness"
"""Verb of a row that trains nothing: another row's run, asked for another answer."""


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        verb: of avsc-fit, or `ASK` of a run of another row.
        options: of its own.
        knows: what it may tell scenes by: sound, sight, both.
        donor: the row whose acoustic encoder it takes, or whose run it asks.
        teacher: the row that teaches it.
        random: whether its image model keeps random weights.
        passes: epochs for each one of the others; an epoch of images alone is a short one.
    """

    verb: str
    options: tuple[object, ...] = ()
    knows: str = "both"
    donor: str = ""
    teacher: str = ""
    random: bool = False
    passes: int = 1


DROPOUT = ("--modality-dropout", 0.3, "--modality-dropout-epochs", 3)
ROBUST = ("--preset", "robust", "--modality-dropout-epochs", 3)
ROBUST_SMALL = ("--preset", "robust-small", "--modality-dropout-epochs", 3)
ROWS = {
    "audio": Row("audio", knows="sound"),
    "video": Row("video", knows="sight", passes=3),
    "pipeline": Row("pipeline", donor="audio"),
    "ablation-2": Row("ablation-2"),
    "ablation-3": Row("ablation-3", donor="audio"),
    "joint": Row("joint"),
    "end-to-end": Row("end-to-end"),
    "video-random": Row("video", knows="sight", random=True, passes=3),
    "joint-random": Row("joint", random=True),
    "dropout": Row("joint", DROPOUT),
    "heads": Row("joint", ("--unimodal-heads", 0.3)),
    "dropout-heads": Row("joint", (*DROPOUT, "--unimodal-heads", 0.3)),
    "dropout-teacher": Row("joint", DROPOUT, teacher="joint"),
    "robust": Row("joint", ROBUST),
    "robust-fallback": Row(ASK, ("--answer", "fallback"), donor="robust"),
    "robust-small": Row("joint", ROBUST_SMALL),
    "audio-teacher": Row("audio", knows="sound", teacher="joint"),
    "shift": Row("joint", ("--shift", 1)),
    "norm": Row("joint", ("--fusion-norm", "layer")),
    "mixup": Row("joint", ("--mixup", 0.2)),
    "decay": Row("joint", ("--weight-decay", 0.01)),
    "average": Row("joint", ("--weight-average", 0.99)),
}
"""Every row: the paper's systems, random image models, and one option each."""
PAPER = "audio,video,pipeline,ablation-2,ablation-3,joint,end-to-end"


@dataclass(frozen=True)
class World:
    """How a design is run.

    Attributes:
        sizes: settings of the run, by the option's name.
        small: those that differ in a reduced one.
        below: pairs of rows of which the first is expected to have the lower log-loss.
        not_above: those of which it is expected to have no higher one.
        near: rows that are expected to lie within so many nats of their optimum.
    """

    sizes: Mapping[str, Any]
    small: Mapping[str, Any]
    below: tuple[tuple[str, str], ...]
    not_above: tuple[tuple[str, str], ...] = ()
    near: Mapping[str, float] = field(default_factory=dict)


SIZES = {
    "size": "128x96", "pictures_per_class": 400, "backbone": "test_resnet", "image_size": 64,
    "places_epochs": 6, "batch_size": 128, "lr_max": 0.01, "frames_per_image": "1",
}  # fmt: skip
WORLDS = {
    "world": World(
        {**SIZES, "clips_per_scene": 240, "seconds": 1.0, "epochs": 8},
        {"clips_per_scene": 80, "pictures_per_class": 100, "epochs": 4},
        below=(("joint", "audio"), ("joint", "video")),
        not_above=(("joint", "pipeline"),),
        near={"audio": 0.05, "video": 0.05},
    ),
    "faint-cue": World(
        {
            **SIZES, "size": "96x64", "clips_per_scene": 60, "seconds": 10.0, "epochs": 5,
            "pictures_per_class": 200, "lr_max": 0.02,
        },
        {"clips_per_scene": 36, "epochs": 8},
        below=(
            ("joint", "ablation-3"), ("ablation-3", "pipeline"), ("pipeline", "ablation-2"),
            ("joint", "pipeline"), ("joint", "audio"), ("joint", "video"),
        ),
        near={"joint": 0.1},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Benchmark:
    """What is run, and where.

    Attributes:
        chosen: the options.
        world: its design.
    """

    chosen: argparse.Namespace
    world: World

    @property
    def runs(self) -> WorldRuns:
        """The rows and seeds that are asked for."""
        names = self.chosen.rows.split(",")
        rows = {name: row.knows for name, row in ROWS.items() if name in names}
        seeds = [int(seed) for seed in self.chosen.seeds.split(",")]
        return WorldRuns(self.chosen.work, rows, seeds)

    def run(self, program: str, *arguments: object) -> None:
        """Run a command of the user's, and end with its status if it fails."""
        words = [program, *map(str, arguments)]
        print("$", *words, flush=True)
        status = subprocess.run([PROGRAMS / program, *words[1:]], check=False).returncode
        if status:
            sys.exit(status)

    def prepare(self) -> None:
        """Make the world, its store, and the image model."""
        chosen, work = self.chosen, self.chosen.work
        self.run(
            "avsc-prep", "synth", "--world", chosen.world, "--out", work / "data",
            "--clips-per-scene", chosen.clips_per_scene, "--seconds", chosen.seconds,
            "--size", chosen.size, "--pictures-out", work / "pictures",
            "--pictures-per-class", chosen.pictures_per_class,
        )  # fmt: skip
        self.run(
            "avsc-prep", "extract", "--dataset", "TAU2021", "--root", work / "data",
            "--out", work / "store", "--products", "scalogram,images",
        )  # fmt: skip
        self.run(
            "avsc-fit", "places", "--data", work / "pictures", "--out", work / "places",
            *self._image_model(), "--visual-weights", "random", "--batch-size", 64,
            "--epochs", chosen.places_epochs, "--lr-max", 0.05, "--warmup", 1,
        )  # fmt: skip

    def _image_model(self) -> Iterator[object]:
        yield from ("--backbone", self.chosen.backbone, "--image-size", self.chosen.image_size)

    def train(self, name: str, seed: int) -> None:
        """Train a row with a seed, unless it is evaluated already or trains nothing."""
        row, chosen, work = ROWS[name], self.chosen, self.chosen.work
        folder = self.runs.folder(name, seed)
        if row.verb == ASK or (folder / DONE).exists():
            return
        others = [
            part
            for option, other in (("--acoustic-run", row.donor), ("--teacher", row.teacher))
            for part in ((option, self.runs.folder(other, seed)) if other else ())
        ]
        epochs = row.passes * chosen.epochs
        shared = ("--frames-per-image", chosen.frames_per_image) if self._pairs(row) else ()
        weights = "random" if row.random else work / "places"
        self.run(
            "avsc-fit", row.verb, "--store", work / "store", "--out", folder, *others, *shared,
            *self._image_model(), "--visual-weights", weights, "--seed", seed,
            "--embeddings", work / "embeddings", "--epochs", epochs, "--lr-period", epochs,
            "--lr-max", chosen.lr_max, "--batch-size", chosen.batch_size, *row.options,
        )  # fmt: skip

    def evaluate(self, name: str, seed: int) -> None:
        """Evaluate a run under every condition, and with a temperature for each pattern."""
        row, folder = ROWS[name], self.runs.folder(name, seed)
        run, asked = folder, ()
        if row.verb == ASK:
            run, asked = self.runs.folder(row.donor, seed), row.options
        for report, conditions, options in (
            (REPORT, self.runs.conditions, ()),
            (TEMPERED, PATTERNS, ("--temperature",)),
        ):
            if not (folder / report / "robustness.md").exists():
                self.run(
                    "avsc-fit", "robustness", run, "--save-predictions", *asked, *options,
                    "--conditions", ",".join(conditions), "--out", folder / report,
                )  # fmt: skip

    def _pairs(self, row: Row) -> bool:
        """Return whether a row augments images that several acoustic frames share."""
        return row.verb in ("ablation-3", "joint", "end-to-end")

    def compare(self, first: str, second: str) -> None:
        """Compare two rows for each seed in which both are evaluated."""
        runs = self.runs
        for seed in runs.seeds_of(first, second):
            if not runs.comparison(first, second, seed).exists():
                files = (runs.predictions(name, seed) for name in (second, first))
                self.run(
                    "avsc-fit", "compare", *files, "--truth", self.chosen.work / "store",
                    "--out", runs.comparison(first, second, seed).parent,
                )  # fmt: skip

    def report(self) -> str:
        """Return the page of figures, of what is there."""
        world = self.world
        pairs = (*world.below, *world.not_above)
        for pair in pairs:
            self.compare(*pair)
        sizes = ", ".join(
            f"{name.replace('_', '-')} {value}"
            for name, value in vars(self.chosen).items()
            if name not in ("work", "out", "rows", "report")
        )
        lines = expectation_lines(self.runs, world.below, world.not_above, world.near)
        return (
            f"{described()}; {sizes}\n\n{system_table(self.runs)}\n\n"
            f"{condition_table(self.runs)}\n\n" + "\n".join(lines) + "\n"
        )


def options() -> argparse.Namespace:
    """Read the options; the defaults of the sizes depend on the world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", choices=WORLDS, default="world", help="design")
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--out", type=Path, help="file to write the figures to")
    parser.add_argument("--small", action="store_true", help="reduced sizes")
    parser.add_argument("--seeds", default="0,1,2", help="of the systems")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"the paper's: {PAPER}")
    parser.add_argument("--report", action="store_true", help="only print what is there")
    first, _ = parser.parse_known_args()
    world = WORLDS[first.world]
    defaults = {**world.sizes, **(world.small if first.small else {})}
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    chosen = parser.parse_args()
    if unknown := set(chosen.rows.split(",")) - set(ROWS):
        parser.error(f"--rows: {sorted(unknown)[0]} is unknown; any of {', '.join(ROWS)}")
    return chosen


def main() -> None:
    chosen = options()
    benchmark = Benchmark(chosen, WORLDS[chosen.world])
    if not chosen.report:
        benchmark.prepare()
        for seed in benchmark.runs.seeds:
            for name in benchmark.runs.rows:
                benchmark.train(name, seed)
                benchmark.evaluate(name, seed)
    figures = benchmark.report()
    print(figures)
    if chosen.out is not None:
        chosen.out.write_text(figures)


if __name__ == "__main__":
    main()
