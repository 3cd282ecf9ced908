"""Every system on a world whose best possible result is known: measured, oracle, optimum.

The user's own commands, one after the other: a world and labelled images of its kind
(`avsc-prep synth --world`), extraction, the image model's training on the labelled images
(`avsc-fit places`, from random weights), every system of the paper with that image model, its
evaluation on the test fold, and the paired comparison of joint optimisation with the pipeline. Then
the table, and whether what was expected holds. What is done already is not done again.

    python benchmarks/world.py --work DIR [--out FILE.md] [--clips-per-scene 200] ...
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import described

from avsc.train.evaluate.bootstrap import METHOD
from avsc.train.evaluate.writing import markdown_table

PROGRAMS = Path(sys.executable).parent
SECONDS = re.compile(r" epoch \d+, .*\((\d+\.\d) s\)$", re.MULTILINE)
REPORT = "evaluation-test"
NEAR = 0.05
"""Nats that a single modality may lie above its optimum."""


@dataclass(frozen=True)
class System:
    """A row of the table.

    Attributes:
        verb: of avsc-fit.
        knows: what it may tell scenes by: sound, sight, both.
        acoustic_run: whether its acoustic encoder is the audio-only run's.
        random: whether its image model keeps random weights.
        passes: epochs for each one of the others; an epoch of images alone is a short one.
    """

    verb: str
    knows: str
    acoustic_run: bool = False
    random: bool = False
    passes: int = 1

    @property
    def name(self) -> str:
        """Of its run's folder."""
        return self.verb + "-random" * self.random


SYSTEMS = (
    System("audio", "sound"),
    System("video", "sight", passes=3),
    System("video", "sight", random=True, passes=3),
    System("pipeline", "both", acoustic_run=True),
    System("ablation-2", "both"),
    System("ablation-3", "both", acoustic_run=True),
    System("joint", "both"),
    System("joint", "both", random=True),
    System("end-to-end", "both"),
)


def run(program: str, *arguments: object) -> None:
    """Run a command of the user's, and end with its status if it fails."""
    words = [program, *map(str, arguments)]
    print("$", *words, flush=True)
    status = subprocess.run([PROGRAMS / program, *words[1:]], check=False).returncode
    if status:
        sys.exit(status)


def prepare(chosen: argparse.Namespace) -> None:
    """Make the world, its store, and the image model."""
    work: Path = chosen.work
    run(
        "avsc-prep", "synth", "--world", "--out", work / "data",
        "--clips-per-scene", chosen.clips_per_scene, "--seconds", chosen.seconds,
        "--size", chosen.size, "--seed", chosen.seed,
        "--pictures-out", work / "pictures", "--pictures-per-class", chosen.pictures_per_class,
    )  # fmt: skip
    run(
        "avsc-prep", "extract", "--dataset", "TAU2021", "--root", work / "data",
        "--out", work / "store", "--products", "scalogram,images",
    )  # fmt: skip
    run(
        "avsc-fit", "places", "--data", work / "pictures", "--out", work / "places",
        *image_model(chosen), "--visual-weights", "random", "--seed", chosen.seed,
        "--batch-size", 64, "--epochs", chosen.places_epochs, "--lr-max", 0.05, "--warmup", 1,
    )  # fmt: skip


def image_model(chosen: argparse.Namespace) -> Iterator[object]:
    yield from ("--backbone", chosen.backbone, "--image-size", chosen.image_size)


def train(chosen: argparse.Namespace, system: System) -> None:
    """Train a system and evaluate it on the test fold."""
    work: Path = chosen.work
    taken = ("--acoustic-run", work / "audio") if system.acoustic_run else ()
    epochs = system.passes * chosen.epochs
    run(
        "avsc-fit", system.verb, "--store", work / "store", "--out", work / system.name, *taken,
        *image_model(chosen), "--visual-weights", "random" if system.random else work / "places",
        "--embeddings", work / "embeddings", "--seed", chosen.seed,
        "--epochs", epochs, "--lr-period", epochs, "--batch-size", chosen.batch_size,
    )  # fmt: skip
    if not evaluated(work / system.name / REPORT):
        run("avsc-fit", "evaluate", work / system.name, "--protocol", "strict")


def evaluated(report: Path) -> bool:
    """Whether a report is whole, and its intervals are those of today's method."""
    if not (report / "report.md").exists():  # it is written last
        return False
    return bool(json.loads((report / "metrics.json").read_text()).get("intervals") == METHOD)


def measured(work: Path, system: System) -> dict[str, Any]:
    """Return what the evaluation of a system found by the official metric."""
    report = json.loads((work / system.name / REPORT / "metrics.json").read_text())
    found: dict[str, Any] = report["protocols"]["strict"]
    return found


def comparison(work: Path) -> dict[str, Any]:
    """Compare joint optimisation with the pipeline; return the difference in log-loss."""
    out = work / "pipeline-joint"
    run("avsc-fit", "compare", work / "pipeline", work / "joint", "--out", out)
    rows = json.loads((out / "comparison.json").read_text())["rows"]
    found: dict[str, Any] = rows[0]["log_loss"]
    return found


def table(work: Path) -> str:
    """Return the systems beside the oracle and the optimum."""
    answer = json.loads((work / "data" / "world.json").read_text())
    rows = [["system", "knows", "log-loss", "95 % interval", "oracle", "optimum",
             "acc. %", "oracle", "optimum", "epochs", "s per epoch"]]  # fmt: skip
    for system in SYSTEMS:
        found = measured(work, system)
        oracle, best = (
            part[system.knows] for part in (answer["oracle"]["test"], answer["optimum"])
        )
        seconds = SECONDS.findall((work / system.name / "log.txt").read_text())
        interval = found["log_loss_interval"]
        rows.append([
            system.verb + ", VE random" * system.random, system.knows,
            f"{found['log_loss']:.3f}",
            "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}",
            f"{oracle['log_loss']:.3f}", f"{best['log_loss']:.3f}",
            f"{100 * found['accuracy']:.1f}",
            f"{100 * oracle['accuracy']:.1f}", f"{100 * best['accuracy']:.1f}",
            f"{len(seconds)}", f"{statistics.median(map(float, seconds)):.1f}",
        ])  # fmt: skip
    return markdown_table(rows, left=2)


def expectations(work: Path, difference: dict[str, float] | None) -> Iterator[tuple[bool, str]]:
    """Yield what was expected before anything was measured, and whether it holds.

    Args:
        work: folder of the runs.
        difference: 95 % interval of joint's log-loss minus the pipeline's; None where there are
            too few locations for one, and then nothing is expected of it.
    """
    if difference is not None:
        low, high = difference["low"], difference["high"]
        yield (
            low <= 0,
            f"joint is no worse than pipeline: difference in log-loss {low:.3f} to {high:.3f}",
        )
    answer = json.loads((work / "data" / "world.json").read_text())
    loss = {system.name: measured(work, system)["log_loss"] for system in SYSTEMS}
    for name, knows in (("audio", "sound"), ("video", "sight")):
        best = answer["optimum"][knows]["log_loss"]
        yield (
            loss["joint"] < loss[name],
            f"joint beats {name}: {loss['joint']:.3f}, {loss[name]:.3f}",
        )
        off = loss[name] - best
        yield off <= NEAR, f"{name} is within {NEAR} nats of its optimum: {off:+.3f}"


def report(chosen: argparse.Namespace) -> str:
    """Return the page of figures."""
    interval = comparison(chosen.work)["interval"]
    lines = [
        f"- {'holds' if holds else 'DOES NOT HOLD'}: {text}"
        for holds, text in expectations(chosen.work, interval)
    ]
    sizes = ", ".join(
        f"{name.replace('_', '-')} {value}"
        for name, value in vars(chosen).items()
        if name not in ("work", "out")
    )
    return f"{described()}; {sizes}\n\n{table(chosen.work)}\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--out", type=Path, help="file to write the figures to")
    parser.add_argument("--clips-per-scene", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a clip")
    parser.add_argument("--size", default="128x96", help="of the images")
    parser.add_argument("--pictures-per-class", type=int, default=400, help="labelled images")
    parser.add_argument("--backbone", default="test_resnet", help="image model")
    parser.add_argument("--image-size", type=int, default=64, help="that the image model sees")
    parser.add_argument("--places-epochs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=8, help="of every system")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    prepare(chosen)
    for system in SYSTEMS:
        train(chosen, system)
    figures = report(chosen)
    print(figures)
    if chosen.out is not None:
        chosen.out.write_text(figures)


if __name__ == "__main__":
    main()
