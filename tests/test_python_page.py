"""Every block of docs/python.md runs, one after the other."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from inferred import Trained
from videos import drawn, write_video

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with what the page names: a run, a store, and a clip with sound and images."""
    world = Trained(tmp_path)
    (tmp_path / "stores").mkdir()
    run = world.fit("joint")
    (tmp_path / "runs").mkdir()
    run.rename(tmp_path / "runs" / "joint")
    shutil.copytree(world.store, tmp_path / "stores" / "small")
    images = drawn(30, np.random.default_rng(0), 48, 64)
    write_video(tmp_path / "clip.mp4", images, rate=10, silence=3.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_runs(home, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 10
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "<Model runs/joint: joint, 2 scenes, hears scalogram at 16000 Hz, sees images of" in said
    assert "<Prediction clip.mp4: 3 answers from 0 to 3 s; scene" in said
    assert "<Prediction arrays: 3 answers" in said
    assert "<Store stores/small: small, 10 clips of 2 scenes, fbank, images, scalogram>" in said
    assert "<Records of scalogram: 10 of 10 clips, rows of 2 x 290>" in said
    for name in ("clip.csv", "scalogram.png", "images.png"):
        assert (home / name).stat().st_size > 100
    times, hertz = names["times"], names["hertz"]
    assert times[0] == 0.256 and len(times) == len(names["frames"])  # type: ignore[index, arg-type]
    assert len(hertz) == 290 and 0 < hertz[0] < hertz[-1] < 8000  # type: ignore[index, arg-type]
    assert sorted(names["pictures"]) == [0, 1]  # type: ignore[call-overload]
