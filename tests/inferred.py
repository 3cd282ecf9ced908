"""A data set of real recordings, its store, and small runs that were trained on it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from extraction import World
from recordings import write_sound
from systems import SMALL
from videos import drawn, write_video

from avsc.features.specs import SPECS, ImageSpec
from avsc.train.fit.compute import Session
from avsc.train.fit.console import Console
from avsc.train.fit.prepare import prepare
from avsc.train.fit.run_folder import RunFolder
from avsc.train.settings.scenes import Settings
from avsc.train.systems import VERBS

LENGTHS = {"clip-6": 2.3, "clip-7": 12.7, "clip-8": 3.0, "clip-9": 1.4}
"""Seconds of the clips of the test fold; the others have two."""


class Trained(World):
    """A data set with folds, its store (in `folder`), and runs."""

    def __init__(self, folder: Path, images: ImageSpec | None = None) -> None:
        self.folder = folder
        root = folder / "root"
        rows = ["id,scene,audio,video,fold"]
        for number in range(10):
            name = f"clip-{number}"
            seconds = LENGTHS.get(name, 2.0)
            write_sound(root / "audio" / f"{name}.wav", seconds, number)
            (root / "video").mkdir(exist_ok=True)
            frames = drawn(round(5 * seconds), np.random.default_rng(number), 48, 64)
            write_video(root / "video" / f"{name}.mp4", frames, rate=5)
            fold = "test" if name in LENGTHS else "train"
            files = f"audio/{name}.wav,video/{name}.mp4"
            rows.append(f"{name},scene{number % 2},{files},{fold}")
        (root / "clips.csv").write_text("\n".join(rows) + "\n")
        super().__init__(folder, write=False)
        if images is not None:
            specs = {**self.description.specs, "images": images}
            self.description = replace(self.description, specs=specs)
        self.make()

    def fit(self, system: str, **changes: object) -> Path:
        """Train a run for an epoch, unless that was done; return its folder."""
        out = self.folder / system
        if not out.exists():
            small = {**SMALL, "epochs": 1, "batch_size": 4, "validation": "none"}
            settings = Settings(**{"store": self.store, **small, **changes})  # type: ignore[arg-type]
            with Console() as console:
                session = Session.open(settings, console)
                prepare(VERBS[system], settings, RunFolder(out), True, session).fit()
        return out

    def files(self, clip: str) -> tuple[Path, Path]:
        """Return the sound and the video of a clip."""
        return self.root / "audio" / f"{clip}.wav", self.root / "video" / f"{clip}.mp4"


PRODUCTS = tuple(SPECS)
