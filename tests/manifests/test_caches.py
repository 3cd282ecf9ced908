"""Caches of libraries where the home folder is missing or cannot be written."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from avsc.manifests.caches import provide_caches

NAMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "HF_HOME", "TORCH_HOME")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files; none of the variables is set, and all are put back."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def no_folder(tmp_path: Path) -> str:
    """A home below a file: nobody can make it, not even root."""
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "home")


def values() -> dict[str, str]:
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_a_home_that_can_be_written_is_left_as_it_is(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    provide_caches()
    assert values() == {"HOME": str(tmp_path / "home")}
    assert list(temporary.iterdir()) == []


def test_a_home_that_cannot_be_written(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", no_folder(tmp_path))
    provide_caches()
    private = temporary / f"avsc-cache-{os.geteuid()}"
    assert values() == {
        "HOME": str(tmp_path / "file" / "home"),
        "XDG_CACHE_HOME": str(private),
        "MPLCONFIGDIR": str(private / "matplotlib"),
    }
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_weights_in_a_cache_that_can_only_be_read_are_read(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    (cache / "huggingface").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr("avsc.manifests.caches._is_writable", lambda folder: folder != cache)
    provide_caches()
    assert os.environ["HF_HOME"] == str(cache / "huggingface")
    assert os.environ["XDG_CACHE_HOME"] == str(temporary / f"avsc-cache-{os.geteuid()}")
    assert "TORCH_HOME" not in os.environ


def test_a_user_without_a_home(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container of a user that has no name there: ``~`` stays as it is."""
    expand = os.path.expanduser
    monkeypatch.setattr(
        "os.path.expanduser", lambda path: expand(path) if "HOME" in os.environ else path
    )
    provide_caches()
    assert values() == {"HOME": str(temporary / f"avsc-cache-{os.geteuid()}")}


@pytest.mark.parametrize("kind", ["link", "file", "open to all"])
def test_a_folder_that_another_may_have_made_is_not_trusted(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Compiled functions are read from it and run."""
    name = temporary / f"avsc-cache-{os.geteuid()}"
    if kind == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        name.symlink_to(tmp_path / "theirs")
    elif kind == "file":
        name.touch()
    else:
        name.mkdir()
        name.chmod(0o777)
    monkeypatch.setenv("HOME", no_folder(tmp_path))
    provide_caches()
    chosen = Path(os.environ["XDG_CACHE_HOME"])
    assert chosen.parent == temporary and chosen != name
    assert stat.S_IMODE(chosen.lstat().st_mode) == 0o700 and not chosen.is_symlink()


@pytest.mark.parametrize("provided", [True, False])
def test_libraries_work_without_a_word(tmp_path: Path, provided: bool) -> None:
    """Numba finds no folder beside the module, as in a read-only installation, nor at home."""
    first = "from avsc.manifests.caches import provide_caches; provide_caches();" * provided
    then = "import avsc.train.data.render_cpu as p; print(type(p.taps).__name__)"
    drawn = "; import matplotlib.figure" * provided
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{first}{then}{drawn}"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": no_folder(tmp_path),
            "TMPDIR": str(tmp_path),
            "NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "CPUDispatcher\n", "")
    assert not (tmp_path / "~").exists()
