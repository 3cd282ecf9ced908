"""Paths that do not lead to what is wanted: one line that names them, from every command."""

import shlex

import numpy as np
import pytest

FAST = "--epochs 1 --batch-size 8 --device cpu --workers 0"
MODEL = "--backbone test_resnet --image-size 32"
MADE = ("missing", "empty", "junk", "folder", "empty/below")
READ = [
    "baseline-audio --store HOME/store --acoustic-embeddings X --out OUT " + FAST,
    f"places --data X --visual-weights random --out OUT {MODEL} {FAST}",
    f"joint --store HOME/store --visual-weights X --out OUT {MODEL} {FAST}",
    f"pipeline --store HOME/store --acoustic-run X --out OUT {FAST}",
    f"audio --store X --out OUT {FAST}",
    f"audio --store HOME/store --validation file --validation-file X --out OUT {FAST}",
    "evaluate X",
    "evaluate HOME/audio --store X",
    "embed X",
    "embed HOME/audio --store X",
    "embed --store HOME/store --visual-weights X --backbone test_resnet",
    "compare X X",
    "compare X X --truth HOME/store",
    "tsne X X",
    "table 2 --store X --out OUT",
]
WRITTEN = [
    f"audio --store HOME/store --out X {FAST}",
    "evaluate HOME/audio --out X --device cpu --workers 0 --resamples 100 --protocol strict",
    "embed HOME/audio --out X",
]
MISLEADING = (
    "Traceback",
    "no reason given",
    "Errno",
    "extract` again",
    "--no-resume",
    "doctor",
    "trust",
)
"""What is not said of a wrong path: Python's words, and remedies for something else."""


@pytest.fixture
def at(home, tmp_path):
    """Make what the names of `MADE` say; return a command's words with the paths in it."""
    (tmp_path / "empty").touch()
    (tmp_path / "junk").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "folder").mkdir()

    def words(command, name):
        paths = {"X": tmp_path / name, "HOME": home, "OUT": tmp_path / "out"}
        for short, path in paths.items():
            command = command.replace(short, str(path))
        return shlex.split(command)

    return words


@pytest.mark.parametrize("command", READ)
def test_a_wrong_path_to_read_from(fit, at, tmp_path, command):
    for name in MADE:
        if "validation" in command and name == "empty":
            continue  # lists no clips, which is told without its name
        code, _, err = fit(*at(command, name))
        said = err.strip().splitlines()
        assert code in (1, 2) and len(said) == 1 and f"{tmp_path / name}" in said[0], (name, err)
        assert not [each for each in MISLEADING if each in err], (name, err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", WRITTEN)
def test_a_wrong_path_to_write_to(fit, at, tmp_path, command):
    for name in ("empty", "empty/below"):
        code, _, err = fit(*at(command, name))
        assert code == 1 and f"{tmp_path / name}" in err, (name, err)
        assert "A file is in the way: name another folder, by --out say" in err, (name, err)
        assert err.count("\n") == 1 and not [each for each in MISLEADING if each in err], err
    assert (tmp_path / "empty").read_bytes() == b""
