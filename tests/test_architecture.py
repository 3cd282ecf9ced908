"""The rooms and the doors between them, held by reading every module's imports."""

import ast
import configparser
import doctest
import importlib
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("manifests", "features", "preprocess", "train")
OURS = {
    "manifests": {"manifests"},
    "features": {"manifests", "features"},
    "preprocess": {"manifests", "features", "preprocess"},
    "train": {"manifests", "features", "train"},
}
FORBIDDEN = {
    "manifests": {"torch", "torchvision", "timm", "dask", "distributed", "h5py"},
    "features": {"torch", "torchvision", "timm", "dask", "distributed", "dask_jobqueue"},
    "preprocess": {"torch", "torchvision", "timm"},
    "train": {"dask", "distributed", "dask_jobqueue"},
}
FUNCTION_LINES, MODULE_LINES = 60, 300
TRAIN = ("data", "settings", "model", "fit", "evaluate", "infer", "paper", "commands")
"""Folders of train; each imports only those before it."""
DECODERS = {"av", "soundfile"}
ENCODERS = (
    "avsc.preprocess.synth",
    "avsc.preprocess.doctor.media",
    "avsc.features.pages.clip_sounds",
)
MEDIA = {
    f"avsc.features.{name}"
    for name in (
        "sound_file",
        "sound_track",
        "images",
        "video",
        "timeline",
        "h264",
        "streams",
        "inferred_times",
        "continuity",
        "live.connection",
        "live.live_images",
        "live.video_decoder",
    )
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("avsc", *(part for part in parts if part != "__init__")))


MODULES = {
    module_name(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))
}


def imported(source: str) -> set[str]:
    """Return the full name of all that a source imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            assert node.level == 0, "imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def faults(name: str, source: str) -> list[str]:
    """Return what a module imports against the rules."""
    room = name.split(".")[1]
    found = []
    for each in sorted(imported(source)):
        top, _, rest = each.partition(".")
        wrong_room = top == "avsc" and rest.partition(".")[0] not in OURS[room]
        may_decode = name in MEDIA or name.startswith(ENCODERS)
        if wrong_room or top in FORBIDDEN[room] or (top in DECODERS and not may_decode):
            found.append(f"{name} imports {each}")
    return found


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_all_modules_are_looked_at() -> None:
    assert len(MODULES) > 30
    assert {name.split(".")[1] for name in MODULES} == set(ROOMS)
    assert MODULES.keys() >= MEDIA


def test_imports_keep_to_the_rooms() -> None:
    found = [
        fault for name, path in MODULES.items() for fault in faults(name, path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("avsc.manifests.clips", "from avsc.features import specs"),
        ("avsc.features.specs", "import avsc.train.settings.scenes"),
        ("avsc.features.specs", "from avsc import preprocess"),
        ("avsc.preprocess.driver", "def f():\n    import torch.nn"),
        ("avsc.preprocess.driver", "from avsc.train.systems import SYSTEMS"),
        ("avsc.train.demo", "from avsc.preprocess.cli import program"),
        ("avsc.train.demo", "from dask.distributed import Client"),
        ("avsc.train.data.samples", "import av"),
        ("avsc.features.clip", "from soundfile import SoundFile"),
    ],
)
def test_a_wrong_import_is_found(name: str, source: str) -> None:
    assert len(faults(name, source)) == 1


def upward(name: str, source: str) -> list[str]:
    """Return what a module imports of a folder of train that comes after its own."""

    def level(name: str) -> int:
        """Modules of train itself are for every folder, so they may import data alone."""
        top, room, folder = (*name.split("."), "", "")[:3]
        return TRAIN.index(folder) if (top, room) == ("avsc", "train") and folder in TRAIN else 0

    return [
        f"{name} imports {each}" for each in sorted(imported(source)) if level(each) > level(name)
    ]


def test_folders_of_train_import_only_those_before_them() -> None:
    folders = {path.parent.name for path in (ROOT / "train").glob("*/__init__.py")}
    assert folders == set(TRAIN)
    found = [
        each for name, path in MODULES.items() for each in upward(name, path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("avsc.train.fit.trainer", "from avsc.train.evaluate.report import write_report"),
        ("avsc.train.fit.trainer", "def f():\n    from avsc.train import evaluate"),
        ("avsc.train.metrics", "import avsc.train.model.network"),
        ("avsc.train.paper.runs", "from avsc.train.commands.fit import parameter"),
    ],
)
def test_an_upward_import_is_found(name: str, source: str) -> None:
    assert len(upward(name, source)) == 1


def test_nothing_imports_commands() -> None:
    found = [
        f"{name} imports {each}"
        for name, path in MODULES.items()
        for each in imported(path.read_text("utf-8"))
        if "commands" in each.split(".")[:3] and "commands" not in name.split(".")
    ]
    assert found == []


def lengths(source: str) -> dict[str, int]:
    """Return the lines of every function, by name; decorators are not counted."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, functions)
    }


def test_functions_and_modules_are_short() -> None:
    sources = {name: path.read_text("utf-8") for name, path in MODULES.items()}
    long = [
        f"{name}.{function} has {lines} lines"
        for name, source in sources.items()
        for function, lines in lengths(source).items()
        if lines > FUNCTION_LINES
    ]
    long += [
        f"{name} has {lines} lines"
        for name, source in sources.items()
        if (lines := source.count("\n")) > MODULE_LINES
    ]
    assert long == []


def test_a_long_function_is_found() -> None:
    assert lengths("class C:\n    def f(self):\n" + 60 * "        x = 1\n") == {"f": 61}


def test_public_classes_have_names_of_their_own() -> None:
    found: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(name)
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_every_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten one imports in an editable install and is missing from the wheel."""
    given: dict[str, list[str]] = {}
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=given.update))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    folders = {path.parent.relative_to(ROOT) for path in MODULES.values()}
    assert given["packages"] == sorted(".".join(("avsc", *folder.parts)) for folder in folders)
    assert setup()["options"]["package_dir"].split() == ["avsc", "=", "."]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_typed_and_checked_in_place(room: str) -> None:
    assert (ROOT / room / "py.typed").is_file()
    link = ROOT / ".typing" / "avsc" / room
    assert link.is_symlink()
    assert link.resolve() == ROOT / room


@pytest.mark.parametrize("script", ["avsc-prep", "avsc-fit"])
def test_programs_exist(script: str) -> None:
    lines = setup()["options.entry_points"]["console_scripts"].strip().splitlines()
    targets = dict(line.split(" = ") for line in lines)
    module, function = targets[script].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_doctests() -> None:
    tried = 0
    for name in MODULES:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        tried += result.attempted
    assert tried > 0
