"""Urbansas: whether a vehicle is audible, second by second, in real street recordings.

A test that the whole instrument works on real recordings with real labels, and no more than that:
49 excerpts of ten seconds from 40 locations, far too few to rank systems. The user's own commands,
one after the other: a manifest with segments, extraction, audio, video and joint, each
cross-validated over locations, their pooled evaluation, and `avsc-fit robustness` of joint with a
modality missing, and out of step. What is done already is not done again.

    git clone https://github.com/beasteers/urbansas-website urbansas
    python benchmarks/urbansas.py urbansas --work DIR --visual-weights lite0.pt

The media are for non-commercial use (Fuentes et al., "Urban sound & sight: dataset and benchmark
for audio-visual urban scene understanding", ICASSP 2022); nothing of them is in this repository.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from machine import described

from avsc.features.store.reader import Store
from avsc.manifests.label_spans import LabelSpan, encode_spans
from avsc.train.evaluate.bootstrap import Resampling, resampling_units
from avsc.train.evaluate.crossed import resample_mean
from avsc.train.evaluate.predictions import read_predictions
from avsc.train.metrics import by_scene, outcomes

PROGRAMS = Path(sys.executable).parent
SECONDS = 10.0
LABELS = ("no vehicle", "vehicle")
CONDITIONS = "complete,no-audio,no-image,audio-late-1s,audio-late-2s,audio-late-5s"
SYSTEMS = ("audio", "video", "joint")


def spans(sounds: Iterable[dict[str, float]]) -> tuple[LabelSpan, ...]:
    """Return when any vehicle is heard in a clip, and when none is."""
    heard = [(max(0.0, s["start"]), min(SECONDS, s["end"])) for s in sounds]
    heard = [(start, end) for start, end in heard if start < end]
    times = sorted({0.0, SECONDS, *(time for pair in heard for time in pair)})
    found: list[LabelSpan] = []
    for start, end in pairwise(times):
        label = LABELS[any(first <= start and end <= last for first, last in heard)]
        if found and found[-1].label == label:
            start = found.pop().start
        found.append(LabelSpan(start, end, label))
    return tuple(found)


def write_manifest(clone: Path, path: Path) -> None:
    """Write the manifest of the excerpts that have sound."""
    clips = json.loads((clone / "src" / "annotations.json").read_text())["meta"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "audio", "video", "city", "location", "segments"])
        for name, clip in sorted(clips.items()):
            media, place = clip["video_path_md"], clip["location"]
            city = re.sub(r"\d+$", "", place)
            segments = encode_spans(spans(clip["audio_objects"]))
            table.writerow([name, media, media, city, place, segments])


def run(*command: object) -> None:
    """Run one of the programs."""
    words = [str(word) for word in command]
    print(f"\n$ {' '.join(words)}", flush=True)
    subprocess.run([PROGRAMS / words[0], *words[1:]], check=True)


def figures(store: Store, run_folder: Path) -> tuple[str, ...]:
    """Return log-loss and accuracy (strict) with intervals, as cells of a table.

    Over fewer locations than avsc itself gives intervals for (48), as no better ones can be had.
    """
    file = run_folder / "evaluation-test" / "predictions-strict.tsv"
    segments = read_predictions(file, store.clips, store.classes)
    groups = by_scene(segments, store.classes)
    values = outcomes(segments)
    units = resampling_units(segments, store.clips, groups)
    drawn = resample_mean(units.sums(values), units, Resampling())
    low, high = drawn.ends(minimum=2)
    (loss, accuracy), ends = drawn.mean[0], [*zip(low[0], high[0], strict=True)]
    return (
        f"{loss:.3f} [{ends[0][0]:.3f}, {ends[0][1]:.3f}]",
        f"{100 * accuracy:.1f} [{100 * ends[1][0]:.1f}, {100 * ends[1][1]:.1f}]",
    )


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("clone", type=Path, help="a clone of the website's repository")
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--visual-weights", default="random", help="as of avsc-fit video")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--folds", type=int, default=10)
    asked = parser.parse_args()
    work, store = asked.work, asked.work / "store"
    manifest = work / "urbansas.csv"
    write_manifest(asked.clone, manifest)
    media = asked.clone / "public"
    run("avsc-prep", "extract", "--manifest", manifest, "--root", media, "--out", store,
        "--products", "scalogram,images", "--workers", 1)  # fmt: skip
    run("avsc-prep", "info", store)
    options = {
        "store": store,
        "folds": asked.folds,
        "backbone": asked.backbone,
        "visual-weights": asked.visual_weights,
        "image-size": asked.image_size,
        "frames-per-image": "all",  # each image is encoded once an epoch
        "batch-size": 64,
        "validation-fraction": 0.2,
        "epochs": asked.epochs,
        "lr-period": asked.epochs,  # one cycle of the learning rate
        "device": "cpu",
    }
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    for system in SYSTEMS:
        run("avsc-fit", system, *given, "--out", work / system)
        run("avsc-fit", "evaluate", work / system, "--device", "cpu", "--no-page")
    run("avsc-fit", "robustness", work / "joint", "--conditions", CONDITIONS, "--device", "cpu",
        "--audio-run", work / "audio", "--visual-run", work / "video")  # fmt: skip
    opened = Store.open(store)
    print(f"\n{described()}\n\n| system | log-loss | accuracy / % |\n|---|---|---|")
    for system in SYSTEMS:
        print(f"| {system} | {' | '.join(figures(opened, work / system))} |")
    places = len({clip.location for clip in opened.clips})
    print(
        f"\n{len(opened.clips)} clips of {places} locations, {asked.folds} folds of locations; "
        f"image model {asked.backbone}, frozen, {Path(asked.visual_weights).name} weights; means "
        "over both classes, 95 % intervals by bootstrap-t over locations."
    )


if __name__ == "__main__":
    main()
