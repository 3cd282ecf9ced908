"""What is known of a data set because it was made: its design, the optimum, what was drawn.

    world.json    design       p(symbols | scene) of each scene
                  seed         of everything drawn
                  optimum      the best accuracy and log-loss (nats) that can be expected from the
                               sound, the sight and both, to three digits
                  oracle       the same of p(scene | symbols) on the clips drawn, by fold
                  symbols      sound and sight of each clip

The best for one segment is the best for a clip: its symbols are the same all along.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from avsc.manifests.clips import Clip
from avsc.manifests.errors import ManifestError
from avsc.preprocess.synth.design import Design, Kinds, Score

NAME = "world.json"


def encode_answer(
    design: Design, seed: int, clips: Sequence[Clip], drawn: Sequence[Kinds]
) -> bytes:
    """Return what ``world.json`` holds.

    Args:
        design: of the data set.
        seed: of everything drawn.
        clips: of the data set, some of each scene in each fold.
        drawn: the symbols of each clip.
    """
    known = list(zip(clips, drawn, strict=True))
    oracle = {
        fold: _rounded(design.oracle((c.scene, kinds) for c, kinds in known if c.fold == fold))
        for fold in ("train", "test")
    }
    held = {
        "design": {
            "name": design.name,
            "scenes": {
                scene: {_named(kinds): round(p, 9) for kinds, p in draws.items()}
                for scene, draws in design.scenes.items()
            },
        },
        "seed": seed,
        "optimum": _rounded(design.best_possible()),
        "oracle": oracle,
        "symbols": {clip.id: _named(kinds) for clip, kinds in known},
    }
    return (json.dumps(held, indent=1) + "\n").encode()


def check_answer(path: Path, wanted: bytes) -> None:
    """Check that what is known of a set that is there is what would be known of it now.

    Raises:
        ManifestError: it was drawn from another design, as by another version of avsc.
    """
    if path.is_file() and path.read_bytes() != wanted:
        raise ManifestError(
            f"{path}: not what these settings give: the set was made by another version of avsc, "
            "or the file was changed. Name another folder."
        )


def _named(kinds: Kinds) -> str:
    return f"{kinds.sound} {kinds.sight}"


def _rounded(scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    return {
        name: {key: round(value, 3) for key, value in each._asdict().items()}
        for name, each in scores.items()
    }
