"""Each extra in an environment of its own: recordings are extracted without torch, and what comes
of them is trained on without Dask.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from test_architecture import MODULES, imported

from avsc.manifests.extras import not_installed

ROOT = Path(__file__).parents[1]
ROOMS_OF = {"": ("manifests", "features"), "prep": ("preprocess",), "fit": ("train",)}
OPTIONAL = {"avsc", "onnxruntime"}
"""What is imported only where its absence is an error of one line."""
SOURCE = ("manifests", "features", "preprocess", "train")
FILES = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "constraints.txt")


def link_or_copy(source: str, target: str) -> None:
    """Link a file; copy it where the temporary folder is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Installed:
    """An environment that holds avsc with one extra, and nothing of this one."""

    def __init__(self, source: Path, folder: Path, extra: str) -> None:
        self.source, self.uv = source, Path(sys.executable).with_name("uv")
        self.bin = folder / "bin"
        self.variables = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        self.variables |= {"OMP_NUM_THREADS": "1"}
        run(self.uv, "venv", "-q", "--no-project", "--python", sys.executable, folder)
        self.install(extra)

    def install(self, extra: str) -> None:
        """Install avsc with an extra, beside what is there."""
        into = ("--python", self.bin / "python", "-c", self.source / "constraints.txt")
        run(self.uv, "pip", "install", "-q", *into, f"{self.source}[{extra}]")
        self._share_compiled()

    def _share_compiled(self) -> None:
        """Link what Python has compiled of the same files here, which it would do for long."""
        here, there = (
            Path(sysconfig.get_path("purelib", "venv", vars={"base": str(base)}))
            for base in (Path(sys.prefix), self.bin.parent)
        )
        for cache in here.rglob("__pycache__"):
            new = there / cache.relative_to(here)
            if new.parent.is_dir() and not new.exists():
                shutil.copytree(cache, new, copy_function=link_or_copy)

    def __call__(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / program, *map(str, arguments)],
            capture_output=True, text=True, check=False, env=self.variables, cwd=self.bin,
        )  # fmt: skip

    def does(self, program: str, *arguments: object) -> str:
        """Return the output of a program that ends well."""
        done = self(program, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lacks(
        self, program: str, *arguments: object, package: str, extra: str, status: int = 1
    ) -> None:
        """Check that a program says in one line that an extra is missing."""
        done = self(program, *arguments)
        assert done.returncode == status
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith(f"{program}: error: ")
        assert f"{package}" in done.stderr
        assert f"extra '{extra}'. Run `pip install '.[{extra}]'`" in done.stderr


def run(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source as a clone has it; an installation leaves files in it."""
    folder = tmp_path_factory.mktemp("source")
    for room in SOURCE:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


def test_prep_extracts_without_torch_and_fit_trains_without_dask(
    source: Path, tmp_path: Path
) -> None:
    data, store = tmp_path / "TAU2021", tmp_path / "store"
    prep = Installed(source, tmp_path / "prep", "prep")
    assert "extract" in prep.does("avsc-prep", "--help")
    small = ("--clips-per-scene", 4, "--seconds", 2, "--size", "64x48")
    prep.does("avsc-prep", "synth", "--out", data, *small)
    known = ("--dataset", "TAU2021", "--root", data)
    prep.does("avsc-prep", "extract", *known, "--out", store, "--workers", 1)
    assert "--lr-max" in prep.does("avsc-fit", "joint", "--help")
    prep.lacks("avsc-fit", "joint", "--store", store, package="torch", extra="fit")

    fit = Installed(source, tmp_path / "fit", "fit")
    assert "joint" in fit.does("avsc-fit", "--help")
    short = ("--epochs", 1, "--batch-size", 16, "--device", "cpu")
    fit.does("avsc-fit", "audio", "--store", store, "--out", tmp_path / "run", *short)
    sound = min((data / "audio").iterdir())
    options = ("--device", "cpu", "--format", "csv")
    assert str(sound) in fit.does("avsc-fit", "predict", tmp_path / "run", sound, *options)
    out = ("--out", tmp_path / "model")
    export = ("export", tmp_path / "run", *out)
    fit.lacks("avsc-fit", *export, package="onnxruntime", extra="onnx", status=2)
    again = (*known, "--out", tmp_path / "other")
    fit.lacks("avsc-prep", "extract", *again, package="dask", extra="prep")

    fit.install("onnx")
    fit.does("avsc-fit", *export, "--forms", "safetensors,onnx")
    options = ("--runtime", "onnx", "--format", "csv")
    assert str(sound) in fit.does("avsc-fit", "predict", tmp_path / "model", sound, *options)


def test_nothing_is_missing_here() -> None:
    for extra in ("prep", "fit", "onnx", "all", "test"):
        assert not_installed(extra) == []


@pytest.mark.parametrize("extra", list(ROOMS_OF))
def test_what_a_room_imports_is_installed_with_it(extra: str) -> None:
    """Otherwise an extra would work only in an environment that another one has filled."""
    allowed = {
        re.match(r"[\w.-]+", each)[0].lower()
        for each in requires("avsc") or ()
        if ";" not in each or (extra and f'extra == "{extra}"' in each)
    }
    names = packages_distributions()
    wanted = {
        distribution.lower().replace("_", "-")
        for module, path in MODULES.items()
        if module.split(".")[1] in ROOMS_OF[extra]
        for each in imported(path.read_text("utf-8"))
        for distribution in names.get(each.partition(".")[0], ())
        if distribution not in OPTIONAL
    }
    assert wanted and wanted <= allowed
