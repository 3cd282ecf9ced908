"""benchmarks/world_probe.py: Bayes' rule on probabilities of symbols, against counting."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avsc.preprocess.synth.designs import named_design

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("world_probe")


@pytest.mark.parametrize("name", ["world", "faint-cue"])
def test_known_symbols_give_the_posterior_of_the_table(name: str, probe: Any) -> None:
    design = named_design(name)
    drawn = [
        (scene, kinds, p)
        for scene, table in enumerate(design.scenes.values())
        for kinds, p in table.items()
        if p > 0
    ]
    world = probe.World(design, {str(row): str(kinds) for row, (_, kinds, _) in enumerate(drawn)})
    symbols = np.array([world.drawn(str(row), 0) for row in range(len(drawn))])
    sizes = {"audio": len(design.sounds), "visual": len(design.sights)}
    sure = {
        modality: np.eye(size)[column]
        for (modality, size), column in zip(sizes.items(), symbols.T, strict=True)
    }
    scenes = np.array([scene for scene, _, _ in drawn])
    seen_by = {
        ("audio", "visual"): lambda kinds: kinds,
        ("audio",): lambda kinds: kinds.sound,
        ("visual",): lambda kinds: kinds.sight,
    }
    for left, seen in seen_by.items():
        losses = []
        for scene, kinds, _ in drawn:
            alike = [
                sum(p for other, p in table.items() if seen(other) == seen(kinds))
                for table in design.scenes.values()
            ]
            losses.append(-math.log(alike[scene] / sum(alike)))
        found = probe.log_loss(design, {modality: sure[modality] for modality in left}, scenes)
        assert found == pytest.approx(np.mean(losses), abs=1e-9)


def test_a_probe_that_knows_nothing_leaves_chance(probe: Any) -> None:
    design = named_design("faint-cue")
    unsure = {"audio": np.tile(design.joint().sum(axis=(0, 2)), (3, 1))}
    assert probe.log_loss(design, unsure, np.arange(3)) == pytest.approx(math.log(10))
