"""Where a system loses what can be known of a world: in its embeddings, or in its classifier.

A linear probe reads the true symbols from the frozen embeddings of a run's training clips. On test
clips, its probabilities of the symbols become those of scenes by Bayes' rule, with the world's own
model. What is missing to the oracle then is lost in the embeddings; what the run's own classifier
misses beyond that is lost in learning scenes from them.

    python benchmarks/world_probe.py --work DIR --runs joint-0,audio-0

prints it for evaluated runs of benchmarks/world.py in DIR.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from world_figures import PATTERNS, REPORT
from world_floors import World

from avsc.preprocess.synth.design import Floats, SceneDesign
from avsc.preprocess.synth.designs import named_design
from avsc.train.evaluate.predict import clip_samples
from avsc.train.evaluate.robustness.classifier_inputs import embed_clips
from avsc.train.evaluate.tested_runs import evaluated_store
from avsc.train.evaluate.writing import markdown_table
from avsc.train.fit.compute import Computing
from avsc.train.fit.console import Console
from avsc.train.fit.split import fold_rows
from avsc.train.fit.trained_run import Trained, restore
from avsc.train.systems import Modality

MISSING: Mapping[str, Modality | None] = dict(zip(PATTERNS, (None, "audio", "visual"), strict=True))
PRIOR_OVER: Mapping[Modality, tuple[int, int]] = {"audio": (0, 2), "visual": (0, 1)}
"""Axes of p(scene, sound, sight) that p(symbol) of a modality sums over."""
PENALTY = 0.1
"""C of the probe, the inverse of its penalty, on standardised embeddings."""

Ints = NDArray[np.int64]


def log_loss(design: SceneDesign, known: Mapping[Modality, Floats], scene: Ints) -> float:
    """Return the log-loss of Bayes' rule on probabilities of symbols, nats.

    Args:
        design: the world's model.
        known: p(symbol) of each sample by modality, [samples, symbols]; nothing where missing.
        scene: the true ones, int64 [samples], equally frequent.
    """
    p = design.joint()
    odds = []
    for modality, others in PRIOR_OVER.items():
        prior = p.sum(axis=others)
        odds.append(known[modality] / prior if modality in known else np.ones((1, len(prior))))
    audio, visual = (np.broadcast_to(each, (len(scene), each.shape[1])) for each in odds)
    posterior = np.einsum("kav,na,nv->nk", p, audio, visual, optimize=True)
    posterior /= posterior.sum(axis=1, keepdims=True)
    return float(-np.log(posterior[np.arange(len(scene)), scene]).mean())


@dataclass(frozen=True)
class Part:
    """The seconds of a fold.

    Attributes:
        vectors: embeddings by modality, float32 [samples, features].
        symbol: index of the true symbol by modality, int64 [samples].
        scene: index of the scene, int64 [samples].
    """

    vectors: Mapping[Modality, NDArray[np.float32]]
    symbol: Mapping[Modality, Ints]
    scene: Ints

    @classmethod
    def read(cls, trained: Trained, fold: str, world: World) -> Self:
        """Embed the clips of a fold."""
        store = evaluated_store(trained, None, allow_other=False)
        clips = clip_samples(trained, store, fold_rows(store, trained, fold), ("centred",))
        with Console() as console:
            computing = Computing(torch.device("cpu"), 256, 0)
            inputs = embed_clips(trained.network, clips, computing, console)
        samples = inputs.samples
        rows: dict[Modality, Ints | None] = {"audio": samples.frame, "visual": samples.image}
        of_samples = zip(samples.clip, samples.second, strict=True)
        drawn = np.array([world.drawn(store.clips[clip].id, second) for clip, second in of_samples])
        return cls(
            {modality: vectors[rows[modality]] for modality, vectors in inputs.vectors.items()},
            dict(zip(rows, drawn.T, strict=True)),
            samples.scene,
        )


def probe(training: Part, test: Part) -> dict[Modality, Floats]:
    """Return a probe's p(symbol) of test samples by modality, [samples, symbols]."""
    known = {}
    for modality, vectors in training.vectors.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
        model.fit(vectors, training.symbol[modality])
        known[modality] = model.predict_proba(test.vectors[modality])
    return known


def rows_of(run: Path, world: World) -> Iterator[list[str]]:
    """Yield a row for each pattern of what there is that a run takes."""
    trained = restore(run)
    training, test = (Part.read(trained, fold, world) for fold in ("train", "test"))
    known = probe(training, test)
    sure = {modality: np.eye(p.shape[1])[test.symbol[modality]] for modality, p in known.items()}
    report = json.loads((run / REPORT / "robustness.json").read_text())["rows"]
    measured = {row["condition"]: row["log_loss"] for row in report if row["defined"]}
    for pattern, missing in MISSING.items():
        left = [modality for modality in known if modality != missing]
        if not left or pattern not in measured or (missing is not None and len(known) < 2):
            continue
        found = (log_loss(world.design, {m: p[m] for m in left}, test.scene) for p in (sure, known))
        right = " ".join(
            f"{modality} {100 * (known[modality].argmax(1) == test.symbol[modality]).mean():.1f}"
            for modality in left
        )
        losses = (f"{value:.3f}" for value in (*found, measured[pattern]))
        yield [run.name, pattern, *losses, right]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of benchmarks/world.py")
    parser.add_argument("--runs", default="joint-0", help="names of runs in it")
    chosen = parser.parse_args()
    answer = json.loads((chosen.work / "data" / "world.json").read_text())
    world = World(named_design(answer["design"]["name"]), answer["symbols"])
    rows = [["run", "pattern", "symbols known", "probe and Bayes' rule", "the run", "symbols, %"]]
    for name in chosen.runs.split(","):
        rows += rows_of(chosen.work / "runs" / name, world)
    print(markdown_table(rows, left=2))


if __name__ == "__main__":
    main()
